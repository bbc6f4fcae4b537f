package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// slowPerceptron gives the logits of the perceptron at one image, and their gradients, in float64.
func slowPerceptron(t *testing.T, model Model) func(x []float64) (z []float64, grads [][]float64) {
	t.Helper()
	var w [2][]float64
	for i := range w {
		flat, err := tensors.CopyFlatData[float32](model.Weights[i])
		if err != nil {
			t.Fatal(err)
		}
		w[i] = widen(flat)
	}
	classes := model.Classes
	hidden := len(w[1]) / classes
	return func(x []float64) ([]float64, [][]float64) {
		z, grads := make([]float64, classes), make([][]float64, classes)
		for k := range grads {
			grads[k] = make([]float64, len(x))
		}
		for j := range hidden {
			var sum float64
			for i, v := range x {
				sum += (v - .5) * w[0][i*hidden+j]
			}
			h := math.Tanh(2 * sum)
			for k := range classes {
				out := w[1][j*classes+k]
				z[k] += h * out
				for i := range x {
					grads[k][i] += out * (1 - h*h) * 2 * w[0][i*hidden+j]
				}
			}
		}
		return z, grads
	}
}

func clip01(v float64) float64 { return math.Max(0, math.Min(1, v)) }

// slowDeepFool is DeepFool for one image as its doc says, without the bisections. It returns the image at which the label
// has changed, or nil.
func slowDeepFool(d DeepFool, clean []float64, y int, model func(x []float64) ([]float64, [][]float64)) []float64 {
	z, _ := model(clean)
	logits := make([]float32, len(z))
	for k, v := range z {
		logits[k] = float32(v)
	}
	classes := ranked(logits)[:d.rivals(len(z))+1]
	x, sum := slices.Clone(clean), make([]float64, len(clean))
	for step := 0; ; step++ {
		z, grads := model(x)
		if margin(z, y) < 0 {
			return x
		}
		if step == d.Steps {
			return nil
		}
		least := math.Inf(1)
		var move []float64
		for _, k := range classes {
			if k == y {
				continue
			}
			w, squares, l1 := make([]float64, len(x)), 0., 0.
			for i := range w {
				w[i] = grads[k][i] - grads[y][i]
				squares += w[i] * w[i]
				l1 += math.Abs(w[i])
			}
			distance := math.Abs(z[k]-z[y]) / math.Sqrt(squares)
			if d.Ball.Norm == Linf {
				distance = math.Abs(z[k]-z[y]) / l1
			}
			if distance >= least {
				continue
			}
			least, move = distance, w
			for i, v := range w {
				if d.Ball.Norm == Linf {
					move[i] = math.Copysign(distance+1e-4, v)
				} else {
					move[i] = (distance + 1e-4) * v / math.Sqrt(squares)
				}
			}
		}
		for i := range x {
			sum[i] += move[i]
			x[i] = clip01(clean[i] + (1+d.Overshoot)*sum[i])
		}
	}
}

func TestDeepFoolFollowsTheFormula(t *testing.T) {
	const n = 18
	model, images, labels := perceptron(goBackend(t), n)
	x, slow := floats(images), slowPerceptron(t, model)
	var different bool
	for _, d := range []DeepFool{
		{Ball: Ball{L2, .1}, Steps: 20, Overshoot: .02},
		{Ball: Ball{Linf, .1}, Steps: 20, Overshoot: .02},
		{Ball: Ball{L2, .1}, Steps: 20, Overshoot: .5, Candidates: 2},
		{Ball: Ball{L2, .1}, Steps: 1},
	} {
		where := fmt.Sprintf("%+v", d)
		r := evaluate(t, model, images, labels, []Attack{{Name: "deepfool", Method: d}}, Options{Batch: 8, KeepAdv: true})
		for i := range n {
			if !r.Clean.Flags[i] {
				continue
			}
			want := slowDeepFool(d, widen(x[i*12:(i+1)*12]), int(labels[i]), slow)
			got := r.Attacks[0]
			if found := !math.IsInf(float64(got.Distances[i]), 1); found != (want != nil) {
				t.Errorf("%s: image %d: found %v, want %v", where, i, found, want != nil)
				continue
			}
			different = different || want == nil
			for k := range want {
				if v := float64(got.Adv[i*12+k]); math.Abs(v-want[k]) > 2e-5 {
					t.Errorf("%s: image %d: pixel %d is %g, want %g", where, i, k, v, want[k])
					break
				}
			}
		}
	}
	if !different {
		t.Error("every search of one step succeeded: the test needs one that does not")
	}
}

// TestDeepFoolRefines checks that bisections come closer, down to the boundary, and cost one forward pass each.
func TestDeepFoolRefines(t *testing.T) {
	const n = 12
	model, images, labels := perceptron(goBackend(t), n)
	slow := slowPerceptron(t, model)
	d := DeepFool{Ball: Ball{L2, .1}, Steps: 20, Overshoot: .3}
	rough := evaluate(t, model, images, labels, []Attack{{Name: "rough", Method: d}}, Options{Batch: 5, KeepAdv: true}).Attacks[0]
	d.Refine = 12
	fine := evaluate(t, model, images, labels, []Attack{{Name: "fine", Method: d}}, Options{Batch: 5, KeepAdv: true}).Attacks[0]
	if more := fine.Forwards - rough.Forwards; more != int64(12**fine.Found) || fine.Backwards != rough.Backwards {
		t.Errorf("%d more forwards and %d more backwards, want %d and 0", more, fine.Backwards-rough.Backwards, 12**fine.Found)
	}
	for i := range n {
		if float64(rough.Distances[i]) == 0 {
			continue
		}
		if !(fine.Distances[i] < rough.Distances[i]) {
			t.Errorf("image %d: distance %g, %g without bisections", i, fine.Distances[i], rough.Distances[i])
		}
		// The point a little nearer on the same segment is classified correctly.
		nearer := widen(fine.Adv[i*12 : (i+1)*12])
		for k, v := range floats(images[i*12 : (i+1)*12]) {
			nearer[k] += (float64(v) - nearer[k]) * 2e-3
		}
		if z, _ := slow(nearer); margin(z, int(labels[i])) < 0 {
			t.Errorf("image %d: still misclassified 0.2%% nearer", i)
		}
	}
}

// TestDeepFoolCountsItsPasses has one image at a time: a linear boundary takes one step, and the pass that finds the
// label changed; the evaluation verifies.
func TestDeepFoolCountsItsPasses(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 12))
	l := newLinear(rng, 12)
	images, labels := l.greyImages(rng, 5)
	for candidates, backwards := range map[int]int64{0: 3, 2: 1, 10: 3} {
		d := DeepFool{Ball: Ball{L2, .1}, Steps: 50, Overshoot: .02, Candidates: candidates, Refine: 4}
		r := evaluate(t, l.model(goBackend(t), [3]int{2, 2, 3}), images, labels, []Attack{{Name: "a", Method: d}}, Options{Batch: 2}).Attacks[0]
		if r.Forwards != 5*(2+4+1) || r.Backwards != 5*2*backwards {
			t.Errorf("%d candidates: %d forwards and %d backwards, want %d and %d", candidates, r.Forwards, r.Backwards, 35, 10*backwards)
		}
	}
}
