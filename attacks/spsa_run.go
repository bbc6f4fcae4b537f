package attacks

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Columns of the plan, float32 [B, 5], that tells the program of a pass what each row does.
const (
	spsaFirst  = iota // 1 at the start of a job
	spsaSide          // the probe looked at: 1 ahead, -1 behind, 0 the iterate itself
	spsaMove          // 1 where a step follows
	spsaMean          // corrections of Adam's two averages for their start at zero
	spsaSquare        //
	spsaColumns
)

// spsaState is the state of SPSA in all rows, as nodes of its program. Images are [B, H, W, C], the rest [B].
type spsaState struct {
	x, best      *Node // the iterate, and that of the lowest margin
	grad         *Node // estimated so far
	mean, square *Node // Adam's averages
	least        *Node // the lowest margin
	ahead        *Node // margin of the last probe ahead
}

func (s *spsaState) fields() []**Node {
	return []**Node{&s.x, &s.best, &s.grad, &s.mean, &s.square, &s.least, &s.ahead}
}

// spsaImages is how many of the fields are images.
const spsaImages = 5

// spsaKey names the programs of all SPSAs that move alike.
type spsaKey struct {
	ball            Ball
	pairs           int
	probe, stepSize float64
}

// prepare compiles the programs of the walk.
func (s SPSA) prepare(e *engine) error {
	if _, err := s.prober(e); err != nil {
		return err
	}
	_, err := seater(e, s.Ball)
	return err
}

// signWords is how many 32-bit words hold the signs of one image.
func (m Model) signWords() int { return (m.pixels() + 31) / 32 }

// prober is the program of one pass, network included: it takes state, clean images, labels, signs as bits and the plan,
// and returns the new state and the marks of the pass.
func (s SPSA) prober(e *engine) (*Exec, error) {
	var inputs []shapes.Shape
	for i := range (&spsaState{}).fields() {
		if i < spsaImages {
			inputs = append(inputs, e.imageShape())
		} else {
			inputs = append(inputs, e.lossShape())
		}
	}
	inputs = append(inputs, e.imageShape(), e.labelShape(),
		shapes.Make(dtypes.Uint32, e.size, e.model.signWords()), shapes.Make(dtypes.Float32, e.size, spsaColumns))
	return e.prepareQuery(spsaKey{s.Ball, s.Pairs, s.Probe, s.StepSize}, "spsa pass", func(in []*Node) []*Node {
		var now spsaState
		for i, field := range now.fields() {
			*field = in[i]
		}
		rest := in[len(now.fields()):]
		clean, y, bits, plan, weights := rest[0], rest[1], rest[2], rest[3], rest[4:]
		signs := signImages(bits, clean)
		probe := MulScalar(Mul(signs, planColumn(plan, spsaSide)), s.Probe)
		margin, seen := scored(e.model.logits(weights, Add(now.x, probe)), y)
		now.look(margin, seen, plan)
		now.estimate(s, margin, signs, plan)
		now.move(s, clean, plan)
		var out []*Node
		for _, field := range now.fields() {
			out = append(out, *field)
		}
		return append(out, seen)
	}, inputs...)
}

// signImages makes images like x of +1 and -1 out of bits, uint32 [B, words].
func signImages(bits, x *Node) *Node {
	masks := make([]uint32, 32)
	for i := range masks {
		masks[i] = 1 << i
	}
	set := BitwiseAnd(InsertAxes(bits, -1), Reshape(Const(x.Graph(), masks), 1, 1, 32)) // [B, words, 32]
	dims := x.Shape().Dimensions
	flat := Reshape(ConvertDType(NotEqual(set, ZerosLike(set)), x.DType()), dims[0], -1)
	flat = SliceAxis(flat, -1, AxisRange(0, x.Shape().Size()/dims[0]))
	return AddScalar(MulScalar(Reshape(flat, dims...), 2), -1)
}

// look keeps the iterate of the lowest margin, in the passes that are at one.
func (s *spsaState) look(margin, seen, plan *Node) {
	first := planFlag(plan, spsaFirst)
	for _, image := range []**Node{&s.grad, &s.mean, &s.square} {
		*image = wherever(first, ZerosLike(*image), *image)
	}
	s.least = Where(first, boundless(margin), s.least)
	side := Squeeze(SliceAxis(plan, -1, AxisElem(spsaSide)), -1)
	better := LogicalAnd(Equal(side, ZerosLike(side)), improves(margin, seen, s.least))
	s.best = wherever(LogicalOr(first, better), s.x, s.best)
	s.least = Where(better, margin, s.least)
}

// estimate adds a pair to the gradient after its second probe, unless its margins are no numbers.
func (s *spsaState) estimate(settings SPSA, margin, signs, plan *Node) {
	side := Squeeze(SliceAxis(plan, -1, AxisElem(spsaSide)), -1)
	difference := finite(Sub(s.ahead, margin))
	difference = Where(LessThan(side, ZerosLike(side)), difference, ZerosLike(difference))
	slope := MulScalar(difference, 1/(2*settings.Probe*float64(settings.Pairs)))
	s.grad = Add(s.grad, Mul(signs, InsertAxes(slope, -1, -1, -1)))
	s.ahead = Where(GreaterThan(side, ZerosLike(side)), margin, s.ahead)
}

// move takes the step of Adam where all pairs are there.
func (s *spsaState) move(settings SPSA, clean, plan *Node) {
	now := planFlag(plan, spsaMove)
	blend := func(average, value *Node, decay float64) *Node {
		return Add(MulScalar(average, decay), MulScalar(value, 1-decay))
	}
	squares := Square(s.grad)
	if settings.Ball.Norm == L2 {
		squares = BroadcastToShape(reduceImages(squares, ReduceSum), squares.Shape())
	}
	mean, square := blend(s.mean, s.grad, adamBeta1), blend(s.square, squares, adamBeta2)
	step := Div(Mul(mean, planColumn(plan, spsaMean)), AddScalar(Sqrt(Mul(square, planColumn(plan, spsaSquare))), adamEps))
	next := settings.Ball.Project(Sub(s.x, MulScalar(step, settings.StepSize)), clean)
	s.x, s.mean, s.square = wherever(now, next, s.x), wherever(now, mean, s.mean), wherever(now, square, s.square)
	s.grad = wherever(now, ZerosLike(s.grad), s.grad)
}

// spsaWalk is SPSA under way.
type spsaWalk struct {
	*lanes
	spsa  SPSA
	draws []*rand.Rand      // of the jobs
	bits  []uint32          // signs of the probes, [B, words]
	state []*tensors.Tensor // in the order of spsaState.fields
}

func (s SPSA) walk(l *lanes) walker {
	return &spsaWalk{lanes: l, spsa: s, draws: make([]*rand.Rand, l.size), bits: make([]uint32, l.size*l.model.signWords())}
}

// load puts the random starts of fresh jobs into their rows.
func (w *spsaWalk) load(ctx context.Context, rows []int) (err error) {
	if w.state == nil {
		for i := range (&spsaState{}).fields() {
			if i < spsaImages {
				w.state = append(w.state, w.upload(make([]float32, len(w.x))))
			} else {
				w.state = append(w.state, tensors.FromValue(make([]float32, w.size)))
			}
		}
	}
	start := PGD{Ball: w.spsa.Ball, Start: Uniform}
	w.state[0], err = w.seat(ctx, w.spsa.Ball, w.state[0], rows, func(row int, dst []float32) {
		w.draws[row] = w.random(w.jobs[row])
		start.Noise(dst, w.draws[row])
	})
	return err
}

// step is one pass in all rows.
func (w *spsaWalk) step(ctx context.Context) (ended []outcome, err error) {
	program, err := w.spsa.prober(w.engine)
	if err != nil {
		return nil, err
	}
	plan, bits := w.plan()
	var marks []int32
	if w.state, marks, err = w.query(ctx, program, w.state, bits, plan); err != nil {
		return nil, err
	}
	var rows []int
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		if w.steps[row]%w.spsa.period() != 0 || !w.heeds(row) {
			marks[row] &^= markWrong // of a probe, which may lie outside the ball, or refuted
		}
		if marks[row]&markWrong != 0 || w.steps[row] == w.spsa.passes()-1 {
			rows = append(rows, row)
		}
		w.steps[row]++
	}
	return w.leave(rows, w.state[1], marks)
}

// plan says what the pass is in each row, and draws signs for the pairs that begin. Idle rows stay as they are.
func (w *spsaWalk) plan() (plan, bits *tensors.Tensor) {
	columns := make([]float32, w.size*spsaColumns)
	words := w.model.signWords()
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		p := columns[row*spsaColumns : (row+1)*spsaColumns]
		moves, phase := w.steps[row]/w.spsa.period(), w.steps[row]%w.spsa.period()
		p[spsaFirst] = one(w.steps[row] == 0)
		switch {
		case phase == 0:
		case phase%2 == 1:
			p[spsaSide] = 1
			for i := range words {
				w.bits[row*words+i] = w.draws[row].Uint32()
			}
		default:
			p[spsaSide] = -1
		}
		p[spsaMove] = one(phase == w.spsa.period()-1)
		p[spsaMean] = float32(1 / (1 - math.Pow(adamBeta1, float64(moves+1))))
		p[spsaSquare] = float32(1 / (1 - math.Pow(adamBeta2, float64(moves+1))))
	}
	return tensors.FromFlatDataAndDimensions(columns, w.size, spsaColumns), tensors.FromFlatDataAndDimensions(w.bits, w.size, words)
}

func (w *spsaWalk) free() error { return free(w.state...) }
