package attacks

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// hyperplane is {v : <w, v> = b}, one for each image: w float32 [B, ...], b float64 [B, 1, ...].
type hyperplane struct{ w, b *Node }

// leastSlope is the size of a weight below which its pixel value does not move in L2 and L1, as in the reference code. In
// Linf only zero weights keep theirs.
const leastSlope = 1e-8

// move is the smallest move in the norm that takes a point x, [B, ...] in [0, 1], to the hyperplane without leaving the
// pixel box; where no point of the box reaches the hyperplane, every value goes to the wall that is nearer to it (Croce
// and Hein 2020, arXiv 1907.02044; fab_projections.py of AutoAttack). The result is float64.
//
// With gap = |<w, x> - b| and room the way that a value has to its wall, value i moves by
//
//	Linf  min(lambda, room_i)
//	L2    min(lambda |w_i|, room_i)
//	L1    room_i where |w_i| > lambda, an equal share of room_i where |w_i| = lambda, 0 elsewhere
//
// with the lambda where the sum of |w_i| times the moves is gap. That sum is monotone in lambda, so bisection over the bits
// of a float32 finds the linear piece, and one division the point on it; that takes no sort, which is slow on some
// backends.
func (h hyperplane) move(norm Norm, x *Node) *Node {
	at, w := ConvertDType(x, dtypes.Float64), ConvertDType(h.w, dtypes.Float64)
	zero := ZerosLike(at)
	over := Sub(sumImages(Mul(w, at)), h.b)
	side := Where(LessThan(over, ZerosLike(over)), constant(over, -1), constant(over, 1))
	direction := Neg(Mul(Sign(w), side))
	slope, room := Abs(w), Where(GreaterThan(direction, zero), OneMinus(at), at)
	if norm != Linf {
		fixed := LessThan(slope, constant(slope, leastSlope))
		slope, room = Where(fixed, zero, slope), Where(fixed, zero, room)
	}
	var size *Node
	switch norm {
	case Linf:
		size = fill(slope, constant(slope, 1), room, Abs(over))
	case L2:
		size = fill(slope, slope, room, Abs(over))
	case L1:
		size = steepest(slope, room, Abs(over))
	default:
		exceptions.Panicf("attacks.hyperplane: norm %s, want linf, l2 or l1", norm)
	}
	return Mul(direction, size)
}

// fill is min(lambda pace, room) with the lambda where the sum of slope times that is gap, and room where no lambda is large
// enough. All are float64 and not negative, gap [B, 1, ...] and the others [B, ...].
//
// The sum is concave in lambda. Bisection in float32, whose sums are wrong by some 1e-6, comes near the lambda; from the left
// of it Newton's method, which cannot pass it, needs two steps in float64 at most, as few values reach their walls in between.
func fill(slope, pace, room, gap *Node) *Node {
	half := func(v *Node) *Node { return ConvertDType(v, dtypes.Float32) }
	float := func(bits *Node) *Node { return Bitcast(bits, dtypes.Float32) }
	flat := func(v *Node) *Node { v = half(v); return Reshape(v, v.Shape().Dim(0), -1) }
	gain, most, gap32 := flat(Mul(slope, pace)), flat(Mul(slope, room)), half(gap)
	one := OnesLike(gain)
	bits := bisect(gap, func(bits *Node) *Node {
		lambda := flat(ConvertDType(float(bits), dtypes.Float64))
		sum := DotGeneral(Min(Mul(gain, lambda), most), []int{1}, []int{0}, one, []int{1}, []int{0})
		return LessOrEqual(Reshape(sum, gap.Shape().Dimensions...), gap32)
	})
	zero := ZerosLike(slope)
	lambda := MulScalar(ConvertDType(float(bits), dtypes.Float64), 1-1e-5)
	for range 2 {
		full := GreaterOrEqual(Mul(pace, lambda), room)
		spent := sumImages(Where(full, Mul(slope, room), zero))
		rate := sumImages(Where(full, zero, Mul(slope, pace)))
		next := Div(Sub(gap, spent), Where(GreaterThan(rate, ZerosLike(rate)), rate, constant(rate, 1)))
		lambda = Where(GreaterThan(rate, ZerosLike(rate)), Max(next, lambda), lambda)
	}
	beyond := LessOrEqual(sumImages(Mul(slope, room)), gap)
	return Where(BroadcastToShape(beyond, room.Shape()), room, Min(Mul(pace, lambda), room))
}

// steepest fills the rooms in falling order of the slopes until the sum of slope times move is gap. Equal slopes, which
// no order tells apart, fill equal shares of their rooms.
func steepest(slope, room, gap *Node) *Node {
	order := Bitcast(ConvertDType(slope, dtypes.Float32), dtypes.Int32) // floats are ordered as their bits are
	gain, zero := Mul(slope, room), ZerosLike(slope)
	least := bisect(gap, func(bits *Node) *Node {
		reached := sumImages(Where(GreaterOrEqual(order, BroadcastToShape(bits, order.Shape())), gain, zero))
		return GreaterOrEqual(reached, gap)
	})
	least = BroadcastToShape(least, order.Shape())
	steeper, equal := GreaterThan(order, least), Equal(order, least)
	left := Sub(gap, sumImages(Where(steeper, gain, zero)))
	last := sumImages(Where(equal, gain, zero))
	share := ClipScalar(Div(left, Where(GreaterThan(last, ZerosLike(last)), last, constant(last, 1))), 0, 1)
	return Where(steeper, room, Where(equal, Mul(room, share), zero))
}

// bisect is the largest int32, in the shape of like, that is the bits of a finite float32 and of which hold is true, where
// that is so for all smaller ones; 0 where it is so for none.
func bisect(like *Node, hold func(bits *Node) *Node) *Node {
	found := ConvertDType(ZerosLike(like), dtypes.Int32)
	most := Const(like.Graph(), int32(math.Float32bits(math.MaxFloat32)))
	for b := 30; b >= 0; b-- {
		candidate := Add(found, Const(like.Graph(), int32(1)<<b))
		within := LessOrEqual(candidate, BroadcastToShape(most, candidate.Shape()))
		found = Where(LogicalAnd(within, hold(Min(candidate, most))), candidate, found)
	}
	return found
}
