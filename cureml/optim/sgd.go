package optim

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// SGD is stochastic gradient descent with PyTorch's semantics: weight decay is coupled (added to the gradient, norms and
// biases included) and momentum has no dampening.
//
//	g <- g + wd·w;  v <- m·v + g;  w <- w - lr·v            (Nesterov: w <- w - lr·(g + m·v))
//
// A weight whose gradient is zero still moves, through decay and momentum.
type SGD struct {
	Momentum    float64 `json:"momentum"`
	WeightDecay float64 `json:"weight_decay"`
	Nesterov    bool    `json:"nesterov"`
}

// Validate names the first value outside its range.
func (o SGD) Validate() error {
	switch {
	case !(o.Momentum >= 0 && o.Momentum < 1):
		return fmt.Errorf("optim: momentum %v: want a value in [0, 1)", o.Momentum)
	case !(o.WeightDecay >= 0 && o.WeightDecay < 1):
		return fmt.Errorf("optim: weight decay %v: want a value in [0, 1)", o.WeightDecay)
	case o.Nesterov && o.Momentum == 0:
		return fmt.Errorf("optim: Nesterov with momentum 0: it needs a momentum above 0")
	}
	return nil
}

// Update returns the new weight and velocity of one tensor. lr is a scalar node.
func (o SGD) Update(w, grad, velocity, lr *Node) (newW, newV *Node) {
	g := Add(grad, MulScalar(w, o.WeightDecay))
	newV = Add(MulScalar(velocity, o.Momentum), g)
	step := newV
	if o.Nesterov {
		step = Add(g, MulScalar(newV, o.Momentum))
	}
	newW = Sub(w, Mul(step, lr))
	return newW, newV
}
