package attacks

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
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
	_, err := seater(e, s.Ball)
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
