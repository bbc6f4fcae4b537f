package viz

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
)

// Series is one named curve.
type Series struct {
	Name string
	X    []float64 // nil means 0, 1, 2, ...
	Y    []float64
	// Std, when not nil, draws a band from Y-Std to Y+Std; one value a point, >= 0.
	Std    []float64
	Color  color.Color // nil means the next of the palette
	Dashed bool
	Step   bool // hold each value until the next X, as a distribution function does
}

// VLine is a labelled vertical line, such as a drop of the learning rate.
type VLine struct {
	X     float64
	Label string
}

// CurvesOptions are the settings of [Curves].
type CurvesOptions struct {
	Title, XLabel, YLabel string
	Width, Height         float64 // cm; 0 means 15 x 9
	LogX, LogY            bool
	XRange, YRange        [2]float64 // zero means: from the data
	WholeX                bool       // ticks of X at whole numbers only, as for epochs; so without it where all X are whole
	XNames                []string   // stand in place of the numbers 0, 1, 2, ... of X, such as those of layers
	Markers               bool       // a sign at every point, also shaped by series
	VLines                []VLine
}

// Curves draws series over common axes. X must be finite (and positive with
// LogX); a Y that is NaN, infinite, or not positive with LogY leaves a gap, and
// the legend says how many points were left out. A point without neighbours is
// drawn as a marker.
func Curves(opt CurvesOptions, series ...Series) (*Figure, error) {
	curves, err := newCurves(opt, series)
	if err != nil {
		return nil, fmt.Errorf("viz: curves: %w", err)
	}
	x, y, err := curveAxes(opt, curves)
	if err != nil {
		return nil, fmt.Errorf("viz: curves: %w", err)
	}
	s := sheet{title: opt.Title, width: opt.Width, height: opt.Height}
	for _, c := range curves {
		if c.label() != "" {
			s.entries = append(s.entries, lineEntry(c.label(), c.pen(), c.shape))
		}
	}
	p, room, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("viz: curves: %w", err)
	}
	names := newXNames(opt.XNames, room)
	a := newAxes(p, room, x, y, names.room)
	names.grid(a)
	a.drawGrid(true, true)
	for _, c := range curves {
		c.drawBand(a)
	}
	for _, v := range opt.VLines {
		a.vmark(v.X, v.Label, softInk)
	}
	for _, c := range curves {
		c.draw(a)
	}
	a.drawFrame()
	names.draw(a)
	return p.figure(), nil
}

// curve is a checked series with its looks.
type curve struct {
	Series
	logY    bool
	color   color.RGBA
	dashes  []float64
	shape   marker // nil without markers
	skipped int    // points that cannot be drawn
}

func newCurves(opt CurvesOptions, series []Series) ([]curve, error) {
	if len(series) == 0 {
		return nil, fmt.Errorf("no series: want at least one")
	}
	curves := make([]curve, len(series))
	drawn := 0
	for i, s := range series {
		if s.Name == "" && len(series) > 1 {
			s.Name = fmt.Sprintf("series %d", i+1)
		}
		if s.X == nil {
			s.X = make([]float64, len(s.Y))
			for j := range s.X {
				s.X[j] = float64(j)
			}
		}
		if err := checkSeries(s, opt.LogX); err != nil {
			return nil, err
		}
		c := curve{Series: s, logY: opt.LogY, color: seriesColor(s.Color, i), dashes: seriesDashes(i, s.Dashed)}
		if opt.Markers {
			c.shape = markers[i%len(markers)]
		}
		for j := range s.Y {
			if !c.ok(j) {
				c.skipped++
			}
		}
		drawn += len(s.Y) - c.skipped
		curves[i] = c
	}
	if drawn == 0 {
		return nil, fmt.Errorf("series %q: no finite value among %d, nor in the %d other series (on a log axis values must be positive)", series[0].Name, len(series[0].Y), len(series)-1)
	}
	return curves, checkVLines(opt.VLines, opt.LogX)
}

func checkVLines(lines []VLine, log bool) error {
	for _, v := range lines {
		if !usable(v.X) || log && v.X <= 0 {
			return fmt.Errorf("vertical line %q at %g: want a finite x, positive on a log axis", v.Label, v.X)
		}
	}
	return nil
}

func checkSeries(s Series, logX bool) error {
	if len(s.Y) == 0 {
		return fmt.Errorf("series %q has no points: want at least one", s.Name)
	}
	if len(s.X) != len(s.Y) {
		return fmt.Errorf("series %q has %d x and %d y values: want as many", s.Name, len(s.X), len(s.Y))
	}
	if s.Std != nil && len(s.Std) != len(s.Y) {
		return fmt.Errorf("series %q has %d y values and %d standard deviations: want as many, or none", s.Name, len(s.Y), len(s.Std))
	}
	for j, x := range s.X {
		if !usable(x) || logX && x <= 0 {
			return fmt.Errorf("series %q: x[%d] = %g: want a finite value, positive on a log axis", s.Name, j, x)
		}
	}
	for j, d := range s.Std {
		if usable(s.Y[j]) && !(usable(d) && d >= 0) {
			return fmt.Errorf("series %q: standard deviation [%d] = %g: want a finite value >= 0", s.Name, j, d)
		}
	}
	return nil
}

// ok tells whether point j can be drawn.
func (c *curve) ok(j int) bool { return usable(c.Y[j]) && (!c.logY || c.Y[j] > 0) }

// label is the name for the legend, with a note on what is missing.
func (c *curve) label() string {
	if c.skipped == 0 {
		return c.Name
	}
	why := "not finite"
	if c.logY {
		why = "not finite or not positive"
	}
	if c.Name == "" {
		return fmt.Sprintf("(%d of %d values %s)", c.skipped, len(c.Y), why)
	}
	return fmt.Sprintf("%s (%d of %d values %s)", c.Name, c.skipped, len(c.Y), why)
}

func (c *curve) pen() pen { return pen{c.color, 3.5, c.dashes} }

// band gives the lower and upper edge at point j; on a log axis the lower edge
// stays positive.
func (c *curve) band(j int) (lo, hi float64) {
	lo, hi = c.Y[j], c.Y[j]
	if c.Std != nil {
		lo, hi = lo-c.Std[j], hi+c.Std[j]
	}
	if c.logY && lo <= 0 {
		lo = max(c.Y[j]/hi*c.Y[j], 1e-307) // as far below as the upper edge is above, in decades
	}
	return lo, hi
}

func curveAxes(opt CurvesOptions, curves []curve) (x, y axis, err error) {
	xlo, xhi := math.Inf(1), math.Inf(-1)
	ylo, yhi := xlo, xhi
	whole := true
	for _, c := range curves {
		for j, v := range c.X {
			if !c.ok(j) {
				continue
			}
			whole = whole && v == math.Trunc(v)
			xlo, xhi = min(xlo, v), max(xhi, v)
			lo, hi := c.band(j)
			ylo, yhi = min(ylo, lo), max(yhi, hi)
		}
	}
	if !usable(xhi-xlo) || !usable(yhi-ylo) {
		return x, y, fmt.Errorf("values span [%g, %g] by [%g, %g]: want a width of at most 1e300", xlo, xhi, ylo, yhi)
	}
	asked := opt.XRange
	if n := float64(len(opt.XNames)); n > 0 {
		if !whole || xlo < 0 || xhi >= n || opt.LogX {
			return x, y, fmt.Errorf("%g names, for x from %g to %g (log %v): want whole numbers from 0 to %g on a linear axis", n, xlo, xhi, opt.LogX, n-1)
		}
		asked = [2]float64{-0.5, n - 0.5}
	}
	if x, err = newAxis(opt.XLabel, xlo, xhi, asked, opt.LogX); err != nil {
		return x, y, err
	}
	x.integers = (whole || opt.WholeX) && !opt.LogX && x.max-x.min > 1
	y, err = newAxis(opt.YLabel, ylo, yhi, opt.YRange, opt.LogY)
	if opt.YRange == [2]float64{} {
		headroom(&y, opt.VLines)
	}
	return x, y, err
}

// runs calls f with each stretch [from, to) of drawable points.
func (c *curve) runs(f func(from, to int)) {
	from := -1
	for j := 0; j <= len(c.Y); j++ {
		drawable := j < len(c.Y) && c.ok(j)
		switch {
		case drawable && from < 0:
			from = j
		case !drawable && from >= 0:
			f(from, j)
			from = -1
		}
	}
}

func (c *curve) drawBand(a *axes) {
	if c.Std == nil {
		return
	}
	c.runs(func(from, to int) {
		var upper, lower [][2]float64
		for j := from; j < to; j++ {
			lo, hi := c.band(j)
			upper = append(upper, a.at(c.X[j], hi))
			lower = append(lower, a.at(c.X[j], lo))
		}
		if to-from == 1 { // no area: an error bar
			a.p.stroke(pen{c.color, 2, nil}, a.box, upper[0], lower[0])
			return
		}
		upper, lower = decimate(upper), decimate(lower)
		slices.Reverse(lower)
		a.p.polygon(withAlpha(c.color, 0.22), a.box, append(upper, lower...)...)
	})
}

func (c *curve) draw(a *axes) {
	c.runs(func(from, to int) {
		var line [][2]float64
		for j := from; j < to; j++ {
			if c.Step && j > from {
				line = append(line, a.at(c.X[j], c.Y[j-1]))
			}
			line = append(line, a.at(c.X[j], c.Y[j]))
		}
		a.p.stroke(c.pen(), a.box, decimate(line)...)
		shape := c.shape
		if shape == nil && to-from == 1 {
			shape = markers[0]
		}
		if shape == nil {
			return
		}
		for j := from; j < to; j++ {
			if q := a.at(c.X[j], c.Y[j]); image.Pt(int(q[0]), int(q[1])).In(a.box.Inset(-1)) {
				shape(a.p, q[0], q[1], 6, c.color)
			}
		}
	})
}
