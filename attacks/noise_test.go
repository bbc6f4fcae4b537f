package attacks

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestGaussian checks moments and quantiles of the noise, and that rows depend on their own keys alone.
func TestGaussian(t *testing.T) {
	const rows, d = 8, 4096
	noise := func(first, second []float32) [][]float32 {
		return eval(t, goBackend(t), func(in []*Node) []*Node { return []*Node{gaussian(in[0], [2]*Node{in[1], in[2]})} },
			make2d(len(first), d), first, second)[0].Value().([][]float32)
	}
	first := []float32{0, 0, 1, 1, 2, 1<<24 - 1, 7, 12345678}
	second := []float32{0, 1, 0, 1, 2, 1<<24 - 1, 7, 87654}
	z := noise(first, second)
	for i, row := range z {
		var sum, squares, below float64
		for _, v := range row {
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
			if v < -1 {
				below++
			}
		}
		// Five standard errors each.
		if math.Abs(sum/d) > 5/math.Sqrt(d) || math.Abs(squares/d-1) > 5*math.Sqrt(2./d) || math.Abs(below/d-.158655) > 5*math.Sqrt(.1335/d) {
			t.Errorf("row %d: mean %.3f, mean square %.3f, %.3f below -1", i, sum/d, squares/d, below/d)
		}
		for j := range i {
			var product float64
			for k := range row {
				product += float64(row[k]) * float64(z[j][k])
			}
			if math.Abs(product/d) > 5/math.Sqrt(d) {
				t.Errorf("rows %d and %d: correlation %.3f", i, j, product/d)
			}
		}
	}
	if alone := noise(first[6:7], second[6:7]); !slices.Equal(alone[0], z[6]) {
		t.Error("noise of a row depends on the others")
	}
}

func make2d(rows, d int) [][]float32 {
	out := make([][]float32, rows)
	for i := range out {
		out[i] = make([]float32, d)
	}
	return out
}
