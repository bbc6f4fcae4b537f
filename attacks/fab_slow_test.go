package attacks

import (
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// slowNetwork is the network of perceptron in float64, with its derivatives by hand.
type slowNetwork struct{ w1, w2 [][]float64 }

func newSlowNetwork(model Model) slowNetwork {
	wide := func(w *tensors.Tensor) (out [][]float64) {
		for _, row := range w.Value().([][]float32) {
			out = append(out, widen(row))
		}
		return out
	}
	return slowNetwork{wide(model.Weights[0]), wide(model.Weights[1])}
}

func (n slowNetwork) hidden(x []float64) []float64 {
	h := make([]float64, len(n.w2))
	for j := range h {
		for i, v := range x {
			h[j] += 2 * n.w1[i][j] * (v - .5)
		}
		h[j] = math.Tanh(h[j])
	}
	return h
}

func (n slowNetwork) logits(x []float64) []float64 {
	z := make([]float64, len(n.w2[0]))
	for j, h := range n.hidden(x) {
		for k := range z {
			z[k] += n.w2[j][k] * h
		}
	}
	return z
}

// lead is z_k - z_y and its gradient.
func (n slowNetwork) lead(x []float64, k, y int) (float64, []float64) {
	z, grad := n.logits(x), make([]float64, len(x))
	for j, h := range n.hidden(x) {
		for i := range grad {
			grad[i] += (n.w2[j][k] - n.w2[j][y]) * (1 - h*h) * 2 * n.w1[i][j]
		}
	}
	return z[k] - z[y], grad
}

// slowRun is what a textbook run of FAB found.
type slowRun struct {
	iterates [][]float64 // after each iteration, pulled back where misclassified
	margins  []float64   // by how much each iterate was, or was not, misclassified
	nearest  float64     // distance of the nearest misclassified iterate
}

// slowFAB is a run of FAB as the paper has it, with a gradient and a look at each iterate. target is -1 for the class
// whose boundary is nearest.
func slowFAB(f FAB, n slowNetwork, clean, start []float64, y, target int) slowRun {
	norm := f.Ball.Norm
	x, run := slices.Clone(start), slowRun{nearest: math.Inf(1)}
	for range f.Steps {
		k := target
		if k < 0 {
			least := math.Inf(1)
			for class := range n.w2[0] {
				if class == y {
					continue
				}
				value, grad := n.lead(x, class, y)
				if d := math.Abs(value) / sizeOf(dualNorm[norm], grad); d < least {
					least, k = d, class
				}
			}
		}
		value, w := n.lead(x, k, y)
		b := -value
		for i := range x {
			b += w[i] * x[i]
		}
		d1, d2 := slowMove(norm, x, w, b), slowMove(norm, clean, w, b)
		a1, a2 := math.Max(sizeOf(norm, d1), 1e-8), math.Max(sizeOf(norm, d2), 1e-8)
		alpha := math.Min(a1/(a1+a2), f.AlphaMax)
		delta := make([]float64, len(x))
		for i := range x {
			x[i] = (1-alpha)*(x[i]+f.Eta*d1[i]) + alpha*(clean[i]+f.Eta*d2[i])
			x[i] = math.Max(0, math.Min(1, x[i]))
			delta[i] = x[i] - clean[i]
		}
		z := n.logits(x)
		margin := math.Inf(-1)
		for class, v := range z {
			if class != y {
				margin = math.Max(margin, v-z[y])
			}
		}
		if margin > 0 {
			run.nearest = math.Min(run.nearest, sizeOf(norm, delta))
			for i := range x {
				x[i] = clean[i] + f.Beta*delta[i]
			}
		}
		run.margins = append(run.margins, math.Abs(margin))
		run.iterates = append(run.iterates, slices.Clone(x))
	}
	return run
}
