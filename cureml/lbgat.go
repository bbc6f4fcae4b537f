package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// LbgatConfig holds LBGAT's own parameters.
type LbgatConfig struct {
	Beta float64 `json:"beta"` // β of the KL; 0 and 6 are published as LBGAT0 and LBGAT6
	// Natural is the natural network, a ResNet-18 in the paper.
	Natural PartnerConfig `json:"natural,omitzero"`
}

// tuneLbgat is the default of the released script.
func tuneLbgat(c *Config) { c.Lbgat.Beta = 6 }

func checkLbgat(c Config) error {
	if err := weight("lbgat.beta", c.Lbgat.Beta); err != nil {
		return err
	}
	if _, err := c.Lbgat.Natural.arch(c.Arch); err != nil {
		return fmt.Errorf("cureml: lbgat.natural: %w", err)
	}
	return nil
}

// LBGAT is learnable boundary guided adversarial training (Cui et al., ICCV 2021): the student f learns the logits that a
// natural network g, trained at the same time, has on clean images:
//
//	min mean (f(x') - g(x))² + mean CE(g(x), y) + β·mean KL(p_f(x) ‖ p_f(x')),
//	x' = argmax KL(p_f(x) ‖ p_f(x')) from x + 0.001·N(0,1), mode E
//
// The squares are averaged over images and classes. Nothing is stopped: g is pulled towards f as well, and f has no labels
// of its own. f passes x', then x in mode T, g passes x in mode T. The default β is that of the released script
// (dvlab-research/LBGAT, train_lbgat_cifar100.py, the only one); RobustBench's entries for CIFAR-10 are LBGAT0. Its
// learning rate is 0.02 in the first epoch, then 0.1, divided by 10 at epochs 76 and 91 of 100, with weight decay 2e-4.
func LBGAT(c Config) Method {
	inner := &Inner{PGD: c.Attack.pgd("kl", attacks.Normal), Mode: c.Attack.mode(nn.Eval), Context: natural}
	networks := []Network{c.Lbgat.Natural.network(c.Arch)}
	return Method{Name: "lbgat", Inner: inner, Networks: networks, Update: func(u *Update) Outcome {
		var student views
		student.adv = u.Student.Forward(nn.Train, u.Adv)
		student.nat = u.Student.Forward(nn.Train, u.X)
		guide := u.Nets[NaturalPartner].Forward(nn.Train, u.X)

		mse, ce := ReduceAllMean(Square(Sub(student.adv, guide))), mean(attacks.CrossEntropy(guide, u.Y))
		kl := mean(attacks.KL(student.nat, student.adv))
		loss := total(summand{1, mse}, summand{1, ce}, summand{c.Lbgat.Beta, kl})
		o := u.learn([]Term{{"loss", loss}, {"mse", mse}, {"natural_ce", ce}, {"kl", kl}}, student)
		o.Partners = map[string][]*Node{NaturalPartner: u.GradientOf(NaturalPartner, loss)}
		o.Log = append(o.Log, Term{"natural_accuracy", accuracy(guide, u.Y)})
		return o
	}}
}
