package attacks

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// KeyedUniform is float32 [B, dims...] of uniform numbers in [0, 1), multiples of 2^-24, for a Model.Random.
//
// keys is uint32 [B, 2]; the numbers of a row depend on its key alone, neither on other rows nor on the backend. One key
// gives the same numbers each time: layers that draw independently take keys of their own from SplitKeys.
//
// The bits are those of Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
func KeyedUniform(keys *Node, dims ...int) *Node {
	n := rowSize("KeyedUniform", keys, dims)
	first, second := randomWords(keys, (n+1)/2, 0)
	return shapeRows(Concatenate([]*Node{fraction(first), fraction(second)}, -1), n, dims)
}

// KeyedNormal is float32 [B, dims...] of N(0, 1), made by Box and Muller's transform from the bits that KeyedUniform
// has for these keys; up to |z| = 5.77.
func KeyedNormal(keys *Node, dims ...int) *Node {
	n := rowSize("KeyedNormal", keys, dims)
	first, second := randomWords(keys, (n+1)/2, 0)
	radius := Sqrt(MulScalar(Log(OneMinus(fraction(first))), -2))
	angle := MulScalar(fraction(second), 2*math.Pi)
	return shapeRows(Concatenate([]*Node{Mul(radius, Cos(angle)), Mul(radius, Sin(angle))}, -1), n, dims)
}

// SplitKeys gives the keys, uint32 [B, 2], of the consumer with this number: independent of those of other consumers
// and of the numbers that keys itself gives.
func SplitKeys(keys *Node, consumer uint32) *Node {
	rowSize("SplitKeys", keys, nil)
	key0, key1 := keyWords(keys)
	counter := BroadcastToShape(Scalar(keys.Graph(), dtypes.Uint32, consumer), key0.Shape())
	first, second := threefry(key0, key1, counter, OnesLike(counter))
	return Concatenate([]*Node{first, second}, -1)
}

// rowSize is the number of values of a row of dims, and panics unless keys are keys.
func rowSize(name string, keys *Node, dims []int) int {
	if keys.Rank() != 2 || keys.Shape().Dim(1) != 2 || keys.DType() != dtypes.Uint32 {
		exceptions.Panicf("attacks.%s: keys have shape %s, want uint32 [batch, 2]", name, keys.Shape())
	}
	n := 1
	for _, d := range dims {
		if d < 1 {
			exceptions.Panicf("attacks.%s: dimensions %v, want at least 1 each", name, dims)
		}
		n *= d
	}
	return n
}

// shapeRows cuts x [B, at least n] to [B, dims...].
func shapeRows(x *Node, n int, dims []int) *Node {
	x = SliceAxis(x, -1, AxisRange(0, n))
	return Reshape(x, append([]int{x.Shape().Dim(0)}, dims...)...)
}

// randomWords are two blocks of random bits, uint32 [B, n] each.
func randomWords(keys *Node, n int, block uint32) (first, second *Node) {
	key0, key1 := keyWords(keys)
	counter := ConvertDType(Iota(keys.Graph(), shapes.Make(dtypes.Int32, keys.Shape().Dim(0), n), 1), dtypes.Uint32)
	return threefry(key0, key1, counter, MulScalar(OnesLike(counter), block))
}

func keyWords(keys *Node) (key0, key1 *Node) {
	return SliceAxis(keys, -1, AxisElem(0)), SliceAxis(keys, -1, AxisElem(1))
}

// fraction is the upper 24 of 32 bits as a float32 in [0, 1).
func fraction(bits *Node) *Node {
	return MulScalar(ConvertDType(BitwiseShiftRightLogicalScalar(bits, uint32(8)), dtypes.Float32), 1./(1<<24))
}

// threefryParity and threefryRotations are the constants of Threefry-2x32.
const threefryParity = 0x1BD11BDA

var threefryRotations = [2][4]uint32{{13, 15, 26, 6}, {17, 29, 16, 24}}

// threefry enciphers the counters [B, n] under the keys [B, 1], all uint32, in 20 rounds.
func threefry(key0, key1, counter0, counter1 *Node) (x0, x1 *Node) {
	g := key0.Graph()
	word := func(v uint32) *Node { return Scalar(g, dtypes.Uint32, v) }
	keys := [3]*Node{key0, key1, BitwiseXor(BitwiseXor(key0, key1), word(threefryParity))}
	x0, x1 = Add(counter0, keys[0]), Add(counter1, keys[1])
	for group := range 5 {
		for _, r := range threefryRotations[group%2] {
			x0 = Add(x0, x1)
			x1 = BitwiseOr(BitwiseShiftLeft(x1, word(r)), BitwiseShiftRightLogical(x1, word(32-r)))
			x1 = BitwiseXor(x1, x0)
		}
		x0 = Add(x0, keys[(group+1)%3])
		x1 = Add(x1, Add(keys[(group+2)%3], word(uint32(group+1))))
	}
	return x0, x1
}
