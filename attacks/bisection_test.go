package attacks

import (
	"context"
	"math"
	"slices"
	"testing"
)

// TestOneRoundIsTheAttack checks the eps of rows: a round at eps is the attack with that eps, whatever the eps of its ball.
func TestOneRoundIsTheAttack(t *testing.T) {
	const n, eps = 24, .05
	model, images, labels := perceptron(goBackend(t), n)
	for name, ball := range map[string]Ball{"linf": {Linf, eps}, "l2": {L2, 3 * eps}, "l1": {L1, 8 * eps}} {
		small := Ball{ball.Norm, ball.Eps / 8}
		for _, tc := range []struct{ alone, inside Method }{
			{APGD{Ball: ball, Steps: 5, Loss: "ce"}, APGD{Ball: small, Steps: 5, Loss: "ce"}},
			{APGD{Ball: ball, Steps: 8, Loss: "dlr", Shrink: ball.Norm == L1}, APGD{Ball: small, Steps: 8, Loss: "dlr", Shrink: ball.Norm == L1}},
			{PGD{Ball: ball, Steps: 3, StepSize: ball.Eps / 2, Start: Uniform, Loss: "ce", Best: true},
				PGD{Ball: small, Steps: 3, StepSize: small.Eps / 2, Start: Uniform, Loss: "ce"}},
			{PGD{Ball: ball, Steps: 3, StepSize: ball.Eps / 2, Start: UniformUnclipped, Loss: "dlr", Best: true},
				PGD{Ball: small, Steps: 3, StepSize: small.Eps / 2, Start: UniformUnclipped, Loss: "dlr"}},
		} {
			run := func(m Method) *Result {
				return evaluate(t, model, images, labels, []Attack{{Name: "a", Method: m}}, Options{Batch: 8, Seed: 4, KeepAdv: true}).Attacks[0]
			}
			want, got := run(tc.alone), run(Bisection{Attack: tc.inside, Max: ball.Eps, Rounds: 1})
			broken := 0
			for i, robust := range want.RobustFlags {
				found := !math.IsInf(float64(got.Distances[i]), 1)
				if found == robust {
					t.Errorf("%s, %T: image %d: found %v, robust %v", name, tc.alone, i, found, robust)
				}
				if found {
					broken++
					checkReturned(t, name, ball, got.Adv[i*12:(i+1)*12], floats(images[i*12:(i+1)*12]))
				}
			}
			if broken < 6 || broken == n {
				t.Errorf("%s, %T: %d of %d broken: the test needs both", name, tc.alone, broken, n)
			}
		}
	}
}

// threshold is an inner search that takes as many passes as a row's number to succeed, at 0.9 of the eps, where that is at
// least a threshold of the row.
type threshold struct {
	*lanes
	least, eps []float64
	asked      [][]float64 // eps of each round
	loaded     []int
}

func (w *threshold) limit(row int, eps float64) {
	w.eps[row] = eps
	w.asked[row] = append(w.asked[row], eps)
}

func (w *threshold) load(_ context.Context, rows []int) error {
	for _, row := range rows {
		w.loaded[row]++
	}
	return nil
}

func (w *threshold) step(context.Context) (ended []outcome, err error) {
	d := w.model.pixels()
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		w.steps[row]++
		if w.steps[row] <= row {
			continue
		}
		adv := slices.Clone(w.x[row*d : (row+1)*d])
		adv[0] += float32(.9 * w.eps[row])
		ended = append(ended, outcome{row, adv, w.eps[row] >= w.least[row]})
	}
	return ended, nil
}

func (w *threshold) free() error { return nil }

func TestBisectionNarrowsItsInterval(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 6)
	for i := range 4 {
		images[i*12] = 0
	}
	b := Bisection{Attack: PGD{Ball: Ball{Linf, .1}, Loss: "ce"}, Max: .25, Rounds: 6, Tolerance: .12}
	l, walk := underWay(t, model, images, labels, b, 4)
	w := walk.(*bisectionWalk)
	inner := &threshold{
		lanes: l, least: []float64{.2, .3, 1, 1e-9}, eps: make([]float64, 4), asked: make([][]float64, 4), loaded: make([]int, 4),
	}
	w.inner = inner
	if err := w.load(t.Context(), []int{0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	results := map[int]outcome{}
	for range 100 {
		ended, err := w.step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range ended {
			results[o.row] = o
			w.busy[o.row] = false
		}
	}
	for row, least := range inner.least {
		low, high, best := 0., .5, 0.
		var want []float64
		for range 6 {
			eps := (low + high) / 2
			want = append(want, eps)
			if eps >= least {
				high, best = .9*eps, .9*eps
			} else {
				low = eps
			}
			if high-low <= .12*high {
				break
			}
		}
		if !slices.EqualFunc(inner.asked[row], want, func(p, q float64) bool { return near(p, q, 1e-6) }) {
			t.Errorf("row %d: eps %v, want %v", row, inner.asked[row], want)
		}
		o, ok := results[row]
		if !ok || o.claimed != (best > 0) || best > 0 && !near(float64(o.adv[0]), best, 1e-6) {
			t.Errorf("row %d: ended %v, claimed %v, at %v, want %g", row, ok, o.claimed, o.adv, best)
		}
		if inner.loaded[row] != len(want) {
			t.Errorf("row %d: loaded %d times, want %d", row, inner.loaded[row], len(want))
		}
	}
}

// TestBisectionBeyondItsReach checks that what lies beyond twice the largest eps is reported as not found.
func TestBisectionBeyondItsReach(t *testing.T) {
	const n = 18
	model, images, labels := perceptron(goBackend(t), n)
	b := Bisection{Attack: APGD{Ball: Ball{L2, .1}, Steps: 5, Loss: "ce"}, Rounds: 6}
	all := evaluate(t, model, images, labels, []Attack{{Name: "a", Method: b}}, Options{Batch: 8}).Attacks[0]
	b.Max = float64(*all.MedianDistance) / 2
	some := evaluate(t, model, images, labels, []Attack{{Name: "a", Method: b}}, Options{Batch: 8}).Attacks[0]
	beyond := 0
	for i, distance := range some.Distances {
		switch far := float64(all.Distances[i]) > 2.2*b.Max; {
		case math.IsInf(float64(distance), 1):
			beyond++
		case far || float64(distance) > 2*b.Max*(1+1e-6):
			t.Errorf("image %d: distance %g within a reach of %g, %g without", i, distance, 2*b.Max, all.Distances[i])
		}
	}
	if beyond == 0 || beyond > n/2 || *some.Found != *all.Found-beyond || *all.Found < n/2 {
		t.Errorf("%d beyond reach, found %d of %d", beyond, *some.Found, *all.Found)
	}
}
