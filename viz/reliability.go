package viz

import (
	"fmt"
	"image"
	"math"
)

// ReliabilityBin holds the predictions whose confidence lies between Lo and Hi.
type ReliabilityBin struct {
	Lo, Hi     float64 // edges of the bin in [0, 1]
	Confidence float64 // mean confidence of its predictions
	Accuracy   float64 // share of them that is right
	Count      int     // number of them; 0 leaves the bin empty
}

// ReliabilityOptions are the settings of [Reliability].
type ReliabilityOptions struct {
	Title         string
	Width, Height float64 // cm; 0 means 12 x 12
}

// Reliability draws the accuracy of each bin as a bar, with the gap to the mean
// confidence hatched over it, and the share of predictions in each bin below. The
// legend gives the expected calibration error over these bins (Naeini et al.
// 2015; Guo et al. 2017, eq. 3),
//
//	ECE = sum_b count_b / n * |accuracy_b - confidence_b|
func Reliability(opt ReliabilityOptions, bins []ReliabilityBin) (*Figure, error) {
	fig, err := reliability(opt, bins)
	if err != nil {
		return nil, fmt.Errorf("viz: reliability: %w", err)
	}
	return fig, nil
}

func reliability(opt ReliabilityOptions, bins []ReliabilityBin) (*Figure, error) {
	n, err := checkBins(bins)
	if err != nil {
		return nil, err
	}
	ece, largest := calibrationError(bins, n), 0.0
	for _, b := range bins {
		largest = max(largest, float64(b.Count)/float64(n))
	}
	width, height := opt.Width, opt.Height
	if width == 0 {
		width = 12
	}
	if height == 0 {
		height = 12
	}
	bar := tint(Palette[0], 0.6) // light enough for the hatches
	diagonal := pen{ink, 2, []float64{8, 6}}
	p, room, err := sheet{title: opt.Title, width: width, height: height, entries: []entry{
		boxEntry("accuracy", bar, bar),
		{fmt.Sprintf("gap to confidence (ECE %.1f %%)", 100*ece), func(p *page, box image.Rectangle) { p.hatch(box, wrongRed) }},
		lineEntry("perfect calibration", diagonal, nil),
		boxEntry("share of predictions", softInk, softInk),
	}}.open()
	if err != nil {
		return nil, err
	}
	split := room.Min.Y + room.Dy()*7/10
	upper := image.Rect(room.Min.X, room.Min.Y, room.Max.X, split)
	lower := image.Rect(room.Min.X, split+gap, room.Max.X, room.Max.Y)
	unit := axis{min: 0, max: 1}
	count := axis{label: "share", min: 0, max: 1.08 * largest}
	conf := axis{label: "confidence", min: 0, max: 1}
	acc := axis{label: "accuracy", min: 0, max: 1}
	above, below := newAxes(p, upper, unit, acc, 0), newAxes(p, lower, conf, count, 0)
	edge := max(above.box.Min.X, below.box.Min.X) // same scale for both
	above.box.Min.X, below.box.Min.X = edge, edge

	above.drawGrid(true, true)
	below.drawGrid(true, true)
	for _, b := range bins {
		if b.Count == 0 {
			continue
		}
		p.fill(inset(above.pixelRect(b.Lo, b.Accuracy, b.Hi, 0)), bar)
		lo, hi := min(b.Accuracy, b.Confidence), max(b.Accuracy, b.Confidence)
		p.hatch(inset(above.pixelRect(b.Lo, hi, b.Hi, lo)), wrongRed)
		p.fill(inset(below.pixelRect(b.Lo, float64(b.Count)/float64(n), b.Hi, 0)), softInk)
	}
	p.stroke(diagonal, above.box, above.at(0, 0), above.at(1, 1))
	above.drawFrame()
	below.drawFrame()
	return p.figure(), nil
}

// calibrationError is the ECE of n predictions in bins.
func calibrationError(bins []ReliabilityBin, n int) float64 {
	ece := 0.0
	for _, b := range bins {
		if b.Count > 0 {
			ece += float64(b.Count) / float64(n) * math.Abs(b.Accuracy-b.Confidence)
		}
	}
	return ece
}

// inset leaves a pixel between neighbouring bars.
func inset(r image.Rectangle) image.Rectangle {
	if r.Dx() > 3 {
		r.Min.X++
		r.Max.X--
	}
	return r
}

func checkBins(bins []ReliabilityBin) (n int, err error) {
	unit := func(v float64) bool { return v >= 0 && v <= 1 }
	for i, b := range bins {
		if !unit(b.Lo) || !unit(b.Hi) || b.Lo >= b.Hi || b.Count < 0 {
			return 0, fmt.Errorf("bin %d from %g to %g with %d predictions: want 0 <= Lo < Hi <= 1 and a count >= 0", i, b.Lo, b.Hi, b.Count)
		}
		if b.Count > 0 && (!unit(b.Accuracy) || !unit(b.Confidence)) {
			return 0, fmt.Errorf("bin %d: accuracy %g, confidence %g: want both in [0, 1]", i, b.Accuracy, b.Confidence)
		}
		n += b.Count
	}
	if n == 0 {
		return 0, fmt.Errorf("%d bins without any prediction: want at least one", len(bins))
	}
	return n, nil
}
