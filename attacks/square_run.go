package attacks

import (
	"context"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Columns of the plan, float32 [B, squareSigns + C], that tells the query program what to try next in each row. Only
// first, the corner, the side and the signs matter in Linf.
const (
	squareFirst    = iota // 1 where this pass is at a start
	squareTop             // corner of the window that changes
	squareLeft            //
	squareSide            // 0 changes nothing
	squareFromTop         // corner of the window whose mass goes there
	squareFromLeft        //
	squareTurned          // 1 for the transposed pattern; the rest is lobes
	squareHalf
	squareTopOfUpper
	squareTopOfLower
	squareMiddle
	squareScaleOfUpper
	squareScaleOfLower
	squareSigns // of the channels
)

// markTie says that the label and another class share the highest logit, where Square gives up on such images.
const markTie int32 = 1 << 8

// squarePlan is the plan as a node.
type squarePlan struct{ *Node }

// whole is a column of integers as int32 [B, 1, 1].
func (p squarePlan) whole(k int) *Node {
	return ConvertDType(InsertAxes(SliceAxis(p.Node, -1, AxisElem(k)), -1), dtypes.Int32)
}

// real is a column as float64 [B, 1, 1].
func (p squarePlan) real(k int) *Node {
	return ConvertDType(InsertAxes(SliceAxis(p.Node, -1, AxisElem(k)), -1), dtypes.Float64)
}

// signs of the channels are float32 [B, 1, 1, C].
func (p squarePlan) signs() *Node {
	return InsertAxes(SliceAxis(p.Node, -1, AxisRange(squareSigns)), 1, 1)
}

// squareKey names the query programs of all SquareAttacks that move alike.
type squareKey struct {
	ball      Ball
	reference bool
}

// prepare compiles the programs of the walk.
func (s SquareAttack) prepare(e *engine) error {
	if _, err := s.querier(e); err != nil {
		return err
	}
	_, err := APGD{Ball: s.Ball}.loader(e)
	return err
}

// querier is the program of one query, network included: it takes the images tried, the best ones, the lowest margins
// [B], clean images, labels and the plan, and returns what to try next, the best so far, their margins, and the marks of
// the images tried.
func (s SquareAttack) querier(e *engine) (*Exec, error) {
	plan := shapes.Make(dtypes.Float32, e.size, squareSigns+e.model.Image[2])
	return e.prepareQuery(squareKey{s.Ball, s.Reference}, "square query", func(in []*Node) []*Node {
		tried, best, least, clean, y, next, weights := in[0], in[1], in[2], in[3], in[4], squarePlan{in[5]}, in[6:]
		margin, seen := scored(e.model.logits(weights, tried), y)
		first := planFlag(next.Node, squareFirst)
		least = Where(first, boundless(least), least)
		better := improves(margin, seen, least)
		best = wherever(LogicalOr(first, better), tried, best)
		least = Where(better, margin, least)
		if s.Reference {
			tie := LogicalAnd(Equal(margin, ZerosLike(margin)), LogicalNot(marked(seen, markWrong)))
			seen = Add(seen, MulScalar(ConvertDType(tie, dtypes.Int32), markTie))
		}
		return []*Node{s.Ball.propose(best, clean, next), best, least, seen}
	}, e.imageShape(), e.imageShape(), e.lossShape(), e.imageShape(), e.labelShape(), plan)
}

// propose changes best as the plan says.
func (b Ball) propose(best, clean *Node, plan squarePlan) *Node {
	switch {
	case b.Eps == 0:
		return clean
	case b.Norm == Linf:
		_, _, inside := window(clean, plan.whole(squareTop), plan.whole(squareLeft), plan.whole(squareSide))
		signs := BroadcastToShape(plan.signs(), clean.Shape())
		return Where(inside, b.Project(Add(clean, MulScalar(signs, b.Eps)), clean), best)
	}
	delta := b.shifted(best, clean, plan)
	origin := ConvertDType(clean, dtypes.Float64)
	if b.Norm == L1 {
		adv := ConvertDType(Add(origin, delta), clean.DType())
		return projectL1(adv, clean, Scalar(clean.Graph(), dtypes.Float64, b.Eps*(1-1e-6)))
	}
	delta = Mul(delta, MulScalar(Reciprocal(AddScalar(lengths(delta), smallestNorm)), b.Eps))
	return ConvertDType(ClipScalar(Add(origin, delta), 0, 1), clean.DType())
}

// shifted is the perturbation with the mass of one window moved into another: float64, before it gets its length.
//
// In the window that gains, each channel points along the pattern plus what was there, both of unit norm. Its length has
// the mass of both windows and a share of what the whole perturbation lacks of eps: in L2 the squares
// max(eps^2 - |delta|^2, 0)/C + |delta in both windows|^2, in L1 C times the like of absolute values.
func (b Ball) shifted(best, clean *Node, plan squarePlan) *Node {
	delta := Sub(ConvertDType(best, dtypes.Float64), ConvertDType(clean, dtypes.Float64))
	zero := ZerosLike(delta)
	_, _, into := window(clean, plan.whole(squareTop), plan.whole(squareLeft), plan.whole(squareSide))
	_, _, from := window(clean, plan.whole(squareFromTop), plan.whole(squareFromLeft), plan.whole(squareSide))

	mass, root, full := Square, Sqrt, b.Eps*b.Eps
	if b.Norm == L1 {
		mass, root, full = Abs, Identity, b.Eps
	}
	inChannels := func(x *Node) *Node { return ReduceAndKeep(mass(x), ReduceSum, 1, 2) } // [B, 1, 1, C]
	unit := func(x *Node) *Node { return Div(x, AddScalar(root(inChannels(x)), smallestNorm)) }

	pattern := InsertAxes(b.pattern(clean, plan), -1)
	direction := unit(Add(Mul(pattern, ConvertDType(plan.signs(), dtypes.Float64)), unit(Where(into, delta, zero))))
	channels := float64(clean.Shape().Dim(-1))
	lacking := MaxScalar(AddScalar(Neg(sumImages(mass(delta))), full), 0)
	budget := Add(MulScalar(lacking, 1/channels), inChannels(Where(LogicalOr(into, from), delta, zero)))
	if b.Norm == L1 {
		budget = MulScalar(budget, channels)
	}
	return Where(into, Mul(direction, root(budget)), Where(from, zero, delta))
}

// squareWalk is Square under way.
type squareWalk struct {
	*lanes
	square   SquareAttack
	draws    []*rand.Rand      // of the jobs
	patterns map[int]lobes     // by side
	state    []*tensors.Tensor // images tried, best images and their margins
}

func (s SquareAttack) walk(l *lanes) walker {
	return &squareWalk{lanes: l, square: s, draws: make([]*rand.Rand, l.size), patterns: map[int]lobes{}}
}

// load puts the random starts of fresh jobs into their rows.
func (w *squareWalk) load(ctx context.Context, rows []int) (err error) {
	if w.state == nil {
		empty := make([]float32, len(w.x))
		w.state = []*tensors.Tensor{w.upload(empty), w.upload(empty), tensors.FromValue(make([]float32, w.size))}
	}
	w.state[0], err = w.seat(ctx, w.square.Ball, w.state[0], rows, func(row int, dst []float32) {
		w.draws[row] = w.random(w.jobs[row])
		if w.square.Ball.Norm == Linf {
			w.square.stripes(dst, w.model.Image, w.draws[row])
		} else {
			w.square.grid(dst, w.model.Image, w.draws[row])
		}
	})
	return err
}

// step is one query in all rows: a pass over what was proposed last, and the next proposal.
func (w *squareWalk) step(ctx context.Context) (ended []outcome, err error) {
	program, err := w.square.querier(w.engine)
	if err != nil {
		return nil, err
	}
	var marks []int32
	if w.state, marks, err = w.query(ctx, program, w.state, w.plan()); err != nil {
		return nil, err
	}
	var rows []int
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		if marks[row]&(markWrong|markTie) != 0 || w.steps[row] == w.square.Queries {
			rows = append(rows, row)
		}
		w.steps[row]++
	}
	return w.leave(rows, w.state[1], marks)
}

// plan draws the next proposal of each busy row. The others stay as they are.
func (w *squareWalk) plan() *tensors.Tensor {
	columns := squareSigns + w.model.Image[2]
	plan := make([]float32, w.size*columns)
	for row, busy := range w.busy {
		if busy {
			w.draw(plan[row*columns:(row+1)*columns], w.steps[row], w.draws[row])
		}
	}
	return tensors.FromFlatDataAndDimensions(plan, w.size, columns)
}

// draw makes the choices of a query, counted from 0.
func (w *squareWalk) draw(p []float32, query int, rng *rand.Rand) {
	p[squareFirst] = one(query == 0)
	if query == w.square.Queries {
		return // the pass at the last proposal
	}
	height, width := w.model.Image[0], w.model.Image[1]
	side := w.square.side(query, height, width)
	p[squareSide] = float32(side)
	p[squareTop], p[squareLeft] = w.square.corner(height-side, rng), w.square.corner(width-side, rng)
	signs := p[squareSigns:]
	if w.square.Ball.Norm != Linf {
		p[squareFromTop], p[squareFromLeft] = w.square.corner(height-side, rng), w.square.corner(width-side, rng)
		w.shape(p, side)
		p[squareTurned] = float32(rng.IntN(2))
	}
	for c := range signs {
		signs[c] = float32(2*rng.IntN(2) - 1)
	}
}

// corner is where a window begins, of the positions from 0 to last.
func (s SquareAttack) corner(last int, rng *rand.Rand) float32 {
	if s.Reference && last > 0 {
		last--
	}
	return float32(rng.IntN(last + 1))
}

// shape fills in the pattern of a side.
func (w *squareWalk) shape(p []float32, side int) {
	pattern, known := w.patterns[side]
	if !known {
		pattern = w.square.Ball.newLobes(side)
		w.patterns[side] = pattern
	}
	p[squareHalf], p[squareMiddle] = float32(pattern.half), float32(pattern.middle)
	p[squareTopOfUpper], p[squareTopOfLower] = float32(pattern.top[0]), float32(pattern.top[1])
	p[squareScaleOfUpper], p[squareScaleOfLower] = float32(pattern.scale[0]), float32(pattern.scale[1])
}

func (w *squareWalk) free() error { return free(w.state...) }
