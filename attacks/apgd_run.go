package attacks

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
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
	_, err := seater(e, a.Ball)
	return err
}

// ascentKey names the programs of all APGDs that move alike.
type ascentKey struct {
	ball   Ball
	rho    float64
	shrink bool
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
	return e.prepareUpdate(ascentKey{a.Ball, a.rho(), a.Shrink}, "apgd step", func(in []*Node) []*Node {
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
		s.x = wherever(is(planNext), projectL1(s.best, clean, a.Ball.reach(column(planNext))), s.x)
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
	project := func(adv *Node) *Node { return projectWithin(a.Ball.Norm, adv, clean, a.Ball.reach(radius)) }
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
