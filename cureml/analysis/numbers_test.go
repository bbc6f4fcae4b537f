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

func TestThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{1337.4: "1337", 999.6: "1000", 999.4: "999", 28.94: "28.9", 0.1449: "0.145", -1337: "-1337", 1.5e7: "1.5e+07", 0: "0"} {
		if got := threeDigits(v); got != want {
			t.Errorf("%g is written %s, want %s", v, got, want)
		}
	}
}

// TestDistributionsOfZeros: a logarithmic axis has no place for them, and they are no error.
func TestDistributionsOfZeros(t *testing.T) {
	for _, values := range [][][]float64{{{0, 0, 2, 4}, {1, math.Inf(1)}}, {{0, 0}, {3}}, {{0}, {0, math.Inf(1)}}, {{}, {}}} {
		if fig, err := distributions("d", "x", []string{"a", "b"}, values); err != nil || fig == nil {
			t.Errorf("%v: %v", values, err)
		}
	}
}
