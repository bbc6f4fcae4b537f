package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// Akd2Config holds the parameters of AKD2, which are those of IAD-II too.
type Akd2Config struct {
	Robust      float64 `json:"robust"`      // a1, the share of the robust teacher in the loss
	Natural     float64 `json:"natural"`     // a2, that of the natural one; the labels have the rest
	Temperature float64 `json:"temperature"` // T
}

// tuneAkd2 is the recipe of Chen et al.
func tuneAkd2(c *Config) {
	exactEighths(c)
	c.Akd2 = Akd2Config{Robust: 0.6, Natural: 0.1, Temperature: 2}
}

func checkAkd2(c Config) error {
	if err := first(share("akd2.robust", c.Akd2.Robust), share("akd2.natural", c.Akd2.Natural),
		distilTemperature("akd2.temperature", c.Akd2.Temperature)); err != nil {
		return err
	}
	if sum := c.Akd2.Robust + c.Akd2.Natural; sum > 1 {
		return fmt.Errorf("cureml: akd2.robust + akd2.natural %v: want at most 1, the labels have the rest", sum)
	}
	return nil
}

// AKD2 is adversarial training with two teachers, a robust one t and a natural one s (Chen et al., ICLR 2021):
//
//	min (1-a1-a2)·mean CE(f(x'), y) + a1·T²·mean KL(p_t^T(x') ‖ p^T(x')) + a2·T²·mean KL(p_s^T(x') ‖ p^T(x')),
//	x' = argmax CE(f(x'), y) from U(±ε), mode T
//
// Both teachers see x', in mode E; the student passes x' once, in mode T. The weights are those of the authors' code
// (VITA-Group/Alleviate-Robust-Overfitting, main_adv.py), whose start is clipped to the pixel box (attack.start uniform)
// and which averages weights on top. The code of IAD (ZFancy/IAD, AKD2.py) has a1 = 0.5, a2 = 0.25 and T = 1.
func AKD2(c Config) Method {
	networks := []Network{c.Teacher.network(RobustTeacher), c.Teacher.network(NaturalTeacher)}
	return Method{Name: "akd2", Inner: distilling(c), Networks: networks, Update: func(u *Update) Outcome {
		student := views{adv: u.Student.Forward(nn.Train, u.Adv)}
		robust := u.Nets[RobustTeacher].Forward(nn.Eval, u.Adv)
		natural := u.Nets[NaturalTeacher].Forward(nn.Eval, u.Adv)
		return u.learn(c.Akd2.terms(robust, natural, student, u.Y), student)
	}}
}

// terms takes the logits of the teachers on x'.
func (c Akd2Config) terms(robust, natural *Node, student views, y *Node) []Term {
	ce := mean(attacks.CrossEntropy(student.adv, y))
	kl, klNat := mean(distil(robust, student.adv, c.Temperature)), mean(distil(natural, student.adv, c.Temperature))
	return []Term{{"loss", c.loss(ce, kl, klNat)}, {"ce_adv", ce}, {"kl", kl}, {"kl_natural", klNat}}
}

// loss weighs the mean cross-entropy and the means of what the teachers say.
func (c Akd2Config) loss(ce, robust, natural *Node) *Node {
	return total(summand{1 - c.Robust - c.Natural, ce}, summand{c.Robust, robust}, summand{c.Natural, natural})
}
