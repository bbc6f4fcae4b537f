package optim

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// Percentile returns, for every tensor alone, the value below which the share q in [0, 1] of its entries lies, linearly
// interpolated between neighbours as numpy.percentile does by default.
//
// The k-th smallest value is found exactly, by bisection over the bits of the floats: 32 passes that count, where a sort
// of the largest gradient of a ResNet-18 costs ten times more. Tensors of similar size are bisected together, as rows of
// one matrix, which keeps the compiled program small.
func Percentile(tensors []*Node, q float64) []*Node {
	if !(q >= 0 && q <= 1) {
		panic(fmt.Errorf("optim.Percentile: q = %v, want a value in [0, 1]", q))
	}
	out := make([]*Node, len(tensors))
	for _, group := range bySize(tensors) {
		size := tensors[group[len(group)-1]].Shape().Size()
		rows := make([]*Node, len(group))
		positions := make([]float64, len(group))
		for r, i := range group {
			t := tensors[i]
			n := t.Shape().Size()
			positions[r] = q * float64(n-1)
			// Infinity sorts last, so filling rows up with it moves no percentile.
			rows[r] = Pad(Reshape(t, 1, n), Infinity(t.Graph(), t.DType(), 1), compute.PadAxis{}, compute.PadAxis{End: size - n})
		}
		values := interpolate(Concatenate(rows, 0), positions) // [rows, 1]
		for r, i := range group {
			out[i] = Reshape(Slice(values, AxisElem(r)))
		}
	}
	return out
}

// bySize groups indices of tensors, smallest first, so that no tensor is filled up to more than four times its size.
func bySize(tensors []*Node) (groups [][]int) {
	order := make([]int, len(tensors))
	for i := range order {
		order[i] = i
	}
	size := func(i int) int { return tensors[i].Shape().Size() }
	slices.SortStableFunc(order, func(a, b int) int { return size(a) - size(b) })
	for _, i := range order {
		last := len(groups) - 1
		if last < 0 || size(i) > 4*size(groups[last][0]) {
			groups = append(groups, nil)
			last++
		}
		groups[last] = append(groups[last], i)
	}
	return groups
}

// interpolate returns the value at a (fractional) position of each sorted row of x [R, N], as [R, 1].
func interpolate(x *Node, positions []float64) *Node {
	g := x.Graph()
	k, next, frac := make([]int32, len(positions)), make([]int32, len(positions)), make([]float64, len(positions))
	for r, p := range positions {
		k[r] = int32(math.Floor(p))
		next[r], frac[r] = k[r]+1, p-math.Floor(p)
	}
	column := func(v any, dtype dtypes.DType) *Node { return InsertAxes(ConstAsDType(g, dtype, v), -1) }
	low := kthSmallest(x, column(k, dtypes.Int32))
	// The next value up is low again where it occurs often enough, else the smallest value above it.
	atMost := reduceRow(ConvertDType(LessOrEqual(x, low), dtypes.Int32), ReduceSum)
	above := reduceRow(Where(GreaterThan(x, low), x, Infinity(g, x.DType(), 1)), ReduceMin)
	high := Where(GreaterThan(atMost, column(next, dtypes.Int32)), low, above)
	share := column(frac, x.DType())
	// At a whole position there may be no value above: the infinity must not be multiplied by 0.
	return Where(GreaterThan(share, ZerosLike(share)), Add(low, Mul(Sub(high, low), share)), low)
}

// kthSmallest is the k-th (0-based) smallest value of each row of x [R, N], for k and result [R, 1].
func kthSmallest(x, k *Node) *Node {
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
		lo = Where(LessOrEqual(below, k), candidate, lo)
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
