package attacks

import (
	"context"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Columns of the plan, float32 [B, 6], that tells the step program which moment each row is at.
const (
	planFirst = iota
	planWindow
	planZero
	planWeight
	planRadius
	planNext
	planColumns
)

// ascentState is the state of APGD in all rows, as nodes of the step program. Images are [B, H, W, C], the rest [B].
type ascentState struct {
	x, before  *Node // the iterate that the pass was at, and the one before it
	best, grad *Node // the iterate of the highest loss, and the gradient there
	bestLoss   *Node
	loss       *Node // of the last pass
	checkLoss  *Node // the highest loss at the last check
	stepSize   *Node
	rises      *Node // steps with a rise since the last check
	halved     *Node // 1 where the last check shortened the steps
	share      *Node // L1: share of the pixel values that a step moves
	support    *Node // L1: pixel values that differed from the clean image at the last check
}

func (s *ascentState) fields() []**Node {
	return []**Node{&s.x, &s.before, &s.best, &s.grad, &s.bestLoss, &s.loss, &s.checkLoss, &s.stepSize, &s.rises, &s.halved, &s.share, &s.support}
}

// firstShare is the share of the pixel values that the first steps of APGD in L1 move, unless it shrinks balls.
const firstShare = .2

// ascentImages is how many of the fields are images.
const ascentImages = 4

func (e *engine) planShape() shapes.Shape { return shapes.Make(dtypes.Float32, e.size, planColumns) }

// prepare compiles the programs of the walk.
func (a APGD) prepare(e *engine) error {
	if err := e.prepareGradient(a.ascended()); err != nil {
		return err
	}
	if err := e.prepareExpectation(a.expectation()); err != nil {
		return err
	}
	if _, err := a.stepper(e); err != nil {
		return err
	}
	_, err := a.loader(e)
	return err
}

// ascentKey names the programs of all APGDs that move alike.
type ascentKey struct {
	program string
	ball    Ball
	rho     float64
	shrink  bool
}

// loader is the program that puts starts into fresh rows: x, starts, clean, and which rows are fresh and how far their
// ball reaches, in units of eps (0 elsewhere).
func (a APGD) loader(e *engine) (*Exec, error) {
	return e.prepareUpdate(ascentKey{"load", a.Ball, 0, false}, "apgd load", func(in []*Node) []*Node {
		x, starts, clean, radius := in[0], in[1], in[2], in[3]
		if a.Ball.Eps == 0 {
			starts = clean
		} else {
			starts = projectWithin(a.Ball.Norm, starts, clean, a.reach(radius))
		}
		return []*Node{wherever(GreaterThan(radius, ZerosLike(radius)), starts, x)}
	}, e.imageShape(), e.imageShape(), e.imageShape(), e.lossShape())
}

// reach is a radius [B] in units of eps as float64 [B, 1, 1, 1] in pixel units.
func (a APGD) reach(radius *Node) *Node {
	return MulScalar(InsertAxes(ConvertDType(radius, dtypes.Float64), -1, -1, -1), a.Ball.Eps)
}

// wherever is Where with a condition [B] about whole images.
func wherever(rows, a, b *Node) *Node {
	return Where(BroadcastToShape(InsertAxes(rows, -1, -1, -1), a.Shape()), a, b)
}

// stepper is the program between two passes: bookkeeping, checks and the move.
func (a APGD) stepper(e *engine) (*Exec, error) {
	var inputs []shapes.Shape
	for i := range (&ascentState{}).fields() {
		if i < ascentImages {
			inputs = append(inputs, e.imageShape())
		} else {
			inputs = append(inputs, e.lossShape())
		}
	}
	inputs = append(inputs, e.imageShape(), e.imageShape(), e.lossShape(), e.planShape())
	return e.prepareUpdate(ascentKey{"step", a.Ball, a.rho(), a.Shrink}, "apgd step", func(in []*Node) []*Node {
		var s ascentState
		for i, field := range s.fields() {
			*field = in[i]
		}
		rest := in[len(s.fields()):]
		s.advance(a, rest[0], rest[1], rest[2], rest[3])
		var out []*Node
		for _, field := range s.fields() {
			out = append(out, *field)
		}
		return out
	}, inputs...)
}

// advance takes the gradient and losses of the pass at s.x into account and moves s.x.
func (s *ascentState) advance(a APGD, clean, grad, losses, plan *Node) {
	column := func(k int) *Node { return Squeeze(SliceAxis(plan, -1, AxisElem(k)), -1) }
	is := func(k int) *Node { return GreaterThan(column(k), ZerosLike(column(k))) }
	first := is(planFirst)
	losses = Where(IsNaN(losses), BroadcastToShape(Infinity(losses.Graph(), losses.DType(), -1), losses.Shape()), losses)
	s.begin(a, first, clean, losses, column(planRadius))

	rise := GreaterThan(losses, Where(is(planZero), ZerosLike(losses), s.loss))
	s.rises = Add(s.rises, ConvertDType(rise, s.rises.DType()))
	s.loss = losses
	better := LogicalOr(first, GreaterThan(losses, s.bestLoss))
	s.best, s.grad = wherever(better, s.x, s.best), wherever(better, grad, s.grad)
	s.bestLoss = Where(better, losses, s.bestLoss)

	var back *Node // rows that return to their best iterate
	if a.Ball.Norm == L1 {
		back = s.checkL1(a, is(planWindow), clean, column(planRadius))
	} else {
		back = s.check(a, is(planWindow), column(planWindow))
	}
	x, direction := wherever(back, s.best, s.x), wherever(back, s.grad, grad)
	s.move(a, x, direction, clean, column(planWeight), column(planRadius))
	if a.Shrink {
		s.x = wherever(is(planNext), projectL1(s.best, clean, a.reach(column(planNext))), s.x)
	}
}

// begin resets the rows at the start of a stage.
func (s *ascentState) begin(a APGD, first, clean, losses, radius *Node) {
	one := OnesLike(losses)
	s.before = wherever(first, s.x, s.before)
	s.checkLoss = Where(first, losses, s.checkLoss)
	s.loss = Where(first, losses, s.loss)
	s.rises = Where(first, ZerosLike(one), s.rises)
	s.halved = Where(first, one, s.halved)
	scale := 2.
	if a.Ball.Norm == L1 {
		scale = 1
		support, share := differing(s.x, clean), a.shareOf(differing(s.x, clean), clean)
		if !a.Shrink {
			support, share = MulScalar(one, float64(clean.Shape().Size()/clean.Shape().Dim(0))), MulScalar(one, firstShare)
		}
		s.support, s.share = Where(first, support, s.support), Where(first, share, s.share)
	}
	s.stepSize = Where(first, MulScalar(radius, scale*a.Ball.Eps), s.stepSize)
}

// check halves the steps where too few of them raised the loss, or where neither the last period shortened them nor this
// one found a better point.
func (s *ascentState) check(a APGD, now, window *Node) (back *Node) {
	one := OnesLike(s.loss)
	few := LessOrEqual(s.rises, MulScalar(window, a.rho()))
	idle := LogicalAnd(LessThan(s.halved, one), GreaterOrEqual(s.checkLoss, s.bestLoss))
	back = LogicalAnd(now, LogicalOr(few, idle))
	s.stepSize = Where(back, MulScalar(s.stepSize, .5), s.stepSize)
	s.halved = Where(now, ConvertDType(back, one.DType()), s.halved)
	s.checkLoss = Where(now, s.bestLoss, s.checkLoss)
	s.rises = Where(now, ZerosLike(one), s.rises)
	return back
}

// checkL1 sets the share of pixel values to move by the support of the best point. Where that has become sparser by 5%,
// the steps are long again; else they get shorter.
func (s *ascentState) checkL1(a APGD, now, clean, radius *Node) (back *Node) {
	support := differing(s.best, clean)
	sparser := LessThan(support, MulScalar(s.support, .95))
	longest := MulScalar(radius, a.Ball.Eps)
	next := Min(Max(Where(sparser, longest, MulScalar(s.stepSize, 1/1.5)), MulScalar(longest, .1)), longest)
	s.stepSize = Where(now, next, s.stepSize)
	s.share = Where(now, a.shareOf(support, clean), s.share)
	s.support = Where(now, support, s.support)
	return LogicalAnd(now, sparser)
}

// shareOf is two thirds of the support as a share of all pixel values.
func (a APGD) shareOf(support, clean *Node) *Node {
	d := clean.Shape().Size() / clean.Shape().Dim(0)
	return DivScalar(DivScalar(support, float64(d)), 1.5)
}

// differing counts the pixel values of each image that differ: float32 [B].
func differing(a, b *Node) *Node {
	count := sumImages(ConvertDType(NotEqual(a, b), dtypes.Float32))
	return Reshape(count, a.Shape().Dim(0))
}

// move takes the step from x along grad.
func (s *ascentState) move(a APGD, x, grad, clean, weight, radius *Node) {
	wide := func(rows *Node) *Node { return InsertAxes(rows, -1, -1, -1) }
	project := func(adv *Node) *Node { return projectWithin(a.Ball.Norm, adv, clean, a.reach(radius)) }
	switch {
	case a.Ball.Eps == 0:
		s.x = clean
		return
	case a.Ball.Norm == L1:
		direction := sparse(grad, wide(s.share))
		s.before, s.x = x, project(Add(x, Mul(direction, wide(s.stepSize))))
		return
	}
	ahead := project(Add(x, Mul(a.Ball.Direction(grad), wide(s.stepSize))))
	blend := Add(Mul(Sub(ahead, x), wide(weight)), Mul(Sub(x, s.before), wide(OneMinus(weight))))
	s.before, s.x = x, project(Add(x, blend))
}

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
	program, err := w.apgd.loader(w.engine)
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
