package viz

import (
	"fmt"
	"image/color"
	"math"
	"slices"
)

// Sample is one named distribution.
type Sample struct {
	Name   string
	Values []float64
	Color  color.Color // nil means the next of the palette
}

// HistogramOptions are the settings of [Histogram].
type HistogramOptions struct {
	Title, XLabel, YLabel string     // YLabel "" means "count" or "density"
	Width, Height         float64    // cm; 0 means 15 x 9
	Bins                  int        // 0 chooses 5 to 60 by the rule of Freedman and Diaconis
	Range                 [2]float64 // zero means: of the data
	Density               bool       // scale each sample to area 1
	VLines                []VLine
}

// Histogram draws samples over common bins, as translucent steps. Values that
// are not finite or outside Range are left out, and the legend says how many.
// A value on a bin's lower edge belongs to it; the last bin holds both edges.
func Histogram(opt HistogramOptions, samples ...Sample) (*Figure, error) {
	fig, err := histogram(opt, samples)
	if err != nil {
		return nil, fmt.Errorf("viz: histogram: %w", err)
	}
	return fig, nil
}

func histogram(opt HistogramOptions, samples []Sample) (*Figure, error) {
	var all []float64
	for _, s := range samples {
		for _, v := range s.Values {
			if usable(v) {
				all = append(all, v)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no finite value in %d samples: want at least one", len(samples))
	}
	if opt.Bins < 0 || opt.Bins > 1000 {
		return nil, fmt.Errorf("%d bins: want 1 to 1000, or 0 to choose", opt.Bins)
	}
	if err := checkVLines(opt.VLines, false); err != nil {
		return nil, err
	}
	slices.Sort(all)
	x, err := colorScale(opt.XLabel, all[0], all[len(all)-1], opt.Range)
	if err != nil {
		return nil, err
	}
	bins := opt.Bins
	if bins == 0 {
		bins = chooseBins(all, x.min, x.max)
	}

	s := sheet{title: opt.Title, width: opt.Width, height: opt.Height}
	heights := make([][]float64, len(samples))
	highest := 0.0
	for i, sample := range samples {
		var shown int
		heights[i], shown = binned(sample.Values, x.min, x.max, bins, opt.Density)
		highest = max(highest, slices.Max(heights[i]))
		name := sample.Name
		if name == "" && len(samples) > 1 {
			name = fmt.Sprintf("sample %d", i+1)
		}
		if out := len(sample.Values) - shown; out > 0 {
			name = fmt.Sprintf("%s (%d of %d values outside or not finite)", name, out, len(sample.Values))
		}
		if name != "" {
			c := seriesColor(sample.Color, i)
			s.entries = append(s.entries, boxEntry(name, tint(c, 0.35), c))
		}
	}
	label := opt.YLabel
	switch {
	case label != "":
	case opt.Density:
		label = "density"
	default:
		label = "count"
	}
	y := axis{label: label, min: 0, max: 1.05 * max(highest, 1e-290), integers: !opt.Density && highest > 0}
	headroom(&y, opt.VLines)
	p, room, err := s.open()
	if err != nil {
		return nil, err
	}
	a := newAxes(p, room, x, y, 0)
	a.drawGrid(false, true)
	for i := range samples {
		fillSteps(a, heights[i], seriesColor(samples[i].Color, i))
	}
	for i := range samples { // outlines last: no fill may discolour them
		outlineSteps(a, heights[i], seriesColor(samples[i].Color, i))
	}
	for _, v := range opt.VLines {
		a.vmark(v.X, v.Label, softInk)
	}
	a.drawFrame()
	return p.figure(), nil
}

// chooseBins applies Freedman and Diaconis (1981): bins of width 2 IQR / n^(1/3),
// between 5 and 60 of them; without spread in the quartiles, Sturges' rule.
func chooseBins(sorted []float64, lo, hi float64) int {
	n := float64(len(sorted))
	quartile := func(q float64) float64 { return sorted[int(q*(n-1)+0.5)] }
	bins := math.Log2(n) + 1
	if iqr := quartile(0.75) - quartile(0.25); iqr > 0 {
		bins = (hi - lo) / (2 * iqr / math.Cbrt(n))
	}
	return int(math.Ceil(min(max(bins, 5), 60)))
}

// binned counts values in [lo, hi]; density divides by count and bin width.
func binned(values []float64, lo, hi float64, bins int, density bool) (heights []float64, shown int) {
	heights = make([]float64, bins)
	for _, v := range values {
		if v >= lo && v <= hi {
			heights[min(int((v-lo)/(hi-lo)*float64(bins)), bins-1)]++
			shown++
		}
	}
	if density && shown > 0 {
		for i := range heights {
			heights[i] /= float64(shown) * (hi - lo) / float64(bins)
		}
	}
	return heights, shown
}

func fillSteps(a *axes, heights []float64, c color.RGBA) {
	width := (a.x.max - a.x.min) / float64(len(heights))
	for i, h := range heights {
		x0, x1 := a.x.min+float64(i)*width, a.x.min+float64(i+1)*width
		a.p.fill(a.pixelRect(x0, h, x1, 0), withAlpha(c, 0.35))
	}
}

func outlineSteps(a *axes, heights []float64, c color.RGBA) {
	width := (a.x.max - a.x.min) / float64(len(heights))
	outline := [][2]float64{a.at(a.x.min, 0)}
	for i, h := range heights {
		outline = append(outline, a.at(a.x.min+float64(i)*width, h), a.at(a.x.min+float64(i+1)*width, h))
	}
	outline = append(outline, a.at(a.x.max, 0))
	a.p.stroke(pen{c, 2.5, nil}, a.box, outline...)
}

// ECDF is the empirical distribution function of values as a step curve for
// [Curves]: Y[i] is the share (0 to 1) of all values that are at most X[i].
// Infinite values, such as the distance of an example that no attack could
// fool, count in the share and are not drawn, so the curve ends below 1; NaN
// values do not count.
func ECDF(name string, values []float64) Series {
	var finite []float64
	n, below := 0, 0
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			continue
		case usable(v):
			finite = append(finite, v)
		case v < 0:
			below++
		}
		n++
	}
	slices.Sort(finite)
	s := Series{Name: name, X: []float64{}, Y: []float64{}, Step: true}
	for i, v := range finite {
		if i+1 < len(finite) && finite[i+1] == v {
			continue
		}
		s.X = append(s.X, v)
		s.Y = append(s.Y, float64(below+i+1)/float64(n))
	}
	return s
}
