package optim

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// Percentile returns, for every tensor alone, the value below which the share q in [0, 1] of its entries lies, linearly
// interpolated between neighbours as numpy.percentile does by default.
//
// The k-th smallest value is found exactly, by bisection over the bits of the floats: 31 passes that count, where a sort
// of the largest gradient of a ResNet-18 costs ten times more. Tensors of one shape are bisected together, which keeps
// the compiled program small.
func Percentile(tensors []*Node, q float64) []*Node {
	if !(q >= 0 && q <= 1) {
		panic(fmt.Errorf("optim.Percentile: q = %v, want a value in [0, 1]", q))
	}
	groups := map[int][]int{} // size -> indices
	var sizes []int
	for i, t := range tensors {
		n := t.Shape().Size()
		if groups[n] == nil {
			sizes = append(sizes, n)
		}
		groups[n] = append(groups[n], i)
	}
	out := make([]*Node, len(tensors))
	for _, n := range sizes {
		rows := make([]*Node, len(groups[n]))
		for r, i := range groups[n] {
			rows[r] = Reshape(tensors[i], 1, n)
		}
		values := rowPercentile(Concatenate(rows, 0), q) // [rows, 1]
		for r, i := range groups[n] {
			out[i] = Reshape(Slice(values, AxisElem(r)))
		}
	}
	return out
}

// rowPercentile is the percentile of each row of x [R, N], as [R, 1].
func rowPercentile(x *Node, q float64) *Node {
	n := x.Shape().Dim(1)
	pos := q * float64(n-1)
	k := int(math.Floor(pos))
	frac := pos - float64(k)
	low := kthSmallest(x, k)
	if frac == 0 {
		return low
	}
	// The next value up is low again where it occurs often enough, else the smallest value above it.
	atMost := reduceRow(ConvertDType(LessOrEqual(x, low), dtypes.Int32), ReduceSum)
	above := reduceRow(Where(GreaterThan(x, low), x, Infinity(x.Graph(), x.DType(), 1)), ReduceMin)
	high := Where(GreaterThan(atMost, Scalar(x.Graph(), dtypes.Int32, k+1)), low, above)
	return Add(low, MulScalar(Sub(high, low), frac))
}

// kthSmallest is the k-th (0-based) smallest value of each row of x [R, N], as [R, 1].
func kthSmallest(x *Node, k int) *Node {
	g, unsigned, bits := x.Graph(), dtypes.Uint32, 32
	if x.DType() == dtypes.Float64 {
		unsigned, bits = dtypes.Uint64, 64
	}
	one := func(bit int) *Node { return ConstAsDType(g, unsigned, uint64(1)<<bit) }
	keys := orderedBits(x, unsigned, one(bits-1))
	lo := Zeros(g, shapes.Make(unsigned, x.Shape().Dim(0), 1))
	for bit := bits - 1; bit >= 0; bit-- {
		candidate := Add(lo, one(bit))
		below := reduceRow(ConvertDType(LessThan(keys, candidate), dtypes.Int32), ReduceSum)
		lo = Where(LessOrEqual(below, Scalar(g, dtypes.Int32, k)), candidate, lo)
	}
	return Bitcast(fromOrderedBits(lo, one(bits-1)), x.DType())
}

// orderedBits maps floats to unsigned integers of the same order: negative ones have all bits flipped, the others the
// sign bit set.
func orderedBits(x *Node, unsigned dtypes.DType, sign *Node) *Node {
	b := Bitcast(Add(x, ZerosLike(x)), unsigned) // -0 + 0 = 0: both zeros get one key
	return Where(GreaterOrEqual(b, sign), BitwiseNot(b), BitwiseOr(b, sign))
}

func fromOrderedBits(key, sign *Node) *Node {
	return Where(GreaterOrEqual(key, sign), BitwiseXor(key, sign), BitwiseNot(key))
}

func reduceRow(x *Node, reduce func(*Node, ...int) *Node) *Node { return ReduceAndKeep(x, reduce, 1) }
