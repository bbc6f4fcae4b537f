package attacks

import (
	"context"
	"math"
	"testing"
)

// jumps is a search for the smallest perturbation that makes one jump a run, to the same side in all pixels.
type jumps struct {
	Ball  Ball
	Sizes []float64
	Wild  bool // claims all it tries, leaves the box, and returns NaN in its second run
}

func (j jumps) Budget() Ball              { return j.Ball }
func (j jumps) Validate(int) error        { return nil }
func (j jumps) minimizes() bool           { return true }
func (j jumps) runs() int                 { return len(j.Sizes) }
func (j jumps) passes() int               { return 1 }
func (j jumps) goal() goal                { return cleanGoal }
func (j jumps) prepare(*engine) error     { return nil }
func (j jumps) target(int, []float32) int { return -1 }
func (j jumps) walk(l *lanes) walker      { return jumping{l, j} }

type jumping struct {
	*lanes
	jumps
}

func (w jumping) load(context.Context, []int) error { return nil }
func (w jumping) free() error                       { return nil }

func (w jumping) step(ctx context.Context) (ended []outcome, err error) {
	d := w.model.pixels()
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		adv := append([]float32(nil), w.x[row*d:(row+1)*d]...)
		for i := range adv {
			adv[i] += float32(w.Sizes[w.jobs[row].run])
			if !w.Wild {
				adv[i] = min(adv[i], 1)
			}
		}
		if w.Wild && w.jobs[row].run == 1 {
			adv[0] = float32(math.NaN())
		}
		ended = append(ended, outcome{row, adv, w.Wild || w.jobs[row].run != 1})
	}
	return ended, nil
}

// TestSmallestPerturbation checks that all runs are made, that the smallest verified distance counts whatever was claimed,
// and that flags compare it with eps.
func TestSmallestPerturbation(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 30)
	x, d := floats(images), model.pixels()
	sizes := []float64{.5, .2, .07, .3}
	moved := func(size float64) []float32 {
		out := make([]float32, len(x))
		for k := range out {
			out[k] = min(x[k]+float32(size), 1)
		}
		return out
	}
	wrong := map[float64]Flags{}
	for _, size := range append([]float64{0}, sizes...) {
		wrong[size] = make(Flags, len(labels))
		for i, class := range predict(t, model, moved(size)) {
			wrong[size][i] = class != labels[i]
		}
	}
	clean := wrong[0]
	list := []Attack{{Name: "honest", Method: jumps{Ball{Linf, .21}, sizes, false}}}
	r := evaluate(t, model, images, labels, list, Options{Batch: 4, KeepAdv: true}).Attacks[0]
	found := 0
	for i := range labels {
		want, right := math.Inf(1), !clean[i]
		if !right {
			want = 0
		}
		for _, size := range sizes {
			if right && wrong[size][i] {
				want = min(want, Ball{Norm: Linf}.distance(moved(size)[i*d:(i+1)*d], x[i*d:(i+1)*d]))
			}
		}
		if right && !math.IsInf(want, 1) {
			found++
		}
		if got := float64(r.Distances[i]); got != want && !(math.Abs(got-want) < 1e-6) {
			t.Errorf("image %d: distance %g, want %g", i, got, want)
		}
		if r.RobustFlags[i] != (want > .21*(1+1e-6)+1e-7) {
			t.Errorf("image %d at distance %g: robust = %v at eps .21", i, want, r.RobustFlags[i])
		}
		if !math.IsInf(want, 1) {
			if got := (Ball{Norm: Linf}).distance(r.Adv[i*d:(i+1)*d], x[i*d:(i+1)*d]); math.Abs(got-want) > 1e-6 {
				t.Errorf("image %d: returned at distance %g, want %g", i, got, want)
			}
		}
	}
	if *r.Found != found || found == 0 {
		t.Errorf("found %d, want %d, and some", *r.Found, found)
	}
	wild := evaluate(t, model, images, labels, []Attack{{Name: "wild", Method: jumps{Ball{Linf, 3}, []float64{2, 2}, true}}}, Options{Batch: 4})
	if r := wild.Attacks[0]; *r.Found != 0 || r.RobustFlags.count() != 30-clean.count() {
		t.Errorf("%d found and %d robust although all images lay outside the box", *r.Found, r.RobustFlags.count())
	}
}

// predict is the class of each image.
func predict(t *testing.T, model Model, images []float32) (classes []int32) {
	t.Helper()
	e, err := newEngine(model, len(images)/model.pixels())
	if err != nil {
		t.Fatal(err)
	}
	defer e.finalize()
	scores, err := e.scores(t.Context(), &batch{}, e.upload(images))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range scores.Value().([][]float32) {
		classes = append(classes, int32(ranked(row)[0]))
	}
	return classes
}
