package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestStepsKeepMoving guards against the gradient of a detached iterate being zero after the first step: k steps of size
// s along a constant gradient move k s.
func TestStepsKeepMoving(t *testing.T) {
	backend := goBackend(t)
	x := [][]float32{{.5, .5, .5}}
	slope := []float32{1, -2, 0}
	for norm, want := range map[Norm][]float64{
		Linf: {.55, .45, .5},
		L2:   {.5 + .05/math.Sqrt(5), .5 - .1/math.Sqrt(5), .5},
	} {
		p := PGD{Ball: Ball{norm, .2}, StepSize: .01}
		adv := eval(t, backend, func(in []*Node) []*Node {
			adv := in[0]
			for range 5 {
				adv = p.Step(in[0], adv, func(adv *Node) *Node { return ReduceSum(Mul(adv, ExpandLeftToRank(in[1], 2)), -1) })
			}
			return []*Node{adv}
		}, x, slope)[0].Value().([][]float32)[0]
		for k := range adv {
			if math.Abs(float64(adv[k])-want[k]) > 1e-6 {
				t.Errorf("%s: after 5 steps %v, want %v", norm, adv, want)
				break
			}
		}
	}
}

// TestStepIsDetached checks that a loss at the adversarial image has the same weight gradient as at a constant image.
func TestStepIsDetached(t *testing.T) {
	backend := goBackend(t)
	p := PGD{Ball: Ball{Linf, .1}, StepSize: .05}
	out := eval(t, backend, func(in []*Node) []*Node {
		x, w := in[0], in[1]
		loss := func(x *Node) *Node { return Square(ReduceSum(Mul(Square(x), ExpandLeftToRank(w, 2)), -1)) }
		adv := p.Step(x, p.Step(x, x, loss), loss)
		return []*Node{adv, Gradient(ReduceAllSum(loss(adv)), w)[0], Gradient(ReduceAllSum(adv), w)[0]}
	}, [][]float32{{.2, .7}}, []float32{1, -3})
	adv, got := out[0].Value().([][]float32)[0], out[1].Value().([]float32)
	value := float64(adv[0])*float64(adv[0]) - 3*float64(adv[1])*float64(adv[1])
	for k, a := range adv {
		if want := 2 * value * float64(a) * float64(a); !near(float64(got[k]), want, 1e-5) {
			t.Errorf("weight %d: gradient %g, want %g", k, got[k], want)
		}
	}
	if through := out[2].Value().([]float32); !slices.Equal(through, []float32{0, 0}) {
		t.Errorf("gradient through the attack is %v, want zero", through)
	}
}

func TestStepPanicsOnAMeanLoss(t *testing.T) {
	backend := goBackend(t)
	exec, err := NewExec(backend, func(x *Node) *Node {
		return PGD{Ball: Ball{Linf, .1}, StepSize: .1}.Step(x, x, func(adv *Node) *Node { return ReduceAllMean(adv) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.Call([][]float32{{1, 2}}); err == nil {
		t.Error("a scalar objective was accepted")
	}
}

// TestOneStepIsFGSM compares the evaluated attack with clip(x + eps sign(g)) for the known gradient of a linear model.
func TestOneStepIsFGSM(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(8, 9))
	const n, eps = 6, 8. / 255
	image := [3]int{2, 2, 3}
	l := newLinear(rng, 12)
	images, labels := l.greyImages(rng, n)
	images[0], images[1] = 0, 255
	pgd := Attack{Name: "pgd1", Method: PGD{Ball: Ball{Linf, eps}, Steps: 1, StepSize: eps, Loss: "dlr"}}
	fgsm, err := Preset("fgsm")
	if err != nil {
		t.Fatal(err)
	}
	report := evaluate(t, l.model(backend, image), images, labels, []Attack{fgsm, pgd}, Options{KeepAdv: true, Batch: 4})
	for i := range n {
		if !report.Clean.Flags[i] {
			continue
		}
		for k := range 12 {
			x := float32(images[i*12+k]) / 255
			step := float32(eps)
			if (l.w[k] > 0) == (labels[i] == 0) {
				step = -step
			}
			want := min(max(x+step, 0), 1)
			for _, r := range report.Attacks {
				if got := r.Adv[i*12+k]; got != want {
					t.Errorf("%s: image %d, pixel %d: %g, want %g", r.Name, i, k, got, want)
				}
			}
		}
	}
}

func TestNoise(t *testing.T) {
	const d, eps = 4000, .25
	draw := func(norm Norm, start Start, seed uint64) []float64 {
		dst := make([]float32, d)
		PGD{Ball: Ball{norm, eps}, Start: start}.Noise(dst, rand.New(rand.NewPCG(seed, 1)))
		return widen(dst)
	}
	moments := func(v []float64) (mean, deviation, largest, length float64) {
		for _, x := range v {
			mean += x / d
			length += x * x
			largest = math.Max(largest, math.Abs(x))
		}
		return mean, math.Sqrt(length / d), largest, math.Sqrt(length)
	}
	if _, _, largest, _ := moments(draw(Linf, None, 1)); largest != 0 {
		t.Errorf("start none: noise up to %g", largest)
	}
	// Standard errors of d draws: 1/sqrt(d) of the deviation for the mean, less for the deviation; 5 of them allowed.
	const tolerance = 5. / 63
	for _, start := range []Start{Uniform, UniformUnclipped} {
		mean, deviation, largest, _ := moments(draw(Linf, start, 2))
		if want := eps / math.Sqrt(3); math.Abs(mean) > tolerance*want || math.Abs(deviation/want-1) > tolerance || largest > eps || largest < .99*eps {
			t.Errorf("start %s: mean %g, deviation %g (want %g), largest %g", start, mean, deviation, want, largest)
		}
	}
	if mean, deviation, _, _ := moments(draw(L2, Normal, 3)); math.Abs(mean) > tolerance*.001 || math.Abs(deviation/.001-1) > tolerance {
		t.Errorf("start normal: mean %g, deviation %g", mean, deviation)
	}
	// Radii of points uniform in a ball of d dimensions: (|x|/eps)^d is uniform in [0, 1].
	var sum float64
	for seed := range uint64(200) {
		_, _, _, length := moments(draw(L2, Uniform, seed))
		if length > eps*(1+1e-6) {
			t.Fatalf("L2 start of length %g, eps %g", length, eps)
		}
		sum += math.Pow(length/eps, d) / 200
	}
	if math.Abs(sum-.5) > 5*.29/math.Sqrt(200) {
		t.Errorf("mean of (|x|/eps)^d is %g, want 0.5", sum)
	}
}

func TestStreamsDiffer(t *testing.T) {
	base := stream(1, "pgd20", 2, 3).Uint64()
	if again := stream(1, "pgd20", 2, 3).Uint64(); again != base {
		t.Error("the same key gives another stream")
	}
	for name, other := range map[string]*rand.Rand{
		"seed": stream(2, "pgd20", 2, 3), "attack": stream(1, "pgd10", 2, 3),
		"image": stream(1, "pgd20", 3, 3), "run": stream(1, "pgd20", 2, 2), "image and run exchanged": stream(1, "pgd20", 3, 2),
	} {
		if other.Uint64() == base {
			t.Errorf("another %s gives the same stream", name)
		}
	}
}
