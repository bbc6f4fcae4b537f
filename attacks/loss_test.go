package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// goBackend is the pure Go backend, which every test of this package runs on.
func goBackend(t testing.TB) compute.Backend {
	t.Helper()
	backend, err := compute.NewWithConfig("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// eval runs fn once and returns its outputs.
func eval(t testing.TB, backend compute.Backend, fn func(in []*Node) []*Node, args ...any) []*tensors.Tensor {
	t.Helper()
	exec, err := NewExec(backend, fn)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	out, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// logSoftmax is the direct float64 computation that the graph's losses are compared with.
func logSoftmax(z []float64) []float64 {
	top, sum := slices.Max(z), 0.0
	for _, v := range z {
		sum += math.Exp(v - top)
	}
	out := make([]float64, len(z))
	for k, v := range z {
		out[k] = v - top - math.Log(sum)
	}
	return out
}

func softmax(z []float64) []float64 {
	out := logSoftmax(z)
	for k := range out {
		out[k] = math.Exp(out[k])
	}
	return out
}

func margin(z []float64, y int) float64 {
	other := math.Inf(-1)
	for k, v := range z {
		if k != y {
			other = math.Max(other, v)
		}
	}
	return z[y] - other
}

// lossCase is one loss as a graph and as plain Go. a and b are logits [B, C]; y are the labels.
type lossCase struct {
	name  string
	graph func(a, b, y *Node) *Node
	want  func(a, b []float64, y int) float64
}

var lossCases = []lossCase{
	{"ce", func(a, _, y *Node) *Node { return CrossEntropy(a, y) },
		func(a, _ []float64, y int) float64 { return -logSoftmax(a)[y] }},
	{"soft ce", func(a, b, _ *Node) *Node { return SoftCrossEntropy(a, Softmax(b)) },
		func(a, b []float64, _ int) (sum float64) {
			target, lsm := softmax(b), logSoftmax(a)
			for k := range a {
				sum -= target[k] * lsm[k]
			}
			return sum
		}},
	{"kl", func(a, b, _ *Node) *Node { return KL(a, b) },
		func(a, b []float64, _ int) (sum float64) {
			p, la, lb := softmax(a), logSoftmax(a), logSoftmax(b)
			for k := range a {
				sum += p[k] * (la[k] - lb[k])
			}
			return sum
		}},
	{"margin", func(a, _, y *Node) *Node { return Margin(a, y) },
		func(a, _ []float64, y int) float64 { return margin(a, y) }},
	{"cw kappa 50", func(a, _, y *Node) *Node { return CW(a, y, 50) },
		func(a, _ []float64, y int) float64 { return -math.Max(margin(a, y)+50, 0) }},
	{"cw kappa 0", func(a, _, y *Node) *Node { return CW(a, y, 0) },
		func(a, _ []float64, y int) float64 { return -math.Max(margin(a, y), 0) }},
	{"dlr", func(a, _, y *Node) *Node { return DLR(a, y) },
		func(a, _ []float64, y int) float64 {
			z := slices.Clone(a)
			slices.SortFunc(z, func(p, q float64) int { return -cmpFloat(p, q) })
			return -margin(a, y) / (z[0] - z[2] + 1e-12)
		}},
}

func cmpFloat(p, q float64) int {
	switch {
	case p < q:
		return -1
	case p > q:
		return 1
	}
	return 0
}

// randomLogits gives rows of distinct logits with a spread of about scale.
func randomLogits(rng *rand.Rand, rows, classes int, scale float64) [][]float64 {
	z := make([][]float64, rows)
	for i := range z {
		z[i] = make([]float64, classes)
		for k := range z[i] {
			z[i][k] = scale * rng.NormFloat64()
		}
	}
	return z
}

func near(got, want, rel float64) bool {
	return math.Abs(got-want) <= rel*math.Max(1, math.Abs(want))
}

func TestLossValuesAndGradients(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, classes = 12, 5
	labels := make([]int32, rows)
	for i := range labels {
		labels[i] = int32(i % classes)
	}
	for _, scale := range []float64{1, 30} {
		for _, tc := range lossCases {
			t.Run(fmt.Sprintf("%s, scale %g", tc.name, scale), func(t *testing.T) {
				a, b := randomLogits(rng, rows, classes, scale), randomLogits(rng, rows, classes, scale)
				out := eval(t, backend, func(in []*Node) []*Node {
					losses := tc.graph(in[0], in[1], in[2])
					return append([]*Node{losses}, Gradient(ReduceAllSum(losses), in[0], in[1])...)
				}, a, b, labels)
				losses := out[0].Value().([]float64)
				gradA, gradB := out[1].Value().([][]float64), out[2].Value().([][]float64)
				for i := range rows {
					want := tc.want(a[i], b[i], int(labels[i]))
					if !near(losses[i], want, 1e-12) {
						t.Errorf("image %d: loss %.15g, want %.15g", i, losses[i], want)
					}
					f := func() float64 { return tc.want(a[i], b[i], int(labels[i])) }
					checkGradient(t, "first logits", f, a[i], gradA[i])
					checkGradient(t, "second logits", f, b[i], gradB[i])
				}
			})
		}
	}
}

// checkGradient compares got with central differences of f over the entries of at.
func checkGradient(t *testing.T, what string, f func() float64, at, got []float64) {
	t.Helper()
	for k := range at {
		const h = 1e-5
		centre := at[k]
		at[k] = centre + h
		up := f()
		at[k] = centre - h
		down := f()
		at[k] = centre
		if want := (up - down) / (2 * h); !near(got[k], want, 1e-6) {
			t.Errorf("%s, class %d: gradient %.12g, finite differences %.12g", what, k, got[k], want)
		}
	}
}

// TestObjective checks which loss each name stands for, and that the attack does not move the clean logits.
func TestObjective(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(21, 22))
	adv, natural, labels := randomLogits(rng, 4, 5, 2), randomLogits(rng, 4, 5, 2), []int32{0, 1, 2, 3}
	want := map[string]func(adv, natural []float64, y int) float64{"ce": lossCases[0].want, "cw": lossCases[4].want, "dlr": lossCases[6].want}
	want["kl"] = func(adv, natural []float64, y int) float64 { return lossCases[2].want(natural, adv, y) }
	for _, name := range lossNames {
		out := eval(t, backend, func(in []*Node) []*Node {
			losses := PGD{Loss: name, Kappa: 50}.Objective(in[0], in[1], in[2])
			return []*Node{losses, Gradient(ReduceAllSum(losses), in[2])[0]}
		}, adv, labels, natural)
		for i, got := range out[0].Value().([]float64) {
			if w := want[name](adv[i], natural[i], int(labels[i])); !near(got, w, 1e-12) {
				t.Errorf("%s: image %d: %g, want %g", name, i, got, w)
			}
		}
		for i, row := range out[1].Value().([][]float64) {
			if !slices.Equal(row, make([]float64, 5)) {
				t.Errorf("%s: image %d: gradient %v reaches the clean logits", name, i, row)
			}
		}
	}
}

// TestExtremeLogits feeds what a diverging or over-confident network produces, in float32.
func TestExtremeLogits(t *testing.T) {
	backend := goBackend(t)
	a := [][]float32{{1e4, 0, -1e4, 3}, {-3e4, 3e4, 0, 1}, {0, 0, 0, 0}}
	b := [][]float32{{-1e4, 0, 1e4, 3}, {3e4, -3e4, 0, 1}, {0, 0, 0, 0}}
	labels := []int32{1, 0, 2}
	for _, tc := range lossCases {
		out := eval(t, backend, func(in []*Node) []*Node {
			losses := tc.graph(in[0], in[1], in[2])
			return append([]*Node{losses}, Gradient(ReduceAllSum(losses), in[0], in[1])...)
		}, a, b, labels)
		for i, loss := range out[0].Value().([]float32) {
			if want := tc.want(widen(a[i]), widen(b[i]), int(labels[i])); !near(float64(loss), want, 1e-6) {
				t.Errorf("%s: image %d: loss %g, want %g", tc.name, i, loss, want)
			}
		}
		for _, grad := range out[1:] {
			for i, row := range grad.Value().([][]float32) {
				for k, v := range row {
					if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
						t.Errorf("%s: image %d, class %d: gradient %g", tc.name, i, k, v)
					}
				}
			}
		}
	}
}

func widen(z []float32) []float64 {
	out := make([]float64, len(z))
	for k, v := range z {
		out[k] = float64(v)
	}
	return out
}

func TestCorrect(t *testing.T) {
	backend := goBackend(t)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	cases := []struct {
		name   string
		logits []float32
		y      int32
		want   bool
	}{
		{"largest", []float32{1, 3, 2}, 1, true},
		{"not the largest", []float32{1, 3, 2}, 2, false},
		{"tie goes to the lowest", []float32{1, 3, 3}, 1, true},
		{"tie lost", []float32{1, 3, 3}, 2, false},
		{"all equal", []float32{0, 0, 0}, 0, true},
		{"NaN at the label", []float32{1, nan, 0}, 1, false},
		{"NaN elsewhere", []float32{nan, 3, 0}, 1, false},
		{"NaN last", []float32{0, 3, nan}, 1, false},
		{"all NaN", []float32{nan, nan, nan}, 0, false},
		{"infinite", []float32{0, inf, 0}, 1, true},
		{"all minus infinity", []float32{-inf, -inf, -inf}, 0, true},
		{"label out of range", []float32{1, 3, 2}, 7, false},
	}
	var logits [][]float32
	var labels []int32
	for _, tc := range cases {
		logits, labels = append(logits, tc.logits), append(labels, tc.y)
	}
	got := eval(t, backend, func(in []*Node) []*Node { return []*Node{Correct(in[0], in[1])} }, logits, labels)[0].Value().([]bool)
	for i, tc := range cases {
		if got[i] != tc.want {
			t.Errorf("%s: correct = %v, want %v", tc.name, got[i], tc.want)
		}
	}
}

// TestTiesHaveOneSubgradient checks that a tie for the second place sends its gradient to one class, not to both.
func TestTiesHaveOneSubgradient(t *testing.T) {
	backend := goBackend(t)
	grad := eval(t, backend, func(in []*Node) []*Node {
		return Gradient(ReduceAllSum(Margin(in[0], in[1])), in[0])
	}, [][]float32{{2, 1, 1, 0}}, []int32{0})[0].Value().([][]float32)[0]
	if want := []float32{1, -1, 0, 0}; !slices.Equal(grad, want) {
		t.Errorf("gradient %v, want %v", grad, want)
	}
}

func TestLossesPanicOnMisuse(t *testing.T) {
	backend := goBackend(t)
	cases := map[string]func(in []*Node) []*Node{
		"labels of another batch":  func(in []*Node) []*Node { return []*Node{CrossEntropy(in[0], in[2])} },
		"float labels":             func(in []*Node) []*Node { return []*Node{Margin(in[0], in[3])} },
		"DLR of two classes":       func(in []*Node) []*Node { return []*Node{DLR(in[0], in[1])} },
		"logits of different size": func(in []*Node) []*Node { return []*Node{KL(in[0], in[4])} },
		"unknown loss":             func(in []*Node) []*Node { return []*Node{PGD{Loss: "mse"}.Objective(in[0], in[1], nil)} },
	}
	for name, fn := range cases {
		exec, err := NewExec(backend, fn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := exec.Call([][]float32{{1, 2}}, []int32{0}, []int32{0, 1}, []float32{0}, [][]float32{{1, 2, 3}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
		exec.Finalize()
	}
}
