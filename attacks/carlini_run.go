package attacks

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// adam is what the attacks of Carlini and Wagner do on the device.
type adam struct {
	norm  Norm
	steps int
	lr    float64
	kappa float64
}

// attempt is where one image is in its search for c or tau.
type attempt struct {
	c      float64
	step   int     // passes since the attempt began
	last   float64 // loss at the last look
	number int     // L2: attempts made; Linf: times that the steps of tau were made finer

	low, high float64 // L2: largest c that failed and smallest that succeeded
	found     bool    // L2: the attempt has succeeded

	tau, factor float64 // Linf
	solvedC     float64 // Linf: c of the last success
	smallest    float64 // Linf: smallest distance found
}

// passed is what a pass showed about one image.
type passed struct {
	loss, distance float64
	success        bool // adversarial by the margin asked for
}

// sequel is what follows a pass.
type sequel int

// In rising order of what the program of verdicts sets back: nothing, the moments of Adam, the iterate too, everything.
const (
	goOn sequel = iota
	freshMoments
	startAgain
	enterJob
	finished
)

// attempts is the schedule of c and tau.
type attempts interface {
	first() attempt
	after(a *attempt, p passed) sequel
}

// idle counts a pass, and says whether the attempt is over: its steps are spent, or the loss has not fallen in the last
// tenth of them.
func (a *attempt) idle(loss float64, steps int) (over bool) {
	if a.step%max(steps/10, 1) == 0 {
		over = loss > .9999*a.last
		a.last = loss
	}
	a.step++
	return over || a.step == steps
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

// adamWalk is such an attack under way.
type adamWalk struct {
	*lanes
	adam     adam
	schedule attempts
	state    []*tensors.Tensor // in the order of adamState.fields
	at       []attempt
	success  []bool // of any pass of the job
}

func newAdamWalk(l *lanes, a adam, schedule attempts) *adamWalk {
	return &adamWalk{lanes: l, adam: a, schedule: schedule, at: make([]attempt, l.size), success: make([]bool, l.size)}
}

func (w *adamWalk) load(ctx context.Context, rows []int) error {
	if w.state == nil {
		for range 5 {
			w.state = append(w.state, w.upload(make([]float32, len(w.x))))
		}
		w.state = append(w.state, tensors.FromValue(make([]float32, w.size)))
	}
	verdicts := make([]int32, w.size)
	for _, row := range rows {
		w.at[row], w.success[row] = w.schedule.first(), false
		verdicts[row] = int32(enterJob)
	}
	return w.begin(ctx, verdicts)
}

// begin carries out verdicts.
func (w *adamWalk) begin(ctx context.Context, verdicts []int32) error {
	program, err := w.adam.beginner(w.engine)
	if err != nil {
		return err
	}
	decided := tensors.FromValue(verdicts)
	if _, err := w.run(ctx, program, w.inputs.clean, decided); err != nil {
		return err
	}
	return free(decided)
}

// run gives the state to a program, takes it back, and returns what else the program does.
func (w *adamWalk) run(ctx context.Context, program *Exec, inputs ...any) ([]*tensors.Tensor, error) {
	given, err := w.donate(w.state...)
	if err != nil {
		return nil, err
	}
	out, err := w.call(ctx, program, append(given, inputs...)...)
	if err != nil {
		return nil, err
	}
	n := len(w.state)
	w.state = out[:n:n]
	return out[n:], nil
}

// step is one pass in all rows.
func (w *adamWalk) step(ctx context.Context) ([]outcome, error) {
	w.inputs.images = make([]int, w.live()) // what the pass counts as
	now, err := w.ascend(ctx, w.adam.goal(), &w.inputs, w.state[1])
	if err != nil {
		return nil, err
	}
	passed, err := w.advance(ctx, now)
	if err != nil {
		return nil, err
	}
	var over []int
	verdicts, again := make([]int32, w.size), false
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		w.steps[row]++
		w.success[row] = w.success[row] || passed[row].success
		switch v := w.schedule.after(&w.at[row], passed[row]); v {
		case goOn:
		case finished:
			over = append(over, row)
		default:
			verdicts[row], again = int32(v), true
		}
	}
	images, err := w.images(w.state[4], over)
	if err != nil {
		return nil, err
	}
	var ended []outcome
	for _, row := range over {
		ended = append(ended, outcome{row, images[row], w.success[row]})
	}
	if again {
		return ended, w.begin(ctx, verdicts)
	}
	return ended, nil
}

// advance runs the step program and uses up the pass.
func (w *adamWalk) advance(ctx context.Context, now pass) ([]passed, error) {
	marks, err := w.read(now.marks)
	if err != nil {
		return nil, err
	}
	hinges, err := tensors.CopyFlatData[float32](now.losses)
	if err != nil {
		return nil, fmt.Errorf("reading losses: %w", err)
	}
	plan := make([]float32, w.size*adamColumns)
	for row, a := range w.at {
		p, t := plan[row*adamColumns:(row+1)*adamColumns], float64(a.step+1)
		p[adamC], p[adamTau] = float32(a.c), float32(a.tau)
		p[adamMean], p[adamSquare] = float32(1/(1-math.Pow(adamBeta1, t))), float32(1/(1-math.Pow(adamBeta2, t)))
	}
	program, err := w.adam.mover(w.engine)
	if err != nil {
		return nil, err
	}
	moments := tensors.FromFlatDataAndDimensions(plan, w.size, adamColumns)
	out, err := w.run(ctx, program, w.inputs.clean, now.grad, now.losses, now.marks, moments)
	if err != nil {
		return nil, err
	}
	losses, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return nil, fmt.Errorf("reading losses: %w", err)
	}
	distances, err := tensors.CopyFlatData[float32](out[1])
	if err != nil {
		return nil, fmt.Errorf("reading distances: %w", err)
	}
	result := make([]passed, w.size)
	for row := range result {
		result[row] = passed{float64(losses[row]), float64(distances[row]), marks[row]&markSure != 0 && hinges[row] >= 0}
	}
	return result, free(now.grad, now.losses, now.marks, moments, out[0], out[1])
}

func (w *adamWalk) free() error { return free(w.state...) }
