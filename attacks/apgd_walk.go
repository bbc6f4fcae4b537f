package attacks

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
)

// ascentWalk is APGD under way.
type ascentWalk struct {
	*lanes
	apgd   APGD
	course []moment
	state  []*tensors.Tensor // in the order of ascentState.fields
	scale  []float64         // of eps in each row
	claims int32             // mark of an iterate that ends the search
}

func (a APGD) walk(l *lanes) walker {
	w := &ascentWalk{lanes: l, apgd: a, course: a.course(), scale: make([]float64, l.size), claims: l.reached(a.expectation())}
	for row := range w.scale {
		w.scale[row] = 1
	}
	return w
}

// load puts the random starts of fresh jobs into their rows.
func (w *ascentWalk) load(ctx context.Context, rows []int) error {
	if w.state == nil {
		for i := range (&ascentState{}).fields() {
			if i < ascentImages {
				w.state = append(w.state, w.upload(make([]float32, len(w.x))))
			} else {
				w.state = append(w.state, tensors.FromValue(make([]float32, w.size)))
			}
		}
	}
	starts, d := make([]float32, len(w.x)), w.model.pixels()
	radii := make([]float32, w.size)
	for _, row := range rows {
		image := starts[row*d : (row+1)*d]
		a := w.apgd
		a.Ball.Eps *= w.scale[row]
		a.start(image, w.random(w.jobs[row]))
		for i := range image {
			image[i] = w.x[row*d+i] + image[i]
			if w.apgd.Ball.Norm != L1 {
				image[i] = min(max(image[i], 0), 1)
			}
		}
		radii[row] = float32(w.course[0].radius * w.scale[row])
	}
	program, err := seater(w.engine, w.apgd.Ball)
	if err != nil {
		return err
	}
	from, fresh := w.upload(starts), tensors.FromValue(radii)
	out, err := w.call(ctx, program, w.state[0], from, w.inputs.clean, fresh)
	if err != nil {
		return err
	}
	if err := free(w.state[0], from, fresh); err != nil {
		return err
	}
	w.state[0] = out[0]
	return nil
}

// step is one pass in all rows.
func (w *ascentWalk) step(ctx context.Context) ([]outcome, error) {
	w.inputs.images = make([]int, w.live()) // what the pass counts as
	now, err := w.expect(ctx, w.apgd.ascended(), &w.inputs, w.state[0], w.apgd.expectation())
	if err != nil {
		return nil, err
	}
	marks, err := w.read(now.marks)
	if err != nil {
		return nil, err
	}
	var claimed, spent []int
	for row, busy := range w.busy {
		switch {
		case !busy:
		case marks[row]&w.claims != 0 && w.course[w.steps[row]].counts && w.heeds(row):
			claimed = append(claimed, row)
		case w.steps[row] == len(w.course)-1:
			spent = append(spent, row)
		}
	}
	broken, err := w.images(w.state[0], claimed)
	if err != nil {
		return nil, err
	}
	if err := w.advance(ctx, now); err != nil {
		return nil, err
	}
	kept, err := w.images(w.state[2], spent)
	if err != nil {
		return nil, err
	}
	var ended []outcome
	for _, row := range claimed {
		ended = append(ended, outcome{row, broken[row], true})
	}
	for _, row := range spent {
		ended = append(ended, outcome{row, kept[row], false})
	}
	return ended, nil
}

// advance runs the step program and uses up the pass.
func (w *ascentWalk) advance(ctx context.Context, now pass) error {
	plan := make([]float32, w.size*planColumns)
	for row := range w.size {
		m := w.course[min(w.steps[row], len(w.course)-1)]
		p := plan[row*planColumns : (row+1)*planColumns]
		p[planFirst], p[planZero], p[planWindow] = one(m.first), one(m.zero), float32(m.window)
		p[planWeight] = float32(m.weight)
		p[planRadius], p[planNext] = float32(m.radius*w.scale[row]), float32(m.next*w.scale[row])
		if w.busy[row] {
			w.steps[row]++
		}
	}
	program, err := w.apgd.stepper(w.engine)
	if err != nil {
		return err
	}
	inputs, err := w.donate(append(w.state[:len(w.state):len(w.state)], now.grad)...)
	if err != nil {
		return err
	}
	moments := tensors.FromFlatDataAndDimensions(plan, w.size, planColumns)
	last := len(inputs) - 1
	inputs = append(inputs[:last:last], w.inputs.clean, inputs[last], now.losses, moments)
	out, err := w.call(ctx, program, inputs...)
	if err != nil {
		return err
	}
	w.state = out
	return free(now.losses, now.marks, moments)
}

func one(condition bool) float32 {
	if condition {
		return 1
	}
	return 0
}

func (w *ascentWalk) free() error { return free(w.state...) }
