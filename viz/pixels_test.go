package viz

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"testing"
)

// must returns the pixels of a figure.
func must(t *testing.T) func(fig *Figure, err error) *image.RGBA {
	return func(fig *Figure, err error) *image.RGBA {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return fig.img
	}
}

// stretch is a vertical run of one colour: rows y0 to y1-1 of column x.
type stretch struct{ x, y0, y1 int }

// stretches lists the runs of exactly colour c below row from, column by column.
func stretches(m *image.RGBA, from int, c color.RGBA) []stretch {
	var all []stretch
	for x := range m.Rect.Dx() {
		start := -1
		for y := from; y <= m.Rect.Dy(); y++ {
			is := y < m.Rect.Dy() && m.RGBAAt(x, y) == c
			if is && start < 0 {
				start = y
			}
			if !is && start >= 0 {
				all = append(all, stretch{x, start, y})
				start = -1
			}
		}
	}
	return all
}

// find returns the only place where block occurs in m.
func find(t *testing.T, m, block *image.RGBA) image.Point {
	t.Helper()
	var places []image.Point
	w := block.Rect.Dx() * 4
	for y := 0; y+block.Rect.Dy() <= m.Rect.Dy(); y++ {
		for x := 0; x+block.Rect.Dx() <= m.Rect.Dx(); x++ {
			same := true
			for row := 0; same && row < block.Rect.Dy(); row++ {
				o, b := m.PixOffset(x, y+row), block.PixOffset(0, row)
				same = bytes.Equal(m.Pix[o:o+w], block.Pix[b:b+w])
			}
			if same {
				places = append(places, image.Pt(x, y))
			}
		}
	}
	if len(places) != 1 {
		t.Fatalf("block of %v pixels occurs at %v, want exactly one place", block.Rect.Max, places)
	}
	return places[0]
}

const belowLegend = 62 // no bar or curve above this row when there is one row of legend

func TestBarHeightsAreProportional(t *testing.T) {
	values := []float64{10, 20, 35, 80}
	m := must(t)(Bars(BarsOptions{}, []string{"a", "b", "c", "d"}, BarSeries{Name: "x", Values: values}))
	heights := barHeights(m, Palette[0])
	if len(heights) != len(values) {
		t.Fatalf("%d bars, want %d: %v", len(heights), len(values), heights)
	}
	for i, v := range values {
		want := float64(heights[3]) * v / 80
		if math.Abs(float64(heights[i])-want) > 1 {
			t.Errorf("bar of %g is %d pixels high, want %.1f", v, heights[i], want)
		}
	}
}

// barHeights lists the height of each bar of a colour from left to right.
func barHeights(m *image.RGBA, c color.RGBA) []int {
	var heights []int
	last := -2
	for _, s := range stretches(m, belowLegend, c) {
		if s.y1-s.y0 < 3 {
			continue
		}
		if s.x != last+1 {
			heights = append(heights, s.y1-s.y0)
		}
		last = s.x
	}
	return heights
}

func TestBarsBelowZeroAndMissing(t *testing.T) {
	m := must(t)(Bars(BarsOptions{NoValues: true}, []string{"up", "down", "none"}, BarSeries{Values: []float64{1, -1, math.Inf(1)}}))
	ss := stretches(m, 0, Palette[0])
	first, last := ss[0], ss[len(ss)-1]
	if first.y1 > last.y0 || math.Abs(float64((first.y1-first.y0)-(last.y1-last.y0))) > 2 {
		t.Errorf("bars of 1 and -1 at rows [%d, %d) and [%d, %d): want equal lengths on both sides of zero", first.y0, first.y1, last.y0, last.y1)
	}
	if n := len(barHeights(m, Palette[0])); n > 2 {
		t.Errorf("%d bars, want none for an infinite value", n)
	}
}

func TestErrorBarsSpanTwiceTheError(t *testing.T) {
	m := must(t)(Bars(BarsOptions{NoValues: true, YRange: [2]float64{0, 100}}, []string{"a", "b"},
		BarSeries{Values: []float64{50, 50}, Err: []float64{10, 20}}))
	longest := map[bool]int{}
	for _, s := range stretches(m, 20, ink) {
		right := s.x > m.Rect.Dx()/2
		if s.x > 100 { // not the axis label
			longest[right] = max(longest[right], s.y1-s.y0)
		}
	}
	if a, b := float64(longest[false]), float64(longest[true]); a < 20 || math.Abs(b/a-2) > 0.1 {
		t.Errorf("error bars of 10 and 20 are %g and %g pixels long, want a ratio of 2", a, b)
	}
}

// markerRows finds the middle row of each marker of a colour, left to right.
func markerRows(m *image.RGBA, c color.RGBA) (cols, rows []float64) {
	last := -10
	var lo, hi, x0 int
	flush := func(x1 int) {
		if last >= 0 {
			cols, rows = append(cols, float64(x0+x1)/2), append(rows, float64(lo+hi)/2)
		}
	}
	for _, s := range stretches(m, 0, c) {
		if s.x > last+1 {
			flush(last)
			lo, hi, x0 = s.y0, s.y1, s.x
		}
		lo, hi, last = min(lo, s.y0), max(hi, s.y1), s.x
	}
	flush(last)
	return cols, rows
}

func TestCurvesPlacePoints(t *testing.T) {
	nan := math.NaN()
	for _, tc := range []struct {
		name string
		opt  CurvesOptions
		x, y []float64 // points kept apart by NaN, so that each is a marker
		u, v []float64 // their places up to a linear map
	}{
		{"linear", CurvesOptions{}, []float64{0, 1, 2, 3, 6}, []float64{1, nan, 3, nan, -2}, []float64{0, 2, 6}, []float64{1, 3, -2}},
		{"log y", CurvesOptions{LogY: true}, []float64{0, 1, 2, 3, 6}, []float64{1, 0, 100, -5, 1e-3}, []float64{0, 2, 6}, []float64{0, 2, -3}},
		{"log x", CurvesOptions{LogX: true}, []float64{1, 5, 10, 50, 1000}, []float64{1, nan, 3, nan, 2}, []float64{0, 1, 3}, []float64{1, 3, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := must(t)(Curves(tc.opt, Series{X: tc.x, Y: tc.y}))
			// Above the axes is the legend, with a line of the same colour.
			for y := range 40 {
				for x := range m.Rect.Dx() {
					m.SetRGBA(x, y, white)
				}
			}
			cols, rows := markerRows(m, Palette[0])
			if len(cols) != len(tc.u) {
				t.Fatalf("markers at columns %v, want %d", cols, len(tc.u))
			}
			linear(t, "columns", cols, tc.u)
			linear(t, "rows", rows, tc.v)
		})
	}
}

// linear checks that got is a linear function of want within a pixel.
func linear(t *testing.T, what string, got, want []float64) {
	t.Helper()
	slope := (got[1] - got[0]) / (want[1] - want[0])
	if math.Abs(slope) < 5 {
		t.Errorf("%s: slope %g pixels a unit, want a visible one", what, slope)
	}
	for i := range got {
		if p := got[0] + slope*(want[i]-want[0]); math.Abs(got[i]-p) > 1.5*max(1, math.Abs((want[i]-want[0])/(want[1]-want[0]))) {
			t.Errorf("%s: point %d at pixel %g, want %.1f", what, i, got[i], p)
		}
	}
}

func TestCurvesBandHeight(t *testing.T) {
	x := []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}
	y, std := make([]float64, 9), make([]float64, 9)
	for i := range std {
		std[i] = 1 + x[i]
	}
	m := must(t)(Curves(CurvesOptions{}, Series{X: x, Y: y, Std: std}))
	band := withAlpha(Palette[0], 0.22)
	over := color.RGBA{band.R + 199, band.G + 199, band.B + 199, 255} // 199 = 0.78 of white
	height := map[int]int{}                                           // extent of the band by column
	for x := range m.Rect.Dx() {
		lo, hi := math.MaxInt, 0
		for y := range m.Rect.Dy() {
			c := m.RGBAAt(x, y)
			if near(c.R, over.R) && near(c.G, over.G) && near(c.B, over.B) {
				lo, hi = min(lo, y), max(hi, y)
			}
		}
		if hi > 0 {
			height[x] = hi - lo
		}
	}
	x0, x1 := math.MaxInt, 0
	for x := range height {
		x0, x1 = min(x0, x), max(x1, x)
	}
	if a, b := float64(height[x0+2]), float64(height[x1-2]); math.Abs(b/a-9) > 0.6 {
		t.Errorf("band is %g pixels high where std = 1 and %g where it is 9", a, b)
	}
}

func near(a, b uint8) bool { return a+3 > b && b+3 > a }

func TestCurvesGapIsEmpty(t *testing.T) {
	y := []float64{1, 1, math.NaN(), math.NaN(), 1, 1}
	m := must(t)(Curves(CurvesOptions{}, Series{Y: y}))
	used := map[int]bool{}
	for _, s := range stretches(m, belowLegend, Palette[0]) {
		used[s.x] = true
	}
	x0, x1 := math.MaxInt, 0
	for x := range used {
		x0, x1 = min(x0, x), max(x1, x)
	}
	for x := x0; x <= x1; x++ {
		at := float64(x-x0) / float64(x1-x0) * 5 // epoch of this column
		if at > 1.05 && at < 3.95 && used[x] {
			t.Fatalf("curve drawn at x = %.2f, inside the gap from 1 to 4", at)
		}
		if (at < 0.95 || at > 4.05) && !used[x] {
			t.Fatalf("curve missing at x = %.2f", at)
		}
	}
}

func TestDecimateKeepsTheEnvelope(t *testing.T) {
	var line [][2]float64
	for i := range 50000 {
		line = append(line, [2]float64{float64(i) / 100, math.Sin(float64(i) * 1.7)})
	}
	thin := decimate(line)
	if len(thin) > 4*501 {
		t.Errorf("%d points kept for 501 columns, want at most four a column", len(thin))
	}
	extent := func(pts [][2]float64) map[int][2]float64 {
		e := map[int][2]float64{}
		for _, p := range pts {
			c := int(p[0])
			lohi, ok := e[c]
			if !ok {
				lohi = [2]float64{p[1], p[1]}
			}
			e[c] = [2]float64{min(lohi[0], p[1]), max(lohi[1], p[1])}
		}
		return e
	}
	want, got := extent(line), extent(thin)
	for c, e := range want {
		if got[c] != e {
			t.Fatalf("column %d spans %v, want %v", c, got[c], e)
		}
	}
	back := append([][2]float64{}, line...)
	back[25000][0] = 3 // a line that runs backwards stays whole
	if got := decimate(back); len(got) != len(back) {
		t.Errorf("a line that runs backwards was thinned to %d of %d points", len(got), len(back))
	}
}

func TestNothingLeavesTheAxes(t *testing.T) {
	m := must(t)(Curves(CurvesOptions{XRange: [2]float64{0, 1}, YRange: [2]float64{0, 1}, XLabel: "x"},
		Series{X: []float64{-1e200, 0.5, 0.6, 1e200}, Y: []float64{0.5, -1e299, 1e299, 0.5}, Std: []float64{0, 1e298, 1e298, 0}}))
	axis := 0 // row of the line under the axes: the longest grey one
	longest := 0
	for y := range m.Rect.Dy() {
		n := 0
		for x := range m.Rect.Dx() {
			if m.RGBAAt(x, y) == frameGrey {
				n++
			}
		}
		if n > longest {
			axis, longest = y, n
		}
	}
	inside := 0
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			c := m.RGBAAt(x, y)
			blue := int(c.B)-int(c.R) > 30
			if blue && y > axis+1 {
				t.Fatalf("curve at (%d, %d), below the axis in row %d", x, y, axis)
			}
			if blue {
				inside++
			}
		}
	}
	if inside < 100 {
		t.Errorf("%d coloured pixels: want the steep line through the axes", inside)
	}
}
