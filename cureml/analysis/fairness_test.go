package analysis

import (
	"math"
	"testing"
)

func TestByClass(t *testing.T) {
	right := []bool{true, true, false, true, false, false, true, true}
	labels := []int32{0, 0, 0, 0, 2, 2, 3, 3} // no image of class 1
	a := byClass(right, labels, 4)
	for k, want := range []float64{.75, 0, 0, 1} {
		near(t, "accuracy of a class", a.PerClass[k], want, 1e-12)
	}
	near(t, "accuracy", a.Mean, 5./8, 1e-12)
	near(t, "spread", a.Spread, 1, 1e-12)
	mean := 1.75 / 3
	near(t, "deviation", a.Deviates, math.Sqrt(((.75-mean)*(.75-mean)+mean*mean+(1-mean)*(1-mean))/3), 1e-12)
	if a.Worst != 2 || a.Best != 3 {
		t.Errorf("worst class %d and best %d, want 2 and 3", a.Worst, a.Best)
	}
	if a := byClass([]bool{true, true, true}, []int32{1, 2, 1}, 3); a.Worst != 1 || a.Best != 1 || a.Spread != 0 || a.Deviates != 0 {
		t.Errorf("all right: got %+v", a)
	}
}
