package cureml

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// ArdConfig holds the parameters of ARD, which are those of IAD-I too.
type ArdConfig struct {
	Alpha       float64 `json:"alpha"`       // α, the share of the teacher in the loss
	Temperature float64 `json:"temperature"` // T
	// ElementMean averages the divergence over the classes too, as PyTorch's default reduction does in the released code.
	ElementMean bool `json:"element_mean"`
}

// tuneArd is the recipe of the paper.
func tuneArd(c *Config) {
	exactEighths(c)
	c.Ard = ArdConfig{Alpha: 1, Temperature: 30}
}

func checkArd(c Config) error {
	return first(share("ard.alpha", c.Ard.Alpha), distilTemperature("ard.temperature", c.Ard.Temperature))
}

// ARD is adversarially robust distillation (Goldblum et al., AAAI 2020) from a robust teacher t:
//
//	min α·T²·mean KL(p_t^T(x) ‖ p^T(x')) + (1-α)·mean CE(f(x), y),   x' = argmax CE(f(x'), y) from U(±ε), mode T
//
// The teacher sees the clean image, in mode E. The student passes x', then x in mode T, x also with α = 1, where the loss
// has no use for it, as in the released code (goldblum/AdversariallyRobustDistillation, main.py). The KL there is averaged
// over the classes as well, a tenth of the formula on CIFAR-10: Ard.ElementMean repeats that. Its learning rate was 0.1
// for 100 epochs and 0.01 for another 100, with weight decay 2e-4: each milestone restarts from the first rate.
func ARD(c Config) Method {
	networks := []Network{c.Teacher.network(RobustTeacher)}
	return Method{Name: "ard", Inner: distilling(c), Networks: networks, Update: func(u *Update) Outcome {
		var student views
		student.adv = u.Student.Forward(nn.Train, u.Adv)
		student.nat = u.Student.Forward(nn.Train, u.X)
		teacher := views{nat: u.Nets[RobustTeacher].Forward(nn.Eval, u.X)}
		return u.learn(c.Ard.terms(teacher, student, u.Y), student)
	}}
}

func (c ArdConfig) terms(teacher, student views, y *Node) []Term {
	kl, ce := mean(c.distil(teacher.nat, student.adv)), mean(attacks.CrossEntropy(student.nat, y))
	return []Term{{"loss", c.loss(kl, ce)}, {"kl", kl}, {"ce", ce}}
}

// loss weighs the mean of what the teacher says against the mean cross-entropy.
func (c ArdConfig) loss(kl, ce *Node) *Node {
	return total(summand{c.Alpha, kl}, summand{1 - c.Alpha, ce})
}

// distil is the divergence from the teacher per image [B].
func (c ArdConfig) distil(teacher, student *Node) *Node {
	kl := distil(teacher, student, c.Temperature)
	if c.ElementMean {
		kl = DivScalar(kl, float64(student.Shape().Dim(-1)))
	}
	return kl
}
