package attacks

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// noiseShift makes of a uint32 a key that float32 holds exactly.
const noiseShift = 8

// gaussian is KeyedNormal noise in the shape of x [B, ...] for keys that a plan holds: integers [B] from 0 to 2^24-1.
func gaussian(x *Node, keys [2]*Node) *Node {
	word := func(key *Node) *Node { return ConvertDType(InsertAxes(key, -1), dtypes.Uint32) }
	return KeyedNormal(Concatenate([]*Node{word(keys[0]), word(keys[1])}, -1), x.Shape().Dimensions[1:]...)
}
