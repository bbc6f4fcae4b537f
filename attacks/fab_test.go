package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// curvedFABs are searches in all norms, with targets, restarts and settings of their own.
func curvedFABs() []FAB {
	return []FAB{
		{Ball: Ball{Linf, .06}, Steps: 12, Targets: 3},
		{Ball: Ball{Linf, .06}, Steps: 8, Restarts: 3, AlphaMax: .3, Eta: 1.2, Beta: .6},
		{Ball: Ball{L2, .15}, Steps: 12, Targets: 2, Restarts: 2},
		{Ball: Ball{L2, .15}, Steps: 12},
		{Ball: Ball{L1, .3}, Steps: 12, Targets: 2},
		{Ball: Ball{L1, .3}, Steps: 8, Restarts: 2},
	}
}

// slowRunOf is slowFAB for a run on an image of perceptron, under the attack name "fab" and seed 0.
func slowRunOf(f FAB, n slowNetwork, x []float32, y int32, image, run int) slowRun {
	clean, logits := widen(x), []float32{}
	for _, z := range n.logits(clean) {
		logits = append(logits, float32(z))
	}
	start, offset := slices.Clone(clean), make([]float32, len(x))
	if run%max(f.Restarts, 1) > 0 {
		f.start(offset, stream(0, "fab", image, run))
	}
	for i, v := range offset {
		start[i] = math.Max(0, math.Min(1, start[i]+float64(v)))
	}
	target := -1
	if f.Targets > 0 {
		target = ranked(logits)[1+run/max(f.Restarts, 1)]
	}
	return slowFAB(f.filled(), n, clean, start, int(y), target)
}

// doubtfulMargin is how near to the decision boundary an iterate is where float32 may decide otherwise than float64.
const doubtfulMargin = 1e-4

// TestFABFollowsThePaper compares all iterates with those of slowFAB, until one is doubtful.
func TestFABFollowsThePaper(t *testing.T) {
	const n = 12
	model, images, labels := perceptron(goBackend(t), n)
	d, slow, x := model.pixels(), newSlowNetwork(model), floats(images)
	e, err := newEngine(model, n)
	if err != nil {
		t.Fatal(err)
	}
	defer e.finalize()
	v := &evaluation{engine: e, images: images, labels: labels}
	var right []int
	for i := range n {
		logits := []float32{}
		for _, z := range slow.logits(widen(x[i*d : (i+1)*d])) {
			logits = append(logits, float32(z))
		}
		if v.natural = append(v.natural, logits...); ranked(logits)[0] == int(labels[i]) {
			right = append(right, i)
		}
	}
	rows := make([]int, len(right))
	for row := range rows {
		rows[row] = row
	}
	for _, f := range curvedFABs() {
		f.Minimal = true
		l := newLanes(e, f, func(j job) *rand.Rand { return stream(0, "fab", j.image, j.run) })
		w := f.walk(l).(*boundaryWalk)
		for run := range f.runs() {
			where := fmt.Sprintf("%+v, run %d", f, run)
			var jobs []job
			want, sure := make([]slowRun, len(rows)), make([]bool, len(rows))
			for row, i := range right {
				jobs, sure[row] = append(jobs, job{i, run}), true
				want[row] = slowRunOf(f, slow, x[i*d:(i+1)*d], labels[i], i, run)
			}
			if err := l.put(v, rows, jobs); err != nil {
				t.Fatal(err)
			}
			if err := w.load(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
			for k := range f.Steps {
				if _, err := w.step(t.Context()); err != nil {
					t.Fatal(err)
				}
				got, err := tensors.CopyFlatData[float32](w.state[0])
				if err != nil {
					t.Fatal(err)
				}
				for row := range rows {
					sure[row] = sure[row] && want[row].margins[k] > doubtfulMargin
					if !sure[row] || k == f.Steps-1 { // the last iterate may not be looked at
						continue
					}
					for i, p := range want[row].iterates[k] {
						if math.Abs(float64(got[row*d+i])-p) > 2e-5 {
							t.Fatalf("%s, image %d, iteration %d, pixel %d: %g, the paper's algorithm gives %g", where, right[row], k+1, i, got[row*d+i], p)
						}
					}
				}
			}
			doubtful := 0
			for row := range rows {
				got, p := float64(w.nearest[row]), want[row].nearest
				switch {
				case !sure[row]:
					doubtful++
				case got != p && !(math.Abs(got-p) <= 2e-5):
					t.Errorf("%s, image %d: distance %g, the paper's algorithm finds %g", where, right[row], got, p)
				}
			}
			if doubtful > len(rows)/3 {
				t.Errorf("%s: %d of %d rows cannot be compared", where, doubtful, len(rows))
			}
		}
		if err := w.free(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFABVerdicts compares what Evaluate reports with the runs of slowFAB: the smallest distance of all, and without
// Minimal a success exactly where it is at most eps.
func TestFABVerdicts(t *testing.T) {
	const n = 12
	model, images, labels := perceptron(goBackend(t), n)
	d, slow, x := model.pixels(), newSlowNetwork(model), floats(images)
	for _, f := range curvedFABs() {
		where := fmt.Sprintf("%+v", f)
		within, least := f, f
		least.Minimal = true
		r := evaluate(t, model, images, labels, []Attack{{Name: "fab", Method: least}}, Options{Batch: 5})
		distances := r.Attacks[0].Distances
		flags := evaluate(t, model, images, labels, []Attack{{Name: "fab", Method: within}}, Options{Batch: 5}).Attacks[0].RobustFlags
		broken, compared := 0, 0
		for i, right := range r.Clean.Flags {
			want, sure := math.Inf(1), right
			for run := range f.runs() {
				if right {
					found := slowRunOf(f, slow, x[i*d:(i+1)*d], labels[i], i, run)
					want = math.Min(want, found.nearest)
					sure = sure && slices.Min(found.margins) > doubtfulMargin
				}
			}
			if !sure || math.Abs(want-f.Ball.Eps) < 2e-5 {
				continue
			}
			compared++
			if got := float64(distances[i]); got != want && !(math.Abs(got-want) <= 2e-5) {
				t.Errorf("%s, image %d: distance %g, the paper's algorithm finds %g", where, i, got, want)
			}
			if robust := want > f.Ball.Eps; flags[i] != robust {
				t.Errorf("%s, image %d at distance %g: robust = %v", where, i, want, flags[i])
			} else if !robust {
				broken++
			}
		}
		if compared < n/3 || broken == 0 || broken == compared {
			t.Errorf("%s: %d of %d broken: the test needs both verdicts", where, broken, compared)
		}
	}
}

// TestFABOnLinearModels checks distances to 1%, and that without Minimal an image is broken exactly when eps exceeds its
// distance by 1%, for three shapes of images and three batch sizes.
func TestFABOnLinearModels(t *testing.T) {
	for _, c := range linearCases(t, 7) {
		list := []Attack{
			{Name: "fab", Method: FAB{Ball: c.ball, Steps: 10}},
			{Name: "fab-t", Method: FAB{Ball: c.ball, Steps: 10, Targets: 3}},
			{Name: "fab-min", Method: FAB{Ball: c.ball, Steps: 10, Minimal: true}},
			{Name: "fab-t-min", Method: FAB{Ball: c.ball, Steps: 10, Targets: 1, Minimal: true}},
		}
		c.check(t, list, func(where string, r *Result, i int, adv []float32) {
			if r.Distances == nil {
				checkReturned(t, where, c.ball, adv, c.x(i))
				return
			}
			got := float64(r.Distances[i])
			if !(got >= c.distances[i]*(1-1e-5) && got <= c.distances[i]*1.01) {
				t.Errorf("%s: image %d at distance %.6g, found %.6g", where, i, c.distances[i], got)
			}
			checkReturned(t, where, Ball{c.ball.Norm, got}, adv, c.x(i))
		})
	}
}

func TestFABDoesNotDependOnBatchSizeOrOrder(t *testing.T) {
	const n = 15
	model, images, labels := perceptron(goBackend(t), n)
	var list []Attack
	for k, f := range curvedFABs()[:5] {
		f.Steps, f.Minimal = 6, k%2 == 1
		list = append(list, Attack{Name: fmt.Sprint("fab ", k), Method: f})
	}
	want := evaluate(t, model, images, labels, list, Options{Batch: 64, Seed: 5, KeepAdv: true})
	sameInAnyBatch(t, model, images, labels, list, want)
}

// TestFABCost checks the passes: of an image that stays robust, three per iteration (a backward pass for each wrong class
// where untargeted) but for the last look, and of one that the first iteration breaks, one iteration. Each has its
// verification.
func TestFABCost(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 12))
	l := newLinear(rng, 12)
	images, labels := l.greyImages(rng, 9)
	for _, tc := range []struct {
		name                string
		fab                 FAB
		robust              int
		forwards, backwards int64
	}{
		{"robust", FAB{Ball: Ball{Linf, 1e-6}, Steps: 5, Restarts: 2, Targets: 1}, 9, 2 * (5 + 4 + 1), 2 * 5},
		{"robust, untargeted", FAB{Ball: Ball{L2, 1e-6}, Steps: 5}, 9, 5 + 4 + 1, 5 * 3},
		{"minimal", FAB{Ball: Ball{L2, 1e-6}, Steps: 1, Minimal: true}, 9, 1 + 1 + 1, 3},
		{"broken", FAB{Ball: Ball{Linf, 1}, Steps: 5, Targets: 3}, 0, 1 + 1 + 1, 1},
	} {
		r := evaluate(t, l.model(goBackend(t), [3]int{2, 2, 3}), images, labels, []Attack{{Name: "fab", Method: tc.fab}}, Options{Batch: 9}).Attacks[0]
		if robust := r.RobustFlags.count(); robust != tc.robust {
			t.Errorf("%s: %d robust, want %d", tc.name, robust, tc.robust)
		}
		if r.Forwards != 9*tc.forwards || r.Backwards != 9*tc.backwards {
			t.Errorf("%s: %d forwards and %d backwards, want %d and %d", tc.name, r.Forwards, r.Backwards, 9*tc.forwards, 9*tc.backwards)
		}
	}
}

// TestFABStart checks the lengths of the random starts, and that the first run of each target has none.
func TestFABStart(t *testing.T) {
	for _, norm := range []Norm{Linf, L2, L1} {
		f := FAB{Ball: Ball{norm, .3}, Restarts: 2, Targets: 2}
		offset := make([]float32, 50)
		f.start(offset, stream(0, "fab", 0, 1))
		if size := sizeOf(norm, widen(offset)); math.Abs(size-.15) > 1e-6 {
			t.Errorf("%s: a start at distance %g, want half of eps, .15", norm, size)
		}
		for run, want := range []bool{false, true, false, true} {
			if f.scattered(run) != want {
				t.Errorf("run %d of 2 restarts for 2 targets: random start %v, want %v", run, !want, want)
			}
		}
		for run, want := range []int{2, 2, 0, 0} {
			if got := f.target(run, []float32{3, 9, 5}); got != want {
				t.Errorf("run %d: target %d, want %d", run, got, want)
			}
		}
	}
}

// TestFABWithoutBudget checks that eps 0 returns the clean images bit for bit.
func TestFABWithoutBudget(t *testing.T) {
	const n = 6
	model, images, labels := perceptron(goBackend(t), n)
	for _, norm := range []Norm{Linf, L2, L1} {
		list := []Attack{{Name: "fab-t", Method: FAB{Ball: Ball{Norm: norm}, Steps: 3, Restarts: 2, Targets: 2}}}
		r := evaluate(t, model, images, labels, list, Options{Batch: 4, KeepAdv: true})
		if !slices.Equal(r.Attacks[0].Adv, floats(images)) || !slices.Equal(r.Attacks[0].RobustFlags, r.Clean.Flags) {
			t.Errorf("%s: eps 0 changes images or verdicts", norm)
		}
	}
}

// TestFABMoveWithoutGradient checks that a gradient of zero, NaN or infinite entries, or a NaN value, leads somewhere
// between the iterate and the clean image.
func TestFABMoveWithoutGradient(t *testing.T) {
	backend := goBackend(t)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x, clean := []float32{.2, .9, 0, .5}, []float32{.4, .8, .1, .5}
	for _, norm := range []Norm{Linf, L2, L1} {
		f := FAB{Ball: Ball{Norm: norm}}.filled()
		for _, w := range [][]float32{{0, 0, 0, 0}, {nan, nan, nan, nan}, {inf, 0, nan, -inf}} {
			for _, value := range []float32{-1, 0, nan, inf} {
				in := []any{[][][][]float32{{{x}}}, [][][][]float32{{{clean}}}, []float32{value}, [][][][]float32{{{w}}}}
				got := eval(t, backend, func(in []*Node) []*Node { return []*Node{f.move(in[0], in[1], in[2], in[3])} }, in...)[0].Value().([][][][]float32)[0][0][0]
				for i, v := range got {
					if !(v >= min(x[i], clean[i])-1e-6 && v <= max(x[i], clean[i])+1e-6) {
						t.Errorf("%s, gradient %v, value %g: value %d goes to %g", norm, w, value, i, v)
					}
				}
			}
		}
	}
}

func TestFABSettings(t *testing.T) {
	nan := math.NaN()
	good := FAB{Ball: Ball{L2, .5}}
	if err := good.Validate(10); err != nil {
		t.Errorf("defaults are refused: %v", err)
	}
	if f := (FAB{}).filled(); f != (FAB{Steps: 100, Restarts: 1, AlphaMax: .1, Eta: 1.05, Beta: .9}) {
		t.Errorf("defaults %+v are not AutoAttack's", f)
	}
	for want, change := range map[string]func(f *FAB){
		"norm l0":                    func(f *FAB) { f.Ball.Norm = L0 },
		"eps -1":                     func(f *FAB) { f.Ball.Eps = -1 },
		"steps -1":                   func(f *FAB) { f.Steps = -1 },
		"restarts -2":                func(f *FAB) { f.Restarts = -2 },
		"targets -3":                 func(f *FAB) { f.Targets = -3 },
		"targets 10: want at most 9": func(f *FAB) { f.Targets = 10 },
		"alpha max 1.5":              func(f *FAB) { f.AlphaMax = 1.5 },
		"alpha max NaN":              func(f *FAB) { f.AlphaMax = nan },
		"eta 0.5":                    func(f *FAB) { f.Eta = .5 },
		"eta +Inf":                   func(f *FAB) { f.Eta = math.Inf(1) },
		"beta -0.1":                  func(f *FAB) { f.Beta = -.1 },
		"beta 2":                     func(f *FAB) { f.Beta = 2 },
	} {
		f := good
		change(&f)
		if err := f.Validate(10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", f, err, want)
		}
	}
	if err := good.Validate(1); err == nil {
		t.Error("a model of one class is accepted")
	}
	for _, a := range fabPresets {
		if err := a.Validate(10); err != nil {
			t.Errorf("preset: %v", err)
		}
		norm, eps, steps, restarts := L2, .5, 7, 2
		changed, err := a.With(Override{Norm: &norm, Eps: &eps, Steps: &steps, Restarts: &restarts})
		f := changed.Method.(FAB)
		if err != nil || f.Ball != (Ball{L2, .5}) || f.Steps != 7 || f.Restarts != 2 || f.Targets != a.Method.(FAB).Targets {
			t.Errorf("%s with other settings: %+v, %v", a.Name, f, err)
		}
	}
}
