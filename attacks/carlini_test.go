package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// underWay starts a search on the first images, one a row.
func underWay(t *testing.T, model Model, images []uint8, labels []int32, method search, rows int) (*lanes, walker) {
	t.Helper()
	e, err := newEngine(model, rows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.finalize)
	v := &evaluation{engine: e, images: images, labels: labels, opt: Options{Progress: func(Progress) {}}}
	if err := v.measureClean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := method.prepare(e); err != nil {
		t.Fatal(err)
	}
	l := newLanes(e, method, func(j job) *rand.Rand { return stream(0, "test", j.image, j.run) })
	all, jobs := make([]int, rows), make([]job, rows)
	for row := range rows {
		all[row], jobs[row] = row, job{image: row}
	}
	w := method.walk(l)
	if err := l.put(v, all, jobs); err != nil {
		t.Fatal(err)
	}
	if err := w.load(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return l, w
}

// TestCarliniStepsFollowTheFormula compares the iterates with the formulas in float64.
func TestCarliniStepsFollowTheFormula(t *testing.T) {
	const rows, d, steps, tau = 5, 12, 4, .004
	model, images, labels := perceptron(goBackend(t), 6)
	images, labels = images[d:], labels[1:] // image 0 is misclassified from the start: its gradient is all rounding
	images[3], images[4], images[d] = 0, 255, 255
	slow := slowPerceptron(t, model)
	for _, method := range []search{
		Carlini{Ball: Ball{L2, .1}, Outer: 1, Inner: 100, LR: .03, C: .7, Kappa: .4},
		CarliniLinf{Ball: Ball{Linf, .1}, Inner: 100, LR: .03, C: .7, Largest: 1, Factor: .9, Kappa: .4},
	} {
		_, walk := underWay(t, model, images, labels, method, rows)
		w := walk.(*adamWalk)
		for row := range w.at {
			w.at[row].tau = tau
		}
		for range steps {
			if ended, err := w.step(t.Context()); err != nil || len(ended) > 0 {
				t.Fatalf("%v, %v", ended, err)
			}
		}
		got, err := tensors.CopyFlatData[float32](w.state[1])
		if err != nil {
			t.Fatal(err)
		}
		for row := range rows {
			want := slowCarlini(method, widen(floats(images[row*d:(row+1)*d])), int(labels[row]), steps, tau, slow)
			for i, v := range want {
				if math.Abs(float64(got[row*d+i])-v) > 2e-5 {
					t.Errorf("%T: image %d: pixel %d is %g, want %g", method, row, i, got[row*d+i], v)
				}
			}
		}
		if err := w.free(); err != nil {
			t.Fatal(err)
		}
	}
}

// slowCarlini takes steps of Adam for c = 0.7, kappa = 0.4 and a learning rate of 0.03.
func slowCarlini(method search, clean []float64, y, steps int, tau float64, model func(x []float64) ([]float64, [][]float64)) []float64 {
	d := len(clean)
	w, x, first, second := make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, d)
	for i, v := range clean {
		w[i] = math.Atanh((2*v - 1) * (1 - 1e-6))
		x[i] = (math.Tanh(w[i]) + 1) / 2
	}
	for t := 1; t <= steps; t++ {
		z, grads := model(x)
		other := 0
		for k := range z {
			if k != y && (other == y || z[k] > z[other]) {
				other = k
			}
		}
		for i := range x {
			delta := x[i] - clean[i]
			g := 2 * delta
			if method.Budget().Norm == Linf {
				g = 0
				if math.Abs(delta) > tau {
					g = math.Copysign(1, delta)
				}
			}
			if z[y]-z[other]+.4 > 0 {
				g += .7 * (grads[y][i] - grads[other][i])
			}
			g *= (1 - math.Pow(math.Tanh(w[i]), 2)) / 2
			first[i] = .9*first[i] + .1*g
			second[i] = .999*second[i] + .001*g*g
			mean, square := first[i]/(1-math.Pow(.9, float64(t))), second[i]/(1-math.Pow(.999, float64(t)))
			w[i] -= .03 * mean / (math.Sqrt(square) + 1e-8)
			x[i] = (math.Tanh(w[i]) + 1) / 2
		}
	}
	return x
}

// scripted runs a schedule on losses, and returns the c of each attempt and after how many passes it ended.
func scripted(s attempts, pass func(a attempt) passed) (c []float64, passes []int) {
	a := s.first()
	c = append(c, a.c)
	for n := 1; ; n++ {
		now := a
		switch s.after(&a, pass(now)) {
		case goOn:
			continue
		case finished:
			return c, append(passes, n)
		}
		c, passes, n = append(c, a.c), append(passes, n), 0
	}
}

// TestCarliniSearchesForC has images that need a certain c, and losses that fall or stand still.
func TestCarliniSearchesForC(t *testing.T) {
	needs := func(c float64) func(a attempt) passed {
		return func(a attempt) passed { return passed{loss: 1 / float64(1+a.step), success: a.c >= c && a.step == 3} }
	}
	for name, tc := range map[string]struct {
		outer  int
		pass   func(a attempt) passed
		c      []float64
		passes int // of each attempt
	}{
		"found by tens, then halved": {6, needs(.05), []float64{1e-3, 1e-2, 1e-1, .055, .0325, .04375}, 20},
		"never":                      {4, needs(1e20), []float64{1e-3, 1e-2, 1e-1, 1}, 20},
		"at once":                    {4, needs(0), []float64{1e-3, 5e-4, 2.5e-4, 1.25e-4}, 20},
		"the last of ten repeats":    {10, needs(.05), []float64{1e-3, 1e-2, 1e-1, .055, .0325, .04375, .049375, .0521875, .05078125, .05078125}, 20},
		"the last of ten, in vain":   {10, needs(1e20), []float64{1e-3, 1e-2, 1e-1, 1, 10, 100, 1e3, 1e4, 1e5, 1e10}, 20},
		"standing still":             {2, func(a attempt) passed { return passed{loss: 1} }, []float64{1e-3, 1e-2}, 5},
	} {
		c, passes := scripted(Carlini{Outer: tc.outer, Inner: 20, C: 1e-3}, tc.pass)
		if !slices.EqualFunc(c, tc.c, func(p, q float64) bool { return near(p, q, 1e-12) }) {
			t.Errorf("%s: c %v, want %v", name, c, tc.c)
		}
		if want := slices.Repeat([]int{tc.passes}, tc.outer); !slices.Equal(passes, want) {
			t.Errorf("%s: attempts of %v passes, want %v", name, passes, want)
		}
	}
}

// TestCarliniLinfShrinksTau has an image that is solved at its third pass where tau is at least 0.1 and c at least 0.04:
// at a distance of 0.3 first, and 0.98 tau later.
func TestCarliniLinfShrinksTau(t *testing.T) {
	s := CarliniLinf{Inner: 20, C: .01, Largest: 1, Factor: .5, Tau: .05, Finer: 1}
	distance := func(tau float64) float64 { return min(.3, .98*tau) }
	solved := func(a attempt) bool { return a.step == 2 && a.tau >= .1 && a.c >= .04 }
	var taus []float64
	c, passes := scripted(s, func(a attempt) passed {
		if a.step == 0 {
			taus = append(taus, a.tau)
		}
		if solved(a) {
			return passed{loss: 0, distance: distance(a.tau), success: true}
		}
		return passed{loss: 1 / float64(1+a.step), distance: 1}
	})
	d1 := .98 * .15 // the second distance, from tau = .5 * .3
	finer := math.Sqrt(.5) * d1
	wantTaus := []float64{1, 1, 1, .15, .5 * d1, .5 * d1, .5 * d1, .5 * d1, .5 * d1, finer, math.Sqrt(.5) * .98 * finer}
	wantC := []float64{.01, .02, .04, .04, .04, .08, .16, .32, .64, .04, .04}
	wantPasses := []int{20, 20, 3, 3, 20, 20, 20, 20, 20, 3, 20}
	for _, more := range []float64{.08, .16, .32, .64} {
		wantTaus, wantC, wantPasses = append(wantTaus, math.Sqrt(.5)*.98*finer), append(wantC, more), append(wantPasses, 20)
	}
	close := func(p, q float64) bool { return near(p, q, 1e-12) }
	if !slices.EqualFunc(taus, wantTaus, close) || !slices.EqualFunc(c, wantC, close) || !slices.Equal(passes, wantPasses) {
		t.Errorf("tau %v\nwant %v\nc %v\nwant %v\npasses %v\nwant %v", taus, wantTaus, c, wantC, passes, wantPasses)
	}
	if _, passes := scripted(s, func(attempt) passed { return passed{loss: 1, distance: 1} }); len(passes) != 7 {
		t.Errorf("an image that nothing breaks: %d attempts, want 7, with c from .01 to .64", len(passes))
	}
}

// TestCarliniKappa checks that kappa asks for a margin, at a price.
func TestCarliniKappa(t *testing.T) {
	const n = 12
	model, images, labels := perceptron(goBackend(t), n)
	slow := slowPerceptron(t, model)
	c := Carlini{Ball: Ball{L2, .1}, Outer: 5, Inner: 40, LR: .05, C: .1}
	sure := c
	sure.Kappa = 1
	r := evaluate(t, model, images, labels, []Attack{{Name: "0", Method: c}, {Name: "1", Method: sure}}, Options{Batch: 16, KeepAdv: true})
	if *r.Attacks[1].Found < 8 {
		t.Fatalf("found %d", *r.Attacks[1].Found)
	}
	for i := range n {
		got := r.Attacks[1].Distances[i]
		if got == 0 || math.IsInf(float64(got), 1) {
			continue
		}
		if z, _ := slow(widen(r.Attacks[1].Adv[i*12 : (i+1)*12])); margin(z, int(labels[i])) > -1+1e-4 {
			t.Errorf("image %d: margin %g, want -1 or less", i, margin(z, int(labels[i])))
		}
		if got <= r.Attacks[0].Distances[i] {
			t.Errorf("image %d: distance %g with a margin, %g without", i, got, r.Attacks[0].Distances[i])
		}
	}
}
