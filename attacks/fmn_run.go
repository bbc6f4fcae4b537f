package attacks

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// clearShare is the margin, as a share of the range of the clean logits, by which FMN's adversarial points are wrong.
const clearShare = 1e-5

// dualNorm of L0 is not defined.
var dualNorm = map[Norm]Norm{Linf: L1, L2: L2, L1: Linf}

// move is one step of FMN; eps is the state's only number.
func (f FMN) move(s *approachState, p probe) {
	norm, rate := f.Ball.Norm, p.schedule[1]
	delta := Sub(s.x, p.clean)
	distance := sizes(norm, delta)
	spread := Sub(ReduceMax(p.natural, -1), ReduceMin(p.natural, -1))
	margin := Sub(MulScalar(finite(spread), clearShare), p.losses)
	adversarial := LogicalAnd(p.wrong, LogicalNot(GreaterOrEqual(margin, ZerosLike(margin)))) // a NaN is
	s.keep(adversarial, distance)

	var eps *Node
	if norm == L0 {
		eps = Where(p.first, OnesLike(distance), s.numbers[0])
		down := Min(AddScalar(eps, -1), Floor(Mul(eps, OneMinus(rate))))
		up := Max(AddScalar(eps, 1), Floor(Mul(eps, OnePlus(rate))))
		eps = MaxScalar(Where(adversarial, Min(down, s.distance), up), 1)
	} else {
		infinite := constant(distance, math.Inf(1))
		eps = Where(p.first, infinite, s.numbers[0])
		found := LessThan(s.distance, infinite)
		boundary := Add(distance, Div(Abs(finite(margin)), MaxScalar(sizes(dualNorm[norm], p.grad), smallestNorm)))
		eps = Where(adversarial, Min(Mul(eps, OneMinus(rate)), s.distance), Where(found, Mul(eps, OnePlus(rate)), boundary))
	}
	eps = Min(eps, farthest(norm, p.clean))
	delta = Add(delta, Mul(Ball{Norm: L2}.Direction(p.grad), perImage(p.schedule[0])))
	s.x, s.numbers = projectRows(norm, p.clean, delta, eps), []*Node{eps}
}

// projectRows is clean + delta, projected to balls of radius eps [B] around clean and clipped to the pixel box.
func projectRows(norm Norm, clean, delta, eps *Node) *Node {
	switch norm {
	case L1:
		return projectL1(Add(clean, delta), clean, ConvertDType(perImage(eps), dtypes.Float64))
	case L0:
		delta = keepLargest(delta, eps)
	case L2:
		delta = Mul(delta, perImage(MinScalar(Div(eps, MaxScalar(sizes(L2, delta), smallestNorm)), 1)))
	default:
		wide := BroadcastToShape(perImage(eps), delta.Shape())
		delta = Min(Max(delta, Neg(wide)), wide)
	}
	return ClipScalar(Add(clean, delta), 0, 1)
}

// keepLargest sets all but the n largest absolute values of each image of delta [B, ...] to zero, with n [B] whole numbers
// from 1 to d; among equals the first are kept. It bisects for the n-th largest rank, an integer with the bits of the value
// above those of the position.
func keepLargest(delta, n *Node) *Node {
	rows := delta.Shape().Dim(0)
	flat := Reshape(delta, rows, -1)
	d := flat.Shape().Dim(1)
	width := 0
	for 1<<width < d {
		width++
	}
	value := ConvertDType(Bitcast(Abs(flat), dtypes.Int32), dtypes.Int64)
	position := ConvertDType(Iota(flat.Graph(), flat.Shape(), 1), dtypes.Int64)
	rank := Add(MulScalar(value, float64(int64(1)<<width)), AddScalar(Neg(position), float64(d-1)))
	smaller := AddScalar(Neg(ConvertDType(InsertAxes(n, -1), dtypes.Int64)), float64(d)) // ranks below the n-th largest
	least := ZerosLike(smaller)
	for b := 30 + width; b >= 0; b-- {
		candidate := AddScalar(least, float64(int64(1)<<b))
		below := ConvertDType(LessThan(rank, BroadcastToShape(candidate, rank.Shape())), dtypes.Int64)
		least = Where(LessOrEqual(ReduceAndKeep(below, ReduceSum, -1), smaller), candidate, least)
	}
	kept := Where(GreaterOrEqual(rank, BroadcastToShape(least, rank.Shape())), flat, ZerosLike(flat))
	return Reshape(kept, delta.Shape().Dimensions...)
}
