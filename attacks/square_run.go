package attacks

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Columns of the plan, float32 [B, squareSigns + C], that tells the query program what to try in each row. Only first, the
// looks, the corner, the side and the signs matter in Linf.
const (
	squareFirst    = iota // 1 where the start is tried
	squareLooks           // passes that what is tried has had, with this one
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

// Marks of a query beside those of all searches. markWrong is a success.
const (
	markTie     int32 = 1 << (8 + iota) // the label and another class share the highest logit, where Square gives up on such images
	markDecided                         // what was tried has had its passes
	markBetter                          // and is the best from now on
)

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

// querier is the program of one pass, network included: it takes the best images, their margins, the sums over the passes
// so far of the margins of what is tried and of those that misclassify it ([B] all three), clean images, labels and the
// plan, and returns the first four as they are afterwards, and marks.
func (s SquareAttack) querier(e *engine) (*Exec, error) {
	plan := shapes.Make(dtypes.Float32, e.size, squareSigns+e.model.Image[2])
	return e.prepareQuery(squareKey{s.Ball, s.Reference}, "square query", func(in []*Node) []*Node {
		best, least, sum, misses, clean, y, next, weights := in[0], in[1], in[2], in[3], in[4], in[5], squarePlan{in[6]}, in[7:]
		first := planFlag(next.Node, squareFirst)
		tried := wherever(first, best, s.Ball.propose(best, clean, next))
		margin, seen := scored(e.model.logits(weights, tried), y)

		looks := Squeeze(SliceAxis(next.Node, -1, AxisElem(squareLooks)), -1)
		fresh := LessOrEqual(looks, OnesLike(looks))
		sum = Add(Where(fresh, ZerosLike(sum), sum), margin)
		misses = Add(Where(fresh, ZerosLike(misses), misses), ConvertDType(marked(seen, markWrong), misses.DType()))
		decided, broken := s.judge(e.model.forwards(), looks, misses)

		mean := Div(sum, looks)
		least = Where(first, boundless(least), least)
		missed := GreaterThan(MulScalar(misses, 2), looks)
		better := LogicalAnd(decided, LogicalOr(LessThan(mean, least), missed)) // NaN logits have no order, but misclassify
		best, least = wherever(better, tried, best), Where(better, mean, least)

		bit := func(condition *Node, mark int32) *Node { return MulScalar(ConvertDType(condition, dtypes.Int32), mark) }
		if s.Reference {
			tie := LogicalAnd(Equal(margin, ZerosLike(margin)), LogicalNot(marked(seen, markWrong)))
			seen = Add(seen, bit(tie, markTie))
		}
		seen = Add(without(seen, markWrong), bit(broken, markWrong))
		return []*Node{best, least, sum, misses, Add(seen, Add(bit(decided, markDecided), bit(better, markBetter)))}
	}, e.imageShape(), e.lossShape(), e.lossShape(), e.lossShape(), e.imageShape(), e.labelShape(), plan)
}

// judge says of what has had so many looks, some of which misclassify it, whether that is enough to decide, and whether it
// is a success: one pass for a fixed model. For a random one it takes as many as decide its predictions; where all of
// these misclassify, as many again, and a success is what all of them misclassify: among thousands of queries, some have
// that much luck once, but few images that most passes classify correctly have it twice.
func (s SquareAttack) judge(passes int, looks, misses *Node) (decided, broken *Node) {
	all := Equal(misses, looks)
	if passes == 1 {
		return Equal(looks, looks), all
	}
	twice := GreaterOrEqual(looks, constant(looks, float64(2*passes)))
	decided = LogicalAnd(GreaterOrEqual(looks, constant(looks, float64(passes))), LogicalOr(twice, LogicalNot(all)))
	return decided, LogicalAnd(all, decided)
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
	plan     []float32         // what each row tries next
	mosaics  []mosaic          // Linf: the best perturbations
	state    []*tensors.Tensor // in the order of querier
}

func (s SquareAttack) walk(l *lanes) walker {
	return &squareWalk{
		lanes: l, square: s, draws: make([]*rand.Rand, l.size), patterns: map[int]lobes{},
		plan: make([]float32, l.size*s.columns(l.model)), mosaics: make([]mosaic, l.size),
	}
}

// columns of the plan.
func (s SquareAttack) columns(m Model) int { return squareSigns + m.Image[2] }

// row is the plan of a row.
func (w *squareWalk) row(row int) []float32 {
	columns := w.square.columns(w.model)
	return w.plan[row*columns : (row+1)*columns]
}

// load puts the random starts of fresh jobs into their rows.
func (w *squareWalk) load(ctx context.Context, rows []int) (err error) {
	if w.state == nil {
		w.state = []*tensors.Tensor{w.upload(make([]float32, len(w.x)))}
		for range 3 {
			w.state = append(w.state, tensors.FromValue(make([]float32, w.size)))
		}
	}
	w.state[0], err = w.seat(ctx, w.square.Ball, w.state[0], rows, func(row int, dst []float32) {
		w.draws[row] = w.random(w.jobs[row])
		if w.square.Ball.Norm == Linf {
			w.square.stripes(dst, w.model.Image, w.draws[row])
			w.mosaics[row] = newMosaic(dst, w.model.Image)
		} else {
			w.square.grid(dst, w.model.Image, w.draws[row])
		}
		clear(w.row(row))
		w.row(row)[squareFirst], w.row(row)[squareLooks] = 1, 1
	})
	return err
}

// step is one pass in all rows.
func (w *squareWalk) step(ctx context.Context) (ended []outcome, err error) {
	program, err := w.square.querier(w.engine)
	if err != nil {
		return nil, err
	}
	plan := tensors.FromFlatDataAndDimensions(slices.Clone(w.plan), w.size, w.square.columns(w.model))
	var marks []int32
	if w.state, marks, err = w.query(ctx, program, w.state, plan); err != nil {
		return nil, err
	}
	var rows []int
	for row, busy := range w.busy {
		switch {
		case !busy:
			continue
		case marks[row]&markDecided == 0:
			w.row(row)[squareLooks]++
			continue
		case marks[row]&markBetter != 0 && w.square.Ball.Norm == Linf:
			w.mosaics[row].set(w.row(row))
		}
		if !w.heeds(row) {
			marks[row] &^= markWrong
		}
		if marks[row]&(markWrong|markTie) != 0 || !w.choose(row) {
			rows = append(rows, row)
		}
	}
	return w.leave(rows, w.state[0], marks)
}

// choose makes the choices of the next query of a row; false where there is none left. In Linf, where windows often lie
// within patches of one sign, a query that would try the best image once more needs no pass: it cannot lower the margin.
func (w *squareWalk) choose(row int) bool {
	for w.steps[row] < w.square.Queries {
		w.draw(w.row(row), w.steps[row], w.draws[row])
		w.steps[row]++
		if w.square.Ball.Norm != Linf || w.mosaics[row].differs(w.row(row)) {
			return true
		}
		w.skipped++
	}
	return false
}

// draw makes the choices of a query, counted from 0.
func (w *squareWalk) draw(p []float32, query int, rng *rand.Rand) {
	height, width := w.model.Image[0], w.model.Image[1]
	side := w.square.side(query, height, width)
	p[squareFirst], p[squareLooks], p[squareSide] = 0, 1, float32(side)
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
