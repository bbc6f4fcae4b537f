package attacks

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// StepEach is Step with a budget of its own for every image: eps and stepSize are float [B], in pixel units, and take the
// place of Ball.Eps and StepSize. Where they equal these, the result has the same bits; where eps is 0 it is x.
func (p PGD) StepEach(x, adv, eps, stepSize *Node, objective func(adv *Node) *Node) *Node {
	wide := func(v *Node, dtype dtypes.DType) *Node { // [B, 1, ...]
		if v.Rank() != 1 || v.Shape().Dim(0) != x.Shape().Dim(0) || !v.DType().IsFloat() {
			exceptions.Panicf("attacks.PGD.StepEach: eps and step size have shapes %s and %s, want one float per image, [%d]",
				eps.Shape(), stepSize.Shape(), x.Shape().Dim(0))
		}
		for v.Rank() < x.Rank() {
			v = InsertAxes(v, -1)
		}
		return ConvertDType(v, dtype)
	}
	_, grad := ascent(adv, objective)
	next := Add(adv, Mul(p.direction(adv, grad), wide(stepSize, x.DType())))
	return StopGradient(projectWithin(p.Ball.Norm, next, x, wide(eps, dtypes.Float64)))
}

// direction is where a step from adv goes: a move of unit size in the norm.
func (p PGD) direction(adv, grad *Node) *Node {
	if p.Ball.Norm == L1 {
		return slide(adv, grad)
	}
	return p.Ball.Direction(grad)
}
