package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// RWPConfig asks for robust weight perturbation around a method with adversarial images (Yu et al., IJCAI 2022;
// ChaojianYu/Robust-Weight-Perturbation, utils_rwp.py): AWP with several rounds, for images of small loss only. From
// D = 0 at every step, Rounds times, with norms over all convolutions and the classifier together (AWP's are per tensor):
//
//	S = D·‖w‖/(‖D‖ + 1e-20)
//	D <- D + ∂/∂w (1/B)·Σ_i 1[ℓ_i < Threshold]·ℓ_i   at w + γ·S, mode T, running statistics dropped
//
// and then the step starts from w + γ·S, which is taken off again afterwards, as in [AWPConfig]. ℓ_i is the loss of one
// image: CE(f(x'), y), or what Method.PerImage says, for TRADES CE(f(x), y) + β·KL(p(x) ‖ p(x')). The released code adds up
// steps of size 0.01 where D here adds up gradients; S is the same.
//
// The released TRADES variant (RST_AWP_RWP/utils_rwp.py) adds a cross-entropy of shape [B] to a KL of shape [B, classes],
// not summed over classes. Those do not broadcast unless B is 1 or the number of classes, and where they do, the threshold
// judges single entries. There is no option for that: the KL is summed over classes here.
//
// γ is 0.01 with AT and 0.005 with TRADES there, which begins at the tenth of 200 epochs. A step costs Rounds more passes
// forward and back; epochs before Start cost nothing. D is kept in cells rwp/NAME.
type RWPConfig struct {
	Gamma     float64 `json:"gamma"`               // 0 switches it off
	Rounds    int     `json:"rounds,omitempty"`    // 0 means 10
	Threshold float64 `json:"threshold,omitempty"` // 0 means 1.7
	Start     int     `json:"start"`               // epoch, counted from 0, from which on weights are perturbed
}

// settled is r with its defaults filled in.
func (r RWPConfig) settled() RWPConfig {
	if r.Rounds == 0 {
		r.Rounds = 10
	}
	if r.Threshold == 0 {
		r.Threshold = 1.7
	}
	return r
}

const directionCell = "rwp/"

func (r RWPConfig) wrap(m Method, c Config) (Method, error) {
	if m.Inner == nil || m.Ascend != nil {
		return m, fmt.Errorf("cureml: rwp.gamma %v: method %s makes no adversarial images before its update, which rwp needs; awp does not", r.Gamma, m.Name)
	}
	r = r.settled()
	list, losses, update := perturbable(c.Arch, c.trained()), m.PerImage, m.Update
	if losses == nil {
		losses = func(u *Update) *Node { return attacks.CrossEntropy(u.Student.Forward(nn.Train, u.Adv), u.Y) }
	}
	for _, t := range list {
		m.Cells = append(m.Cells, Cell{Name: directionCell + t.Name, Shape: t.Shape})
	}
	m.Ascend = &Ascend{Rounds: r.Rounds, Step: func(u *Update) {
		first := Equal(u.Scalar("round"), ZerosLike(u.Scalar("round")))
		for _, t := range list {
			cell := directionCell + t.Name
			u.Cells[cell] = Where(first, ZerosLike(u.Cells[cell]), u.Cells[cell])
		}
		at := u.proxy()
		at.shift(list, r.scaled(u, list))
		each := losses(at)
		kept := Where(LessThan(each, ConstAs(each, r.Threshold)), each, ZerosLike(each))
		grads := at.Gradient(mean(kept))
		for _, t := range list {
			cell := directionCell + t.Name
			u.Cells[cell] = Add(u.Cells[cell], grads[u.index(t.Name)])
		}
	}}
	m.Update = func(u *Update) Outcome {
		shifts := u.shift(list, r.scaled(u, list))
		o := update(u)
		o.Perturbed = shifts
		return o
	}
	return m, nil
}

// scaled is γ·S for each of list.
func (r RWPConfig) scaled(u *Update, list []nn.Tensor) []*Node {
	weights, direction := make([]*Node, len(list)), make([]*Node, len(list))
	for i, t := range list {
		weights[i], direction[i] = u.Student.Vars[t.Name], u.Cells[directionCell+t.Name]
	}
	scale := Div(MulScalar(normOf(weights...), r.Gamma), AddScalar(normOf(direction...), smallestNorm))
	for i, d := range direction {
		direction[i] = Mul(d, scale)
	}
	return direction
}

func (r RWPConfig) validate(c Config) error {
	if err := checkPerturbation("rwp", r.Gamma, r.Start, c.Epochs); err != nil || r == (RWPConfig{}) {
		return err
	}
	switch {
	case r.Rounds < 0 || r.Rounds > 1000:
		return fmt.Errorf("cureml: rwp.rounds %d: want 1 to 1000, or 0 for 10", r.Rounds)
	case !(r.Threshold >= 0):
		return fmt.Errorf("cureml: rwp.threshold %v: want a loss above 0, or 0 for 1.7", r.Threshold)
	case r.Gamma > 0 && c.AWP.Gamma > 0:
		return fmt.Errorf("cureml: awp.gamma %v and rwp.gamma %v: want one of them, the other 0", c.AWP.Gamma, r.Gamma)
	}
	_, err := NewMethod(c) // knows whether the method has adversarial images
	return err
}
