package attacks

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Columns of the plan, float32 [B, 5], that a move is given.
const (
	approachFirst = iota
	approachNoise
	approachSchedule = approachNoise + 2
	approachColumns  = approachSchedule + 2
)

// approachKey names the programs of all approaches that move alike.
type approachKey struct {
	name   string
	method any
}

func prepareApproach(m approach, e *engine) error {
	if err := e.prepareGradient(m.goal()); err != nil {
		return err
	}
	if _, err := approachStepper(m, e); err != nil {
		return err
	}
	_, err := approachLoader(e)
	return err
}

// approachLoader is the program that puts clean images into fresh rows: x, clean, and 1 where a row is fresh.
func approachLoader(e *engine) (*Exec, error) {
	return e.prepareUpdate(approachKey{name: "load"}, "approach load", func(in []*Node) []*Node {
		x, clean, fresh := in[0], in[1], in[2]
		return []*Node{wherever(GreaterThan(fresh, ZerosLike(fresh)), clean, x)}
	}, e.imageShape(), e.imageShape(), e.lossShape())
}

// approachStepper is the program between two passes. It takes and returns x, best, the method's images, distance, the
// method's numbers and marks; after them it takes the gradient, clean, natural, losses and marks of the pass, and the plan.
func approachStepper(m approach, e *engine) (*Exec, error) {
	images, numbers := m.state()
	var inputs []shapes.Shape
	for range images + 2 {
		inputs = append(inputs, e.imageShape())
	}
	for range numbers + 1 {
		inputs = append(inputs, e.lossShape())
	}
	inputs = append(inputs, e.labelShape(), e.imageShape(), e.imageShape(), e.scoreShape(), e.lossShape(), e.labelShape(),
		shapes.Make(dtypes.Float32, e.size, approachColumns))
	return e.prepareUpdate(approachKey{"step", m.program()}, fmt.Sprintf("%T step", m), func(in []*Node) []*Node {
		s := approachState{x: in[0], best: in[1], images: in[2 : 2+images]}
		in = in[2+images:]
		s.distance, s.numbers, s.marks = in[0], in[1:1+numbers], in[1+numbers]
		in = in[2+numbers:]
		s.advance(m, probe{grad: finite(in[0]), clean: in[1], natural: in[2], losses: in[3], wrong: marked(in[4], markWrong)}, in[4], in[5])
		out := append([]*Node{s.x, s.best}, s.images...)
		return append(append(append(out, s.distance), s.numbers...), s.marks)
	}, inputs...)
}

// advance takes a pass into account and moves.
func (s *approachState) advance(m approach, p probe, marks, plan *Node) {
	column := func(k int) *Node { return Squeeze(SliceAxis(plan, -1, AxisElem(k)), -1) }
	p.first = GreaterThan(column(approachFirst), ZerosLike(column(approachFirst)))
	for k := range 2 {
		p.noise[k], p.schedule[k] = column(approachNoise+k), column(approachSchedule+k)
	}
	s.marks = BitwiseOr(Where(p.first, ZerosLike(marks), s.marks), marks)
	s.distance = Where(p.first, constant(s.distance, math.Inf(1)), s.distance)
	m.move(s, p)
}

// approachWalk is an approach under way. All jobs take the same number of steps, so that the host reads nothing before the
// last of them.
type approachWalk struct {
	*lanes
	method approach
	state  []*tensors.Tensor // in the order of approachStepper
	noise  []*rand.Rand      // of the job in each row
}

func walkApproach(m approach, l *lanes) walker {
	return &approachWalk{lanes: l, method: m, noise: make([]*rand.Rand, l.size)}
}

// begin makes the state before the first job.
func (w *approachWalk) begin() {
	images, numbers := w.method.state()
	for range images + 2 {
		w.state = append(w.state, w.upload(make([]float32, len(w.x))))
	}
	for range numbers + 1 {
		w.state = append(w.state, tensors.FromValue(make([]float32, w.size)))
	}
	w.state = append(w.state, tensors.FromValue(make([]int32, w.size)))
}

// load starts fresh jobs at their clean images. Their first move resets the rest of the state.
func (w *approachWalk) load(ctx context.Context, rows []int) error {
	if w.state == nil {
		w.begin()
	}
	fresh := make([]float32, w.size)
	for _, row := range rows {
		fresh[row] = 1
		w.noise[row] = w.random(w.jobs[row])
	}
	program, err := approachLoader(w.engine)
	if err != nil {
		return err
	}
	flags := tensors.FromValue(fresh)
	out, err := w.call(ctx, program, w.state[0], w.inputs.clean, flags)
	if err != nil {
		return err
	}
	if err := free(w.state[0], flags); err != nil {
		return err
	}
	w.state[0] = out[0]
	return nil
}

// step is one pass and one move in all rows.
func (w *approachWalk) step(ctx context.Context) ([]outcome, error) {
	w.inputs.images = make([]int, w.live()) // what the pass counts as
	now, err := w.ascend(ctx, w.method.goal(), &w.inputs, w.state[0])
	if err != nil {
		return nil, err
	}
	if err := w.advance(ctx, now); err != nil {
		return nil, err
	}
	var done []int
	for row, busy := range w.busy {
		if busy {
			w.steps[row]++
			if w.steps[row] == w.method.passes() {
				done = append(done, row)
			}
		}
	}
	if done == nil {
		return nil, nil
	}
	return w.finish(done)
}

// advance runs the step program and uses up the pass.
func (w *approachWalk) advance(ctx context.Context, now pass) error {
	plan := make([]float32, w.size*approachColumns)
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		p := plan[row*approachColumns : (row+1)*approachColumns]
		p[approachFirst] = one(w.steps[row] == 0)
		for k, v := range w.method.schedule(w.steps[row]) {
			p[approachNoise+k] = float32(w.noise[row].Uint32() >> noiseShift)
			p[approachSchedule+k] = float32(v)
		}
	}
	program, err := approachStepper(w.method, w.engine)
	if err != nil {
		return err
	}
	inputs, err := w.donate(append(w.state[:len(w.state):len(w.state)], now.grad)...)
	if err != nil {
		return err
	}
	moves := tensors.FromFlatDataAndDimensions(plan, w.size, approachColumns)
	inputs = append(inputs, w.inputs.clean, w.inputs.natural, now.losses, now.marks, moves)
	out, err := w.call(ctx, program, inputs...)
	if err != nil {
		return err
	}
	w.state = out
	return free(now.losses, now.marks, moves)
}

// finish ends the jobs of some rows: with the nearest adversarial image, or else where the last move led, which no pass has
// judged.
func (w *approachWalk) finish(rows []int) ([]outcome, error) {
	images, _ := w.method.state()
	distances, err := tensors.CopyFlatData[float32](w.state[2+images])
	if err != nil {
		return nil, fmt.Errorf("reading distances: %w", err)
	}
	if _, err := w.read(w.state[len(w.state)-1]); err != nil {
		return nil, err
	}
	var found, missed []int
	for _, row := range rows {
		if math.IsInf(float64(distances[row]), 1) {
			missed = append(missed, row)
		} else {
			found = append(found, row)
		}
	}
	best, err := w.images(w.state[1], found)
	if err != nil {
		return nil, err
	}
	last, err := w.images(w.state[0], missed)
	if err != nil {
		return nil, err
	}
	var ended []outcome
	for _, row := range found {
		ended = append(ended, outcome{row, best[row], true})
	}
	for _, row := range missed {
		ended = append(ended, outcome{row, last[row], false})
	}
	return ended, nil
}

func (w *approachWalk) free() error { return free(w.state...) }
