package attacks

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
)

// FAB is the Fast Adaptive Boundary attack (Croce and Hein 2020, "Minimally distorted adversarial examples with a fast
// adaptive boundary attack", algorithm 1; AutoAttack's version of it): it looks for the smallest perturbation that
// changes the prediction. With f_k = z_k - z_y, one iteration is
//
//	w, b    the hyperplane f_k(x) + <w, v - x> = 0, w the gradient of f_k at x
//	d1, d2  the smallest moves from x and from the clean image x0 to the hyperplane within the pixel box
//	alpha   min(|d1| / (|d1| + |d2|), AlphaMax), the norms at least 1e-8
//	x       clip((1 - alpha)(x + Eta d1) + alpha (x0 + Eta d2))
//
// and where x is then misclassified, as whatever class, it is recorded if it is the nearest to x0 so far, and pulled
// back to x0 + Beta (x - x0).
//
// k is the target of the run (Targets), or the class of the smallest |f_k| / |w|_q with the dual norm q, anew in each
// iteration (Targets = 0: "FAB" as against "FAB-T"), which costs a backward pass for each wrong class. The first run on
// an image (of each target) starts at the clean image, those after it at random points at distance Eps/2 from it.
type FAB struct {
	Ball     Ball
	Steps    int // iterations of a run
	Restarts int // runs (of each target); 0 means 1
	Targets  int // runs towards this many wrong classes, the likeliest of the clean image first; 0 means untargeted

	AlphaMax float64 // largest weight of the projection of the clean image; 0 means 0.1
	Eta      float64 // length of a move in units of the way to the hyperplane, at least 1; 0 means 1.05
	Beta     float64 // share of the perturbation that is left where x is pulled back; 0 means 0.9

	// Minimal makes all runs on each image and returns the smallest perturbation of all. Otherwise, as in AutoAttack, an
	// image is done with as soon as a misclassified iterate is no further than Eps, by the norm in float32 and without
	// tolerance; only this counts as success.
	Minimal bool
}

// fabPresets are AutoAttack's two versions in its settings, and the second as a measure of distances.
var fabPresets = []Attack{
	{Name: "fab", Method: FAB{Ball: standardBall, Steps: 100, Restarts: 5}},
	{Name: "fab-t", Method: FAB{Ball: standardBall, Steps: 100, Restarts: 1, Targets: 9}},
	{Name: "fab-min", Method: FAB{Ball: standardBall, Steps: 100, Restarts: 1, Targets: 9, Minimal: true}},
}

// filled has the defaults in place of zeros.
func (f FAB) filled() FAB {
	f.Steps, f.Restarts = cmp.Or(f.Steps, 100), cmp.Or(f.Restarts, 1)
	f.AlphaMax, f.Eta, f.Beta = cmp.Or(f.AlphaMax, .1), cmp.Or(f.Eta, 1.05), cmp.Or(f.Beta, .9)
	return f
}

// Budget is the ball. A Minimal search looks beyond it.
func (f FAB) Budget() Ball { return f.Ball }

func (f FAB) minimizes() bool { return f.Minimal }

func (FAB) takes() []string { return []string{"steps", "restarts"} }

func (f FAB) with(ball Ball, o Override) Method {
	f.Ball = ball
	set(&f.Steps, o.Steps)
	set(&f.Restarts, o.Restarts)
	return f
}

// Validate says what is wrong with the settings for a model of so many classes.
func (f FAB) Validate(classes int) error {
	if err := f.Ball.Validate(); err != nil {
		return err
	}
	filled := f.filled()
	switch {
	case f.Steps < 0:
		return fmt.Errorf("steps %d: want at least 1, or 0 for 100", f.Steps)
	case f.Restarts < 0:
		return fmt.Errorf("restarts %d: want at least 1", f.Restarts)
	case f.Targets < 0:
		return fmt.Errorf("targets %d: want at least 1, or 0 for an untargeted search", f.Targets)
	case classes < 2:
		return fmt.Errorf("%d classes: want at least 2", classes)
	case f.Targets > classes-1:
		return fmt.Errorf("targets %d: want at most %d, the wrong classes", f.Targets, classes-1)
	case !(filled.AlphaMax > 0 && filled.AlphaMax <= 1):
		return fmt.Errorf("alpha max %g: want more than 0 and at most 1, or 0 for 0.1", f.AlphaMax)
	case !finiteAtLeast(filled.Eta, 1):
		return fmt.Errorf("eta %g: want at least 1, or 0 for 1.05", f.Eta)
	case !(filled.Beta > 0 && filled.Beta <= 1):
		return fmt.Errorf("beta %g: want more than 0 and at most 1, or 0 for 0.9", f.Beta)
	}
	return nil
}

// gradients is the number of backward passes of an iteration.
func (f FAB) gradients(classes int) int64 {
	if f.Targets > 0 {
		return 1
	}
	return int64(classes - 1)
}

func (f FAB) runs() int { return max(f.Targets, 1) * f.filled().Restarts }

func (f FAB) passes() int { return f.filled().Steps }

// goal is what reports average; FAB itself maximises no loss.
func (f FAB) goal() goal { return cleanGoal }

// target is the likeliest class of the clean image after the label in the first Restarts runs, then the next, ...
func (f FAB) target(run int, clean []float32) int {
	if f.Targets == 0 {
		return -1
	}
	return ranked(clean)[1+run/f.filled().Restarts]
}

// scattered says whether a run starts away from the clean image.
func (f FAB) scattered(run int) bool { return run%f.filled().Restarts > 0 }

// start fills dst with an offset of length Eps/2 in a random direction.
func (f FAB) start(dst []float32, rng *rand.Rand) {
	values := make([]float64, len(dst))
	var largest, squares, sum float64
	for i := range values {
		values[i] = rng.NormFloat64()
		if f.Ball.Norm == Linf {
			values[i] = 2*rng.Float64() - 1
		}
		size := math.Abs(values[i])
		largest, squares, sum = math.Max(largest, size), squares+size*size, sum+size
	}
	length := map[Norm]float64{Linf: largest, L2: math.Sqrt(squares), L1: sum}[f.Ball.Norm]
	for i, v := range values {
		dst[i] = float32(v * f.Ball.Eps / 2 / math.Max(length, smallestNorm))
	}
}
