package attacks

import (
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// TestGaussian: the keys of a plan, which are floats, give the noise of KeyedNormal for the same whole numbers.
func TestGaussian(t *testing.T) {
	first := []float32{0, 0, 1, 1, 2, 1<<24 - 1, 7, 12345678}
	second := []float32{0, 1, 0, 1, 2, 1<<24 - 1, 7, 87654}
	var keys [][]uint32
	for i := range first {
		keys = append(keys, []uint32{uint32(first[i]), uint32(second[i])})
	}
	out := eval(t, goBackend(t), func(in []*Node) []*Node {
		return []*Node{Reshape(gaussian(in[0], [2]*Node{in[1], in[2]}), len(keys), -1), KeyedNormal(in[3], 15)}
	}, tensors.FromFlatDataAndDimensions(make([]float32, 15*len(keys)), len(keys), 3, 5), first, second, keys)
	got, want := out[0].Value().([][]float32), out[1].Value().([][]float32)
	for i := range keys {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("keys %v: %v, want %v", keys[i], got[i], want[i])
		}
	}
}
