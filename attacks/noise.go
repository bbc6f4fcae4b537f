package attacks

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// noiseShift makes of a uint32 a key that float32 holds exactly.
const noiseShift = 8

// gaussian is standard normal noise in the shape of x [B, ...], float32. Row by row it depends on the two keys alone,
// integers [B] from 0 to 2^24-1, so that a row's noise does not depend on the rows next to it. It is Box and Muller's
// transform of hashes of the keys and the position.
func gaussian(x *Node, keys [2]*Node) *Node {
	flat := shapes.Make(dtypes.Uint32, x.Shape().Dim(0), x.Shape().Size()/x.Shape().Dim(0))
	uniform := func(odd float64) *Node { // in (0, 1]
		h := mix(AddScalar(MulScalar(Iota(x.Graph(), flat, 1), 2), odd))
		for _, key := range keys {
			h = mix(BitwiseXor(h, BroadcastToShape(InsertAxes(ConvertDType(key, dtypes.Uint32), -1), flat)))
		}
		return MulScalar(AddScalar(ConvertDType(BitwiseShiftRightLogicalScalar(h, noiseShift), dtypes.Float32), .5), 1./(1<<24))
	}
	radius := Sqrt(MulScalar(Log(uniform(0)), -2))
	return Reshape(Mul(radius, Cos(MulScalar(uniform(1), 2*math.Pi))), x.Shape().Dimensions...)
}

// mix is the finalizer of MurmurHash3, which makes each bit of a uint32 depend on all of them.
func mix(h *Node) *Node {
	fold := func(shift uint32) { h = BitwiseXor(h, BitwiseShiftRightLogicalScalar(h, shift)) }
	times := func(factor uint32) { h = Mul(h, Const(h.Graph(), factor)) }
	fold(16)
	times(0x85ebca6b)
	fold(13)
	times(0xc2b2ae35)
	fold(16)
	return h
}
