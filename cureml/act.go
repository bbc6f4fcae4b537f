package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// ActConfig holds ACT's own parameters.
type ActConfig struct {
	AlphaRobust  float64 `json:"alpha_robust"`  // a_F, how far the student mimics the natural network
	AlphaNatural float64 `json:"alpha_natural"` // a_G, how far that mimics the student
	Temperature  float64 `json:"temperature"`   // T of both losses; the attack has 1
	// ReleasedScale divides the cross-entropy of the attack, but not its KL, by the batch, as the released code does.
	ReleasedScale bool `json:"released_scale"`
	// Natural is the natural network.
	Natural PartnerConfig `json:"natural,omitzero"`
}

// tuneAct is the recipe of the released code.
func tuneAct(c *Config) { c.Act = ActConfig{AlphaRobust: 0.9, AlphaNatural: 0.9, Temperature: 4} }

func checkAct(c Config) error {
	err := first(share("act.alpha_robust", c.Act.AlphaRobust), share("act.alpha_natural", c.Act.AlphaNatural),
		distilTemperature("act.temperature", c.Act.Temperature))
	if err != nil {
		return err
	}
	if _, err := c.Act.Natural.arch(c.Arch); err != nil {
		return fmt.Errorf("cureml: act.natural: %w", err)
	}
	return nil
}

// ACT is adversarial concurrent training (Arani et al., BMVC 2020): the student f and a natural network g learn at the same
// time, each from the labels and from the other:
//
//	L_f = (1-a_F)·mean CE(f(x'), y) + a_F·T²·mean KL(sg p_g^T(x) ‖ p_f^T(x'))
//	L_g = (1-a_G)·mean CE(g(x), y)  + a_G·T²·mean KL(sg p_f^T(x') ‖ p_g^T(x))
//	x' = argmax (1-a_F)·CE(f(x'), y) + a_F·KL(sg p_g(x) ‖ p_f(x')) from x + 0.001·N(0,1), mode E of f
//
// sg stops gradients. g passes x in mode T, f passes x' in mode T; each has its own SGD, with the same settings. The
// released code (NeurAI-Lab/ACT, train_act.py and utilities/losses.py) attacks the sum of a mean CE and a summed KL, in
// which a batch of 128 leaves next to nothing of the CE: Act.ReleasedScale. It pads by reflection, which this package
// does not.
func ACT(c Config) Method {
	inner := &Inner{PGD: c.Attack.pgd("ce", attacks.Normal), Mode: c.Attack.mode(nn.Eval)}
	// Mode T0 has the logits of the pass in mode T that the update makes with the same weights.
	inner.Context = func(f *Frame) []*Node { return []*Node{f.Nets[NaturalPartner].Forward(nn.TrainFrozen, f.X)} }
	inner.Objective = func(f *Frame, logits *Node) *Node { return c.Act.attacked(f.Context[0], logits, f.Y) }
	networks := []Network{c.Act.Natural.network(c.Arch)}
	return Method{Name: "act", Inner: inner, Networks: networks, Update: func(u *Update) Outcome {
		nat := u.Nets[NaturalPartner].Forward(nn.Train, u.X)
		adv := u.Student.Forward(nn.Train, u.Adv)
		terms := c.Act.terms(nat, adv, u.Y)
		o := u.learn(terms, views{adv: adv})
		o.Partners = map[string][]*Node{NaturalPartner: u.GradientOf(NaturalPartner, terms[1].Value)}
		o.Log = append(o.Log, Term{"natural_accuracy", accuracy(nat, u.Y)})
		return o
	}}
}

// attacked is the objective of the attack per image [B], from g's logits on x and f's on x'.
func (c ActConfig) attacked(nat, adv, y *Node) *Node {
	ce := 1 - c.AlphaRobust
	if c.ReleasedScale {
		ce /= float64(adv.Shape().Dim(0))
	}
	return total(summand{ce, attacks.CrossEntropy(adv, y)}, summand{c.AlphaRobust, attacks.KL(StopGradient(nat), adv)})
}

// terms begins with L_f and L_g, from g's logits on x and f's on x'.
func (c ActConfig) terms(nat, adv, y *Node) []Term {
	ceAdv, klAdv := mean(attacks.CrossEntropy(adv, y)), mean(distil(StopGradient(nat), adv, c.Temperature))
	ceNat, klNat := mean(attacks.CrossEntropy(nat, y)), mean(distil(StopGradient(adv), nat, c.Temperature))
	return []Term{
		{"loss", total(summand{1 - c.AlphaRobust, ceAdv}, summand{c.AlphaRobust, klAdv})},
		{"natural_loss", total(summand{1 - c.AlphaNatural, ceNat}, summand{c.AlphaNatural, klNat})},
		{"ce_adv", ceAdv}, {"kl", klAdv}, {"natural_ce", ceNat}, {"natural_kl", klNat}}
}
