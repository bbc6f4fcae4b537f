package attacks

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// TestChecks has the periods of the paper (Croce and Hein 2020, section 3) in whole steps.
func TestChecks(t *testing.T) {
	for steps, want := range map[int][]int{
		100: {22, 41, 57, 70, 80, 87, 93, 99}, 50: {11, 21, 30, 38, 45}, 40: {8, 15, 21, 26, 30, 33, 35, 37, 39},
		20: {4, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 10: {2, 3, 4, 5, 6, 7, 8, 9, 10}, 1: {1},
	} {
		checks := APGD{}.checks(steps)
		if got := slices.Sorted(maps.Keys(checks)); !slices.Equal(got, want) {
			t.Errorf("%d steps: checks after %v, want %v", steps, got, want)
		}
		last := 0
		for _, at := range want {
			if checks[at] != at-last {
				t.Errorf("%d steps: window %d at %d, want %d", steps, checks[at], at, at-last)
			}
			last = at
		}
	}
	if course := (APGD{Ball: Ball{L1, 12}, Steps: 100, Shrink: true}).course(); len(course) != 103 ||
		course[30].next != 2 || course[61].next != 1 || !course[62].first || !course[62].counts || course[61].counts || course[31].radius != 2 {
		t.Error("shrinking balls: stages are not 30, 30 and 40 steps at 3, 2 and 1 eps")
	}
}

// TestTargetedDLR compares with the formula by full sort.
func TestTargetedDLR(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(41, 42))
	logits := make([][]float32, 12)
	y, target := make([]int32, len(logits)), make([]int32, len(logits))
	for i := range logits {
		logits[i] = make([]float32, 6)
		for k := range logits[i] {
			logits[i][k] = float32(3 * rng.NormFloat64())
		}
		y[i], target[i] = int32(rng.IntN(6)), int32(rng.IntN(6))
	}
	got := eval(t, backend, func(in []*Node) []*Node { return []*Node{TargetedDLR(in[0], in[1], in[2])} }, logits, y, target)[0].Value().([]float32)
	for i, z := range logits {
		sorted := widen(z)
		slices.Sort(sorted)
		want := -(float64(z[y[i]]) - float64(z[target[i]])) / (sorted[5] - (sorted[3]+sorted[2])/2)
		if !near(float64(got[i]), want, 1e-5) {
			t.Errorf("image %d: %g, want %g", i, got[i], want)
		}
	}
}

// slowAPGD is APGD as the papers write it, for one image, in float64 but for the gradients. It returns the best loss and
// whether some iterate was misclassified.
func slowAPGD(a APGD, x []float64, start []float64, pass func(x []float64) (loss float64, grad []float64, wrong bool)) (float64, bool) {
	d, eps := len(x), a.Ball.Eps
	project := func(z []float64) []float64 {
		out, squares := make([]float64, d), 0.
		for i := range z {
			squares += (z[i] - x[i]) * (z[i] - x[i])
		}
		for i := range z {
			delta := z[i] - x[i]
			if a.Ball.Norm == Linf {
				delta = math.Max(-eps, math.Min(eps, delta))
			} else {
				delta *= math.Min(1, eps/math.Sqrt(squares))
			}
			out[i] = math.Max(0, math.Min(1, x[i]+delta))
		}
		return out
	}
	direction := func(g []float64) []float64 {
		out, squares := make([]float64, d), 0.
		for _, v := range g {
			squares += v * v
		}
		for i, v := range g {
			if a.Ball.Norm == L2 {
				out[i] = v / math.Sqrt(squares)
			} else if v != 0 {
				out[i] = math.Copysign(1, v)
			}
		}
		return out
	}
	z := slices.Clone(start)
	before := slices.Clone(z)
	loss, grad, wrong := pass(z)
	losses, bestLoss, best, bestGrad := []float64{loss}, loss, slices.Clone(z), grad
	step, halved, atCheck := 2*eps, true, loss
	if a.Reference {
		losses[0] = 0
	}
	checks := a.checks(a.Steps)
	for i := 1; i <= a.Steps; i++ {
		u, weight := make([]float64, d), .75
		if i == 1 {
			weight = 1
		}
		for k, v := range direction(grad) {
			u[k] = z[k] + step*v
		}
		u = project(u)
		for k := range u {
			u[k] = z[k] + weight*(u[k]-z[k]) + (1-weight)*(z[k]-before[k])
		}
		before, z = z, project(u)
		var w bool
		loss, grad, w = pass(z)
		wrong = wrong || w
		losses = append(losses, loss)
		if loss > bestLoss {
			bestLoss, best, bestGrad = loss, slices.Clone(z), grad
		}
		if k := checks[i]; k > 0 {
			rises := 0
			for j := i - k + 1; j <= i; j++ {
				if losses[j] > losses[j-1] {
					rises++
				}
			}
			halve := float64(rises) <= .75*float64(k) || !halved && atCheck >= bestLoss
			if halve {
				step, z, grad = step/2, slices.Clone(best), bestGrad
			}
			halved, atCheck = halve, bestLoss
		}
	}
	return bestLoss, wrong
}

// TestAPGDFollowsThePaper compares with slowAPGD image by image: the same verdicts, and for images that stay robust the
// same highest loss.
func TestAPGDFollowsThePaper(t *testing.T) {
	backend := goBackend(t)
	const n = 20
	model, images, labels := perceptron(backend, n)
	x := floats(images)
	for _, a := range []APGD{
		{Ball: Ball{Linf, .03}, Steps: 20, Loss: "ce"},
		{Ball: Ball{Linf, .03}, Steps: 12, Loss: "dlr", Reference: true},
		{Ball: Ball{L2, .08}, Steps: 20, Loss: "dlr"},
		{Ball: Ball{L2, .08}, Steps: 12, Loss: "ce", Reference: true},
		{Ball: Ball{Linf, .03}, Steps: 12, Targets: 1},
	} {
		where := fmt.Sprintf("%+v", a)
		exec, err := NewExec(backend, func(in []*Node) []*Node {
			var logits *Node
			losses, grad := ascent(in[0], func(adv *Node) *Node {
				logits = model.logits(in[3:], adv)
				if a.Targets > 0 {
					return TargetedDLR(logits, in[1], in[2])
				}
				return a.goal().objective(logits, in[1], nil)
			})
			return []*Node{losses, grad, Correct(logits, in[1]), logits}
		})
		if err != nil {
			t.Fatal(err)
		}
		pass := func(x []float64, y, target int32) (float64, []float64, bool, []float32) {
			narrow := make([]float32, len(x))
			for i, v := range x {
				narrow[i] = float32(v)
			}
			out, err := exec.Call(tensors.FromFlatDataAndDimensions(narrow, 1, 2, 2, 3), []int32{y}, []int32{target}, model.Weights[0], model.Weights[1])
			if err != nil {
				t.Fatal(err)
			}
			grad, err := tensors.CopyFlatData[float32](out[1])
			if err != nil {
				t.Fatal(err)
			}
			return float64(out[0].Value().([]float32)[0]), widen(grad), !out[2].Value().([]bool)[0], out[3].Value().([][]float32)[0]
		}
		r := evaluate(t, model, images, labels, []Attack{{Name: "apgd", Method: a}}, Options{Batch: 6, Seed: 2, KeepAdv: true})
		got, robust := r.Attacks[0], 0
		for i := range n {
			if !r.Clean.Flags[i] {
				continue
			}
			clean := widen(x[i*12 : (i+1)*12])
			target := int32(0)
			if a.Targets > 0 {
				_, _, _, logits := pass(clean, labels[i], 0)
				best := math.Inf(-1)
				for k, z := range logits {
					if int32(k) != labels[i] && float64(z) > best {
						best, target = float64(z), int32(k)
					}
				}
			}
			offset := make([]float32, 12)
			a.start(offset, stream(2, "apgd", i, 0))
			start := make([]float64, 12)
			for k, v := range offset {
				start[k] = math.Max(0, math.Min(1, clean[k]+float64(v)))
			}
			loss, wrong := slowAPGD(a, clean, start, func(x []float64) (float64, []float64, bool) {
				loss, grad, wrong, _ := pass(x, labels[i], target)
				return loss, grad, wrong
			})
			if wrong == got.RobustFlags[i] {
				t.Errorf("%s: image %d: robust %v, the paper's algorithm breaks it: %v", where, i, got.RobustFlags[i], wrong)
			}
			if wrong {
				continue
			}
			robust++
			now := float64(got.Losses[i])
			if a.Targets > 0 {
				now, _, _, _ = pass(widen(got.Adv[i*12:(i+1)*12]), labels[i], target)
			}
			// Rounding takes some searches to another side of a kink.
			if math.Abs(now-loss) > 1e-3*math.Max(1, math.Abs(loss)) {
				t.Errorf("%s: image %d: highest loss %g, the paper's algorithm finds %g", where, i, now, loss)
			}
		}
		if robust < 3 || robust > n-6 {
			t.Errorf("%s: %d of %d robust: the test needs both", where, robust, n)
		}
		exec.Finalize()
	}
}

// searchesOf are the searches in one ball, for the linear model of four classes.
func searchesOf(ball Ball) []Attack {
	steps := 20
	if ball.Norm == L1 {
		steps = 100 // checks in L1 come after every 4%, and single steps would not show what they check
	}
	list := []Attack{
		{Name: "apgd-dlr", Method: APGD{Ball: ball, Steps: steps, Loss: "dlr"}},
		{Name: "apgd-t", Method: APGD{Ball: ball, Steps: steps, Targets: 3}},
	}
	if ball.Norm == L1 {
		list = append(list, Attack{Name: "apgd-ce, shrinking", Method: APGD{Ball: ball, Steps: 40, Loss: "ce", Shrink: true}})
	}
	return list
}

// TestSearchesOnLinearModels checks that searches break an image exactly when their budget exceeds its true distance by
// 1%, for three shapes of images and three batch sizes.
func TestSearchesOnLinearModels(t *testing.T) {
	for _, c := range linearCases(t, 12) {
		c.check(t, searchesOf(c.ball), func(where string, _ *Result, i int, adv []float32) { checkReturned(t, where, c.ball, adv, c.x(i)) })
	}
}

// curvedSearches have restarts and targets.
func curvedSearches() []Attack {
	return []Attack{
		{Name: "restarts", Method: APGD{Ball: Ball{Linf, .04}, Steps: 6, Restarts: 3, Loss: "dlr"}},
		{Name: "targets", Method: APGD{Ball: Ball{L2, .1}, Steps: 6, Targets: 4, Restarts: 2}},
		{Name: "shrinking", Method: APGD{Ball: Ball{L1, .3}, Steps: 10, Loss: "ce", Shrink: true}},
	}
}

func TestSearchesDoNotDependOnBatchSizeOrOrder(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 30)
	list := curvedSearches()
	want := evaluate(t, model, images, labels, list, Options{Batch: 64, Seed: 5, KeepAdv: true})
	for _, r := range want.Attacks {
		if c := r.RobustFlags.count(); c < 3 || c > want.Clean.Flags.count()-3 {
			t.Fatalf("%s: %d of 30 robust: the test needs both verdicts", r.Name, c)
		}
	}
	sameInAnyBatch(t, model, images, labels, list, want)
}

// TestBrokenImagesLeave checks the passes that a search makes: an image that falls at its start costs one pass and its
// verification, a robust one all passes of all runs.
func TestBrokenImagesLeave(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(7, 12))
	l := newLinear(rng, 12)
	images, labels := l.greyImages(rng, 9)
	for name, tc := range map[string]struct {
		eps  float64
		left int
		runs int64
	}{"robust": {1e-6, 9, 3}, "all broken": {1, 0, 0}} {
		a := APGD{Ball: Ball{Linf, tc.eps}, Steps: 5, Restarts: 3, Loss: "ce"}
		r := evaluate(t, l.model(backend, [3]int{2, 2, 3}), images, labels, []Attack{{Name: "apgd", Method: a}}, Options{Batch: 4}).Attacks[0]
		if r.RobustFlags.count() != tc.left {
			t.Fatalf("%s: %d robust", name, r.RobustFlags.count())
		}
		if want := 9 * 3 * 6; tc.left > 0 && (r.Backwards != int64(want) || r.Forwards != int64(want+9*3)) {
			t.Errorf("%s: %d forwards and %d backwards, want %d and %d", name, r.Forwards, r.Backwards, want+27, want)
		}
		if most := int64(9 * 2); tc.left == 0 && r.Backwards > most {
			t.Errorf("%s: %d backwards for 9 images that one step breaks, want at most %d", name, r.Backwards, most)
		}
	}
}
