package cureml

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// HatConfig holds HAT's own parameters.
type HatConfig struct {
	H     float64 `json:"h"`     // how many times the perturbation is added for the helper image
	Beta  float64 `json:"beta"`  // β of the KL
	Gamma float64 `json:"gamma"` // γ of the helper's cross-entropy
}

// tuneHat is the recommended command of the released code, whose parser says γ = 1.
func tuneHat(c *Config) {
	exactEighths(c)
	c.Hat = HatConfig{H: 2, Beta: 2.5, Gamma: 0.5}
}

func checkHat(c Config) error {
	return first(weight("hat.h", c.Hat.H), weight("hat.beta", c.Hat.Beta), weight("hat.gamma", c.Hat.Gamma))
}

// HAT is helper-based adversarial training (Rade and Moosavi-Dezfooli, ICLR 2022): TRADES, and beyond x' a helper image,
// labelled by a natural teacher s:
//
//	min mean CE(f(x), y) + β·mean KL(p(x) ‖ p(x')) + γ·mean CE(f(x_h), y_h),
//	x_h = x + h·(x' - x),   y_h = argmax s(x'),   x' = argmax KL(p(x) ‖ p(x')) from x + 0.001·N(0,1), mode E
//
// x_h may leave the pixel box. s is in mode E; the student passes x, x' and x_h in mode T, in that order. Source:
// imrahulr/hat, core/utils/hat.py.
func HAT(c Config) Method {
	inner := &Inner{PGD: c.Attack.pgd("kl", attacks.Normal), Mode: c.Attack.mode(nn.Eval), Context: natural}
	networks := []Network{c.Teacher.network(NaturalTeacher)}
	return Method{Name: "hat", Inner: inner, Networks: networks, Update: func(u *Update) Outcome {
		var student views
		student.nat = u.Student.Forward(nn.Train, u.X)
		student.adv = u.Student.Forward(nn.Train, u.Adv)
		help := u.Student.Forward(nn.Train, Add(u.X, MulScalar(Sub(u.Adv, u.X), c.Hat.H)))
		label := ArgMax(u.Nets[NaturalTeacher].Forward(nn.Eval, u.Adv), -1)

		ce, kl := mean(attacks.CrossEntropy(student.nat, u.Y)), mean(attacks.KL(student.nat, student.adv))
		helper := mean(attacks.CrossEntropy(help, label))
		loss := total(summand{1, ce}, summand{c.Hat.Beta, kl}, summand{c.Hat.Gamma, helper})
		return u.learn([]Term{{"loss", loss}, {"ce", ce}, {"kl", kl}, {"helper", helper}}, student)
	}}
}
