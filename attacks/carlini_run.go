package attacks

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// adam is what the attacks of Carlini and Wagner do on the device.
type adam struct {
	norm  Norm
	steps int
	lr    float64
	kappa float64
}

func (a adam) validate() error {
	switch {
	case a.steps < 1:
		return fmt.Errorf("inner %d: want at least 1 step", a.steps)
	case !finiteAtLeast(a.lr, 0) || a.lr == 0:
		return fmt.Errorf("learning rate %g: want more than 0", a.lr)
	case !finiteAtLeast(a.kappa, 0):
		return fmt.Errorf("kappa %g: want at least 0", a.kappa)
	}
	return nil
}

func (a adam) goal() goal { return goal{"cw", a.kappa} }

// Settings of Adam, and the factor that keeps atanh of black and white finite.
const (
	adamBeta1, adamBeta2 = .9, .999
	adamEps              = 1e-8
	insideBox            = 1 - 1e-6
)

// adamState is the state in all rows, as nodes. Images are [B, H, W, C], distance is [B].
type adamState struct {
	w, x            *Node // iterate and its image
	mean, square    *Node // moments of the gradient
	best, bestSoFar *Node // smallest adversarial image and its distance
}

func (s *adamState) fields() []**Node {
	return []**Node{&s.w, &s.x, &s.mean, &s.square, &s.best, &s.bestSoFar}
}

// Columns of the plan of a step, float32 [B, 4].
const (
	adamC = iota
	adamTau
	adamMean   // 1 / (1 - beta1^t)
	adamSquare // 1 / (1 - beta2^t)
	adamColumns
)

// adamKey names the programs of all attacks that move alike.
type adamKey struct {
	program string
	norm    Norm
	lr      float64
}

func (a adam) prepare(e *engine) error {
	if err := e.prepareGradient(a.goal()); err != nil {
		return err
	}
	if _, err := a.beginner(e); err != nil {
		return err
	}
	_, err := a.mover(e)
	return err
}

// program compiles fn, which changes a state given further inputs, and returns the state and what fn does.
func (a adam) program(e *engine, key adamKey, fn func(s *adamState, in []*Node) []*Node, inputs ...shapes.Shape) (*Exec, error) {
	image := e.imageShape()
	all := append([]shapes.Shape{image, image, image, image, image, e.lossShape()}, inputs...)
	return e.prepareUpdate(key, "carlini "+key.program, func(in []*Node) []*Node {
		var s adamState
		for i, field := range s.fields() {
			*field = in[i]
		}
		extra := fn(&s, in[len(s.fields()):])
		var out []*Node
		for _, field := range s.fields() {
			out = append(out, *field)
		}
		return append(out, extra...)
	}, all...)
}

// image is what w stands for.
func image(w *Node) *Node { return ClipScalar(MulScalar(AddScalar(Tanh(w), 1), .5), 0, 1) }

// beginner is the program that carries out verdicts, int32 [B].
func (a adam) beginner(e *engine) (*Exec, error) {
	return a.program(e, adamKey{program: "begin"}, func(s *adamState, in []*Node) []*Node {
		clean, verdicts := in[0], in[1]
		least := func(v sequel) *Node {
			return GreaterOrEqual(verdicts, MulScalar(OnesLike(verdicts), int32(v)))
		}
		inside := MulScalar(AddScalar(MulScalar(clean, 2), -1), insideBox)
		origin := MulScalar(Sub(Log1p(inside), Log1p(Neg(inside))), .5)
		s.mean = wherever(least(freshMoments), ZerosLike(s.mean), s.mean)
		s.square = wherever(least(freshMoments), ZerosLike(s.square), s.square)
		s.w = wherever(least(startAgain), origin, s.w)
		s.x = wherever(least(startAgain), image(origin), s.x)
		s.best = wherever(least(enterJob), clean, s.best)
		s.bestSoFar = Where(least(enterJob), BroadcastToShape(Infinity(clean.Graph(), dtypes.Float32, 1), s.bestSoFar.Shape()), s.bestSoFar)
		return nil
	}, e.imageShape(), e.labelShape())
}

// mover is the program after a pass: it keeps the image if it is the smallest adversarial one, and takes the step. It
// also returns the loss and the distance of each image. The pass was that of goal: its losses are minus the hinge.
func (a adam) mover(e *engine) (*Exec, error) {
	return a.program(e, adamKey{"move", a.norm, a.lr}, func(s *adamState, in []*Node) []*Node {
		clean, grad, losses, marks, plan := in[0], in[1], in[2], in[3], in[4]
		column := func(k int) *Node { return Squeeze(SliceAxis(plan, -1, AxisElem(k)), -1) }
		wide := func(rows *Node) *Node { return InsertAxes(rows, -1, -1, -1) }
		delta := Sub(s.x, clean)
		penalty, slope, distance := a.penalty(delta, wide(column(adamTau)))
		smaller := LogicalAnd(adversarial(losses, marks), LessThan(distance, s.bestSoFar))
		s.best, s.bestSoFar = wherever(smaller, s.x, s.best), Where(smaller, distance, s.bestSoFar)

		total := Sub(penalty, Mul(column(adamC), losses))
		descent := Sub(slope, Mul(wide(column(adamC)), finite(grad)))
		descent = Mul(descent, Mul(MulScalar(s.x, 2), OneMinus(s.x))) // dx/dw = (1 - tanh(w)^2)/2
		s.mean = Add(MulScalar(s.mean, adamBeta1), MulScalar(descent, 1-adamBeta1))
		s.square = Add(MulScalar(s.square, adamBeta2), MulScalar(Square(descent), 1-adamBeta2))
		size := AddScalar(Sqrt(Mul(s.square, wide(column(adamSquare)))), adamEps)
		s.w = Sub(s.w, MulScalar(Div(Mul(s.mean, wide(column(adamMean))), size), a.lr))
		s.x = image(s.w)
		return []*Node{total, distance}
	}, e.imageShape(), e.imageShape(), e.lossShape(), e.labelShape(), shapes.Make(dtypes.Float32, e.size, adamColumns))
}

// adversarial is Bool [B]: misclassified, and by kappa, which makes the hinge zero.
func adversarial(losses, marks *Node) *Node {
	return LogicalAnd(marked(marks, markSure), GreaterOrEqual(losses, ZerosLike(losses)))
}

// penalty is the part of the loss about the size of delta [B], its gradient, and the size in the norm [B].
func (a adam) penalty(delta, tau *Node) (penalty, slope, distance *Node) {
	rows := func(x *Node) *Node { return Reshape(ConvertDType(x, dtypes.Float32), delta.Shape().Dim(0)) }
	if a.norm == L2 {
		length := lengths(delta)
		return rows(Square(length)), MulScalar(delta, 2), rows(length)
	}
	excess := Sub(Abs(delta), tau)
	over := GreaterThan(excess, ZerosLike(excess))
	sum := sumImages(ConvertDType(Where(over, excess, ZerosLike(excess)), dtypes.Float64))
	return rows(sum), Where(over, Sign(delta), ZerosLike(delta)), rows(reduceImages(Abs(delta), ReduceMax))
}
