package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// bowl is a classifier whose margin for class 0 is the quadratic 1 + sum_k (a_k x_k + b_k) x_k, in float64 on the host.
type bowl struct{ a, b []float32 }

func newBowl(rng *rand.Rand, d int) bowl {
	q := bowl{make([]float32, d), make([]float32, d)}
	for k := range d {
		q.a[k], q.b[k] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
	}
	return q
}

func (q bowl) model(backend compute.Backend, image [3]int) Model {
	return Model{
		Backend: backend, Classes: 2, Image: image,
		Weights: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(q.a, 1, len(q.a)), tensors.FromFlatDataAndDimensions(q.b, 1, len(q.b))},
		Logits: func(w []*Node, x *Node) *Node {
			flat := Reshape(x, x.Shape().Dim(0), -1)
			f := AddScalar(ReduceAndKeep(Mul(Add(Mul(flat, w[0]), w[1]), flat), ReduceSum, -1), 1)
			return Concatenate([]*Node{f, ZerosLike(f)}, -1)
		},
	}
}

// slope is the gradient of the margin.
func (q bowl) slope(x []float64) []float64 {
	g := make([]float64, len(x))
	for k := range g {
		g[k] = 2*float64(q.a[k])*x[k] + float64(q.b[k])
	}
	return g
}

// drawnSigns are the directions of the next pair.
func drawnSigns(rng *rand.Rand, d int) []float64 {
	signs := make([]float64, d)
	var word uint32
	for k := range signs {
		if k%32 == 0 {
			word = rng.Uint32()
		}
		signs[k] = float64(2*int(word>>(k%32)&1) - 1)
	}
	return signs
}

// TestSPSAFollowsItsFormula runs SPSA on a quadratic, whose slope along a direction a pair of probes gives exactly, and
// compares estimates, averages and iterates with the formulas in float64. The image has more pixels than a word has bits.
func TestSPSAFollowsItsFormula(t *testing.T) {
	backend := goBackend(t)
	image, d := [3]int{4, 5, 2}, 40
	rng := rand.New(rand.NewPCG(21, 22))
	q := newBowl(rng, d)
	images := make([]uint8, 2*d)
	for k := range images {
		images[k] = uint8(rng.IntN(256))
	}
	for _, s := range []SPSA{
		{Ball: Ball{Linf, .05}, Steps: 3, Pairs: 5, Probe: .01, StepSize: .02},
		{Ball: Ball{L2, .1}, Steps: 3, Pairs: 5, Probe: .02, StepSize: .05},
	} {
		where := s.Ball.Norm.String()
		w := newWalking(t, q.model(backend, image), images, []int32{0, 0}, s, 4)
		walk := w.walker.(*spsaWalk)
		w.put(0)
		for range 4 { // row 1 is not at the same pass
			if _, err := walk.step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.put(1)
		source := stream(4, "walk", 1, 0)
		clean := widen(w.x[d : 2*d])
		noise := make([]float32, d)
		PGD{Ball: s.Ball, Start: Uniform}.Noise(noise, source)
		x, mean, square := make([]float64, d), make([]float64, d), make([]float64, d)
		for k := range x {
			x[k] = math.Max(0, math.Min(1, clean[k]+float64(noise[k])))
		}
		check := func(what string, field int, want []float64, tolerance float64) {
			t.Helper()
			for k, v := range values(t, walk.state[field])[d : 2*d] {
				if math.Abs(float64(v)-want[k]) > tolerance {
					t.Fatalf("%s: %s of pixel %d is %g, want %g", where, what, k, v, want[k])
				}
			}
		}
		pass := func() {
			if _, err := walk.step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for step := range s.Steps {
			check("iterate", 0, x, 2e-5)
			pass() // at the iterate
			x = widen(values(t, walk.state[0])[d : 2*d])
			grad, slope := make([]float64, d), q.slope(x)
			for pair := range s.Pairs {
				signs := drawnSigns(source, d)
				along := 0.
				for k := range slope {
					along += slope[k] * signs[k]
				}
				for k := range grad {
					grad[k] += along * signs[k] / float64(s.Pairs)
				}
				pass()
				pass()
				if pair < s.Pairs-1 {
					check("gradient", 2, grad, 2e-3)
				}
			}
			var all float64
			for _, g := range grad {
				all += g * g
			}
			next := make([]float64, d)
			for k, g := range grad {
				squared := g * g
				if s.Ball.Norm == L2 {
					squared = all
				}
				mean[k], square[k] = .9*mean[k]+.1*g, .999*square[k]+.001*squared
				a, b := mean[k]/(1-math.Pow(.9, float64(step+1))), square[k]/(1-math.Pow(.999, float64(step+1)))
				next[k] = x[k] - s.StepSize*a/(math.Sqrt(b)+1e-8)
			}
			x = projected(s.Ball, narrowed(next), w.x[d:2*d])
		}
		check("final iterate", 0, x, 2e-5)
		if err := walk.free(); err != nil {
			t.Fatal(err)
		}
	}
}

func narrowed(x []float64) []float32 {
	out := make([]float32, len(x))
	for k, v := range x {
		out[k] = float32(v)
	}
	return out
}

// TestFirstStepOfSPSA: whatever the number of pixels, it has the length StepSize in the norm of the ball.
func TestFirstStepOfSPSA(t *testing.T) {
	for _, image := range [][3]int{{2, 2, 1}, {8, 8, 3}} {
		d := image[0] * image[1] * image[2]
		q := newBowl(rand.New(rand.NewPCG(31, uint64(d))), d)
		images := slices.Repeat([]uint8{128}, d)
		for _, norm := range []Norm{Linf, L2} {
			s := SPSA{Ball: Ball{norm, .2}, Steps: 2, Pairs: 4, Probe: .01, StepSize: .01}
			w := newWalking(t, q.model(goBackend(t), image), images, []int32{0}, s, 8)
			walk := w.walker.(*spsaWalk)
			w.put(0)
			start := slices.Clone(values(t, walk.state[0])[:d])
			for range s.period() {
				if _, err := walk.step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.Ball.distance(values(t, walk.state[0])[:d], start); got > .01*(1+1e-4) || got < .003 {
				t.Errorf("%d pixels, %s: the first step has length %g, want 0.01, or less where it leaves the ball", d, norm, got)
			}
			if err := walk.free(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSPSAIsUnbiased checks the estimate of a linear model's gradient over many pairs: right on average, and with the
// variance that independent fair signs have, (|g|^2 - g_k^2)/n at pixel k.
func TestSPSAIsUnbiased(t *testing.T) {
	const d, pairs = 40, 600
	q := newBowl(rand.New(rand.NewPCG(31, 32)), d)
	clear(q.a)
	s := SPSA{Ball: Ball{Linf, .1}, Steps: 1, Pairs: pairs, Probe: .05, StepSize: .01}
	w := newWalking(t, q.model(goBackend(t), [3]int{4, 5, 2}), make([]uint8, d), []int32{0}, s, 8)
	walk := w.walker.(*spsaWalk)
	w.put(0)
	for range 2*pairs - 1 { // all pairs but the last, whose pass takes the step
		if _, err := walk.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var length float64
	for _, b := range q.b {
		length += float64(b) * float64(b)
	}
	var chi float64
	for k, v := range values(t, walk.state[2]) {
		g := float64(q.b[k])
		off := float64(v)*pairs/(pairs-1) - g
		chi += off * off / ((length - g*g) / pairs)
	}
	if chi < d-5*math.Sqrt(2*d) || chi > d+5*math.Sqrt(2*d) {
		t.Errorf("squared errors in units of their expectation add up to %g, want %d give or take %g", chi, d, 5*math.Sqrt(2*d))
	}
	if err := walk.free(); err != nil {
		t.Fatal(err)
	}
}

// TestSPSAOnLinearModels checks that SPSA breaks an image exactly when its budget exceeds the true distance by 1%.
func TestSPSAOnLinearModels(t *testing.T) {
	backend := goBackend(t)
	const n = 5
	for image, size := range map[[3]int]int{{2, 3, 2}: 3, {6, 1, 1}: 1, {1, 2, 4}: 64} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(7, uint64(d)))
		l := newLinear(rng, d)
		l.b = 0
		for k, w := range l.w { // no weight that only a long search would tell from zero
			l.w[k] = float32(math.Copysign(.5+rng.Float64(), float64(w)))
			l.b -= l.w[k] / 2
		}
		images, labels := l.greyImages(rng, n)
		for _, norm := range []Norm{Linf, L2} {
			distances := make([]float64, n)
			for i := range distances {
				distances[i] = l.distance(floats(images[i*d:(i+1)*d]), norm)
			}
			eps := 1.0101 * slices.Sorted(slices.Values(distances))[n-2]
			s := SPSA{Ball: Ball{norm, eps}, Steps: 20, Pairs: 2 * d, Probe: .01, StepSize: eps / 4}
			r := evaluate(t, l.model(backend, image), images, labels, []Attack{{Name: "spsa", Method: s}}, Options{Batch: size, KeepAdv: true}).Attacks[0]
			where := fmt.Sprintf("%v, %s eps %.4g, batch %d", image, norm, eps, size)
			for i, robust := range r.RobustFlags {
				switch {
				case !robust && distances[i] > eps*(1+1e-5):
					t.Errorf("%s: broke image %d at distance %.6g", where, i, distances[i])
				case robust && distances[i]*1.01 <= eps:
					t.Errorf("%s: failed to break image %d at distance %.6g", where, i, distances[i])
				}
				checkReturned(t, where, s.Ball, r.Adv[i*d:(i+1)*d], floats(images[i*d:(i+1)*d]))
			}
		}
	}
}

func TestSPSASettings(t *testing.T) {
	good := spsaPresets[0]
	if want := (SPSA{Ball: Ball{Linf, 8. / 255}, Steps: 100, Pairs: 128, Probe: .01, StepSize: .01, Restarts: 1}); good.Method != want || good.Validate(2) != nil {
		t.Errorf("preset %+v, %v", good, good.Validate(2))
	}
	got, err := good.With(Override{Norm: new(L2), Eps: new(.5), Steps: new(20), StepSize: new(.1), Restarts: new(3), Queries: new(9)})
	if want := (SPSA{Ball: Ball{L2, .5}, Steps: 20, Pairs: 128, Probe: .01, StepSize: .1, Restarts: 3}); err != nil || got.Method != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	got, err = good.With(Override{Norm: new(L2), Eps: new(.5), Steps: new(20)})
	if s := got.Method.(SPSA); err != nil || s.StepSize != .0625 {
		t.Errorf("in L2: %+v, %v, want steps of 2.5 eps/20", got, err)
	}
	for _, tc := range []struct {
		change func(s *SPSA)
		want   string
	}{
		{func(s *SPSA) { s.Steps = 0 }, "steps 0"},
		{func(s *SPSA) { s.Pairs = -1 }, "pairs -1"},
		{func(s *SPSA) { s.Probe = 0 }, "probe 0"},
		{func(s *SPSA) { s.StepSize = math.NaN() }, "step size NaN"},
		{func(s *SPSA) { s.Restarts = -2 }, "restarts -2"},
		{func(s *SPSA) { s.Ball.Eps = 8 }, "eps 8"},
		{func(s *SPSA) { s.Ball.Norm = L1 }, "norm l1"},
	} {
		s := good.Method.(SPSA)
		tc.change(&s)
		if err := s.Validate(10); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", s, err, tc.want)
		}
	}
}
