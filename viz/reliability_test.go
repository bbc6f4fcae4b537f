package viz

import (
	"image/color"
	"math"
	"testing"
)

func TestCalibrationError(t *testing.T) {
	bins := []ReliabilityBin{{0, 0.5, 0.4, 0.6, 30}, {0.5, 0.8, math.NaN(), math.NaN(), 0}, {0.8, 1, 0.9, 0.7, 70}}
	if got := calibrationError(bins, 100); math.Abs(got-0.2) > 1e-15 { // 0.3*0.2 + 0.7*0.2
		t.Errorf("ECE %g, want 0.2", got)
	}
	must(t)(Reliability(ReliabilityOptions{}, bins))
}

// TestReliabilityBars: a bar reaches the accuracy, whether the confidence lies above or below it, and hatches span the gap.
func TestReliabilityBars(t *testing.T) {
	m := must(t)(Reliability(ReliabilityOptions{}, []ReliabilityBin{{0, 0.5, 0.3, 0.6, 1}, {0.5, 1, 0.9, 0.6, 1}}))
	span := func(x int, c color.RGBA) (top, bottom int) { // of a colour in a column
		for _, s := range stretches(m, 110, c) {
			if s.x == x && top == 0 {
				top = s.y0
			}
			if s.x == x {
				bottom = s.y1
			}
		}
		return top, bottom
	}
	blue, left, right := tint(Palette[0], 0.6), m.Rect.Dx()/3, m.Rect.Dx()*3/4
	accuracy, floor := span(right, blue)
	gapTop, gapBottom := span(right, wrongRed)
	if d := accuracy - gapBottom; d < 0 || d > 2 { // pixels of the diagonal may lie between
		t.Errorf("accuracy 0.6, confidence 0.9: bar from row %d, hatches to %d", accuracy, gapBottom)
	}
	under, end := span(left, wrongRed)
	if top, bottom := span(left, blue); bottom != floor || top-accuracy < 0 || top-accuracy > 10 || under > accuracy || accuracy-under > 2 {
		t.Errorf("accuracy 0.6, confidence 0.3: bar in rows %d to %d, hatches from %d, want %d to %d, as for 0.9", top, bottom, under, accuracy, floor)
	}
	if gap := end - under; gap < gapBottom-gapTop-2 || gap > gapBottom-gapTop+2 {
		t.Errorf("gaps of 0.3 are %d and %d pixels high", gap, gapBottom-gapTop)
	}
}
