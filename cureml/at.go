package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// AtConfig holds the own parameters of PGD adversarial training.
type AtConfig struct {
	// Face is whose way with batch norm is followed: pang, madry or rice; "" in older configs is pang.
	Face string `json:"face"`
	// Smoothing is the share s of the training label that goes to the wrong classes; the attack keeps the plain label.
	Smoothing float64 `json:"smoothing"`
}

func tuneAT(c *Config) {
	exactEighths(c)
	c.At.Face = "pang"
}

func checkAT(c Config) error {
	switch c.At.Face {
	case "", "pang", "madry", "rice":
	default:
		return fmt.Errorf("cureml: at.face %q: accepted are pang, madry, rice", c.At.Face)
	}
	return share("at.smoothing", c.At.Smoothing)
}

// checkFace refuses the faces of AT where a method has batch-norm modes of its own.
func checkFace(c Config) error {
	if f := c.At.Face; f != "" && f != "pang" {
		return fmt.Errorf("cureml: at.face %q: %s has the modes of pang alone, or those of attack.bn", f, c.Method)
	}
	return nil
}

// AT is PGD adversarial training (Madry et al., ICLR 2018): min mean CE(f(x'), y) on x' = argmax CE(f(x'), y) in the
// eps-ball, from a uniform start; 8/255 and 2/255. The faces agree on that and differ in what moves running statistics:
//
//   - pang (default): the attack in mode E, then x' in mode T ("Bag of Tricks for AT", Pang et al., ICLR 2021). Its code
//     (P2333/Bag-of-Tricks-for-AT train_cifar.py) has two clean passes in mode T too, which serve logs and are left out.
//   - madry: the attack in mode T, every step of which counts, then x' in mode T (MadryLab/cifar10_challenge).
//   - rice: as madry, with the two passes more of locuslab/robust_overfitting train_cifar.py: x' once before the update,
//     where that code chooses among restarts, and x with the new weights after it, where it measures accuracy.
//
// With Smoothing s, the label of the loss is 1 - s for the true class and s/(C-1) for the others, as in Pang et al.
func AT(c Config) Method {
	mode := nn.Eval
	if c.At.Face == "madry" || c.At.Face == "rice" {
		mode = nn.Train
	}
	inner := &Inner{PGD: c.Attack.pgd("ce", attacks.Uniform), Mode: c.Attack.mode(mode)}
	return Method{Name: "at", Inner: inner, Update: func(u *Update) Outcome {
		if c.At.Face == "rice" {
			u.Student.Forward(inner.Mode, u.Adv)
		}
		logits := u.Student.Forward(nn.Train, u.Adv)
		ce := attacks.CrossEntropy(logits, u.Y)
		if c.At.Smoothing > 0 {
			ce = attacks.SoftCrossEntropy(logits, smoothed(u.Y, logits, c.At.Smoothing))
		}
		loss := mean(ce)
		o := Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}, {"train_adv_accuracy", accuracy(logits, u.Y)}}}
		if c.At.Face == "rice" {
			o.After = func() []Term {
				return []Term{{"train_accuracy", accuracy(u.Student.Forward(nn.Train, u.X), u.Y)}}
			}
		}
		return o
	}}
}

// smoothed are labels y [B] as distributions in the shape of logits [B, C]: 1 - s for the true class and s/(C-1) for every
// other. (PyTorch's own label_smoothing also gives the true class a share of s.)
func smoothed(y, logits *Node, s float64) *Node {
	classes := logits.Shape().Dim(-1)
	other := s / float64(classes-1)
	return AddScalar(MulScalar(OneHot(y, classes, logits.DType()), 1-s-other), other)
}
