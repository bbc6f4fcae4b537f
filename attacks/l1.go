package attacks

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// slideShare is the share of pixel values that one step of PGD in L1 moves: those above the 99th percentile of the
// gradient, as in sparse L1 descent (SLIDE, Tramèr and Boneh 2019).
const slideShare = .01

// projectL1 is the point nearest to adv within distance radius of x in L1 and within the pixel box: the exact
// projection, x + sign(v) clip(|v| - lambda, 0, room) for v = adv - x, with room the way to the wall of the box and the
// smallest lambda >= 0 that fits the ball (Croce and Hein 2021, "Mind the box", proposition 2.1).
//
// radius is float64, a scalar or [B, 1, ...]. The total change falls with lambda, so bisection finds the linear piece
// that meets the radius, and one division the point on it; that takes no sort, which is slow on some backends.
func projectL1(adv, x, radius *Node) *Node {
	origin := ConvertDType(x, dtypes.Float64)
	v := Sub(ConvertDType(adv, dtypes.Float64), origin)
	size, zero := Abs(v), ZerosLike(v)
	room := Where(GreaterThan(v, zero), OneMinus(origin), origin)
	clipped := func(lambda *Node) *Node { return Min(Max(Sub(size, lambda), zero), room) }
	low := sumImages(zero)
	high := reduceImages(size, ReduceMax)
	radius = BroadcastToShape(radius, low.Shape())
	fits := LessOrEqual(sumImages(Min(size, room)), radius)
	for range 32 {
		middle := MulScalar(Add(low, high), .5)
		over := GreaterThan(sumImages(clipped(middle)), radius)
		low, high = Where(over, middle, low), Where(over, high, middle)
	}
	wide := BroadcastToShape(high, size.Shape())
	moving := LogicalAnd(GreaterThan(size, wide), LessThan(Sub(size, wide), room))
	atWall := LogicalAnd(GreaterThan(size, wide), LogicalNot(moving))
	spent := sumImages(Add(Where(moving, size, zero), Where(atWall, room, zero)))
	lambda := Div(Sub(spent, radius), MaxScalar(sumImages(ConvertDType(moving, dtypes.Float64)), 1))
	lambda = Where(fits, ZerosLike(low), Min(Max(lambda, low), high))
	return shortOf(x, origin, Mul(Sign(v), clipped(lambda)))
}

// shortOf is x + delta in the type of x, rounded towards x: thousands of roundings outwards would leave an L1 ball. delta
// and origin, which is x, are float64.
func shortOf(x, origin, delta *Node) *Node {
	out := ConvertDType(Add(origin, delta), x.DType())
	if x.DType() != dtypes.Float32 {
		return out
	}
	beyond := GreaterThan(Abs(Sub(ConvertDType(out, dtypes.Float64), origin)), Abs(delta))
	bits := Bitcast(out, dtypes.Int32) // floats of one sign are ordered as their bits are
	inwards := Neg(ConvertDType(Sign(delta), dtypes.Int32))
	return Where(beyond, Bitcast(Add(bits, inwards), dtypes.Float32), out)
}

// sparse keeps of each image's gradient, in place of the values, the signs of the largest absolute values, scaled to
// unit L1 norm. share [B, 1, ...] is how many of the d values count, rounded up, but at least one and all that
// equal the least of them; in the arithmetic of AutoAttack's code, whose type is that of the gradient. A zero gradient
// stays zero.
func sparse(grad, share *Node) *Node {
	grad = finite(grad)
	d := grad.Shape().Size() / grad.Shape().Dim(0)
	place := Floor(ClipScalar(MulScalar(OneMinus(share), float64(d)), 0, float64(d-1)))
	signs := ConvertDType(Sign(grad), dtypes.Float64)
	signs = Where(GreaterOrEqual(Abs(grad), BroadcastToShape(placed(Abs(grad), place), grad.Shape())), signs, ZerosLike(signs))
	return ConvertDType(Div(signs, MaxScalar(sumImages(Abs(signs)), 1)), grad.DType())
}

// placed is the value at a place, counted from 0, of the rising order of each image of x >= 0, float32: [B, 1, ...]. It
// bisects the bits of the value, which are ordered as the values are.
func placed(x, place *Node) *Node {
	bits := Bitcast(x, dtypes.Int32)
	found := reduceImages(ZerosLike(bits), ReduceMax)
	for b := 30; b >= 0; b-- {
		candidate := AddScalar(found, float64(int32(1)<<b))
		below := ConvertDType(LessThan(bits, BroadcastToShape(candidate, bits.Shape())), dtypes.Float64)
		found = Where(LessOrEqual(sumImages(below), ConvertDType(place, dtypes.Float64)), candidate, found)
	}
	return Bitcast(found, dtypes.Float32)
}

// slide is the direction of a step of PGD in L1. Values that would only leave the box do not count.
func slide(adv, grad *Node) *Node {
	grad = finite(grad)
	zero := ZerosLike(grad)
	stuck := LogicalOr(
		LogicalAnd(LessOrEqual(adv, zero), LessThan(grad, zero)),
		LogicalAnd(GreaterOrEqual(adv, OnesLike(adv)), GreaterThan(grad, zero)))
	return sparse(Where(stuck, zero, grad), MulScalar(OnesLike(reduceImages(grad, ReduceMax)), slideShare))
}

// uniformL1 fills dst with a uniform point of the L1 ball around zero: a point of the simplex from exponential spacings,
// with random signs.
func (b Ball) uniformL1(dst []float32, rng *rand.Rand) {
	spacing := make([]float64, len(dst))
	sum := rng.ExpFloat64() // how far inside the ball
	for i := range spacing {
		spacing[i] = rng.ExpFloat64()
		sum += spacing[i]
	}
	for i, v := range spacing {
		dst[i] = float32(math.Copysign(v*b.Eps/sum, rng.Float64()-.5))
	}
}
