package analysis

import (
	"math"
	"testing"
)

func TestLeftEnd(t *testing.T) {
	many := make([]float64, 101)
	for i := range many {
		many[i] = float64(i + 1)
	}
	for _, c := range []struct {
		lists [][]float64
		want  float64
	}{
		{nil, 0},
		{[][]float64{{}, {0, math.Inf(1)}}, 0},
		{[][]float64{{2}, {1.1, 3, 0}}, 1},
		{[][]float64{many}, 3 / 1.1},               // two of 101 lie further left
		{[][]float64{append(many, 1e-9)}, 2 / 1.1}, // an image beside the boundary is one of the two
	} {
		if got := leftEnd(c.lists...); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v: %v, want %v", c.lists, got, c.want)
		}
	}
}
