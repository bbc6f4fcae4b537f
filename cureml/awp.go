package cureml

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// AWPConfig asks for adversarial weight perturbation around any method (Wu, Xia and Wang, NeurIPS 2020; csdongxian/AWP).
// At every step, once the adversarial images are made, with w_l the weights of one convolution or of the classifier:
//
//	d_l = ∂L(w)/∂w_l on a copy whose running statistics are dropped
//	v_l = γ·‖w_l‖·d_l/(‖d_l‖ + 1e-20)
//	w <- SGD(w + v, ∂L(w+v)/∂w) - v
//
// L is the method's own loss in its own batch-norm modes, so the running statistics that stay are those of the perturbed
// weights. Momentum and weight decay act on w+v, and the same v is taken off again, as in the released code, which gets
// d_l from one step of a second optimizer (only its direction counts, not its rate). Norms, biases and frozen blocks are
// not perturbed. Entries that CURE conserves keep their bits. A logged plain_loss is the loss before the perturbation.
//
// γ is 0.01 with AT and 0.005 with TRADES there; TRADES trains its first 9 of 200 epochs without, AT none. A step costs
// one more pass forward and back; epochs before Start cost nothing.
type AWPConfig struct {
	Gamma float64 `json:"gamma"` // 0 switches it off
	Start int     `json:"start"` // epoch, counted from 0, from which on weights are perturbed
}

func (a AWPConfig) wrap(m Method) Method {
	update := m.Update
	m.Update = func(u *Update) Outcome {
		plain := update(u.proxy())
		list := perturbable(u.Student.Arch, u.Names)
		v := make([]*Node, len(list))
		for i, t := range list {
			w, d := u.Student.Vars[t.Name], plain.Grads[u.index(t.Name)]
			v[i] = Mul(d, Div(MulScalar(normOf(w), a.Gamma), AddScalar(normOf(d), smallestNorm)))
		}
		shifts := u.shift(list, v)
		o := update(u)
		o.Perturbed = shifts
		o.Log = append(o.Log, Term{"plain_loss", plain.Log[0].Value})
		return o
	}
	return m
}

func (a AWPConfig) validate(epochs int) error {
	return checkPerturbation("awp", a.Gamma, a.Start, epochs)
}

// checkPerturbation looks at what the sections awp and rwp share.
func checkPerturbation(section string, gamma float64, start, epochs int) error {
	switch {
	case !(gamma >= 0) || math.IsInf(gamma, 0):
		return fmt.Errorf("cureml: %s.gamma %v: want 0 (off) or more; 0.005 and 0.01 are usual", section, gamma)
	case start < 0 || start >= epochs:
		return fmt.Errorf("cureml: %s.start %d: want an epoch from 0 to %d, the last of the run", section, start, epochs-1)
	}
	return nil
}
