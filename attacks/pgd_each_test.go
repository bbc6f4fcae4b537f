package attacks

import (
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestStepEach compares a batch whose images have budgets of their own with images attacked one by one, bit for bit.
func TestStepEach(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(3, 4))
	const n, d = 5, 12
	x, adv := make([][]float32, n), make([][]float32, n)
	slope := make([]float32, d)
	for k := range slope {
		slope[k] = float32(rng.NormFloat64())
	}
	for i := range x {
		x[i], adv[i] = make([]float32, d), make([]float32, d)
		for k := range x[i] {
			x[i][k], adv[i][k] = rng.Float32(), rng.Float32()
		}
	}
	eps, size := []float32{0, .02, .031, .07, .5}, []float32{.1, .03, .007, .02, .04}
	objective := func(w *Node) func(adv *Node) *Node {
		return func(adv *Node) *Node { return ReduceSum(Mul(Square(adv), ExpandLeftToRank(w, adv.Rank())), -1) }
	}
	for _, norm := range []Norm{Linf, L2, L1} {
		got := eval(t, backend, func(in []*Node) []*Node {
			return []*Node{PGD{Ball: Ball{Norm: norm}}.StepEach(in[0], in[1], in[2], in[3], objective(in[4]))}
		}, x, adv, eps, size, slope)[0].Value().([][]float32)
		if !slices.Equal(got[0], x[0]) {
			t.Errorf("%s: a budget of 0 changes the image", norm)
		}
		for i := range x {
			p := PGD{Ball: Ball{norm, float64(eps[i])}, StepSize: float64(size[i])}
			want := eval(t, backend, func(in []*Node) []*Node {
				return []*Node{p.Step(in[0], in[1], objective(in[2]))}
			}, x[i:i+1], adv[i:i+1], slope)[0].Value().([][]float32)[0]
			if !slices.Equal(got[i], want) {
				t.Errorf("%s, image %d: %v in a batch, %v alone", norm, i, got[i], want)
			}
			if p.Ball.Eps > 0 && !p.Ball.within(got[i], x[i]) {
				t.Errorf("%s, image %d: distance %v, budget %v", norm, i, p.Ball.distance(got[i], x[i]), eps[i])
			}
		}
	}
}

func TestStepEachPanicsOnOneBudget(t *testing.T) {
	exec := MustNewExec(goBackend(t), func(x *Node) *Node {
		one := Scalar(x.Graph(), x.DType(), .1)
		return PGD{}.StepEach(x, x, one, one, func(adv *Node) *Node { return ReduceSum(adv, -1) })
	})
	if _, err := exec.Call([][]float32{{1, 2}}); err == nil {
		t.Error("a scalar budget was accepted")
	}
}
