package viz

import (
	"fmt"
	"image"
	"image/color"
	"math"
)

// BarSeries is one colour of bars: a value for each group.
type BarSeries struct {
	Name   string
	Values []float64   // one a group; NaN or infinite is drawn as "n/a"
	Err    []float64   // nil, or one half-length of an error bar (>= 0) a group
	Color  color.Color // nil means the next of the palette
}

// BarsOptions are the settings of [Bars].
type BarsOptions struct {
	Title, XLabel, YLabel string
	Width, Height         float64    // cm; 0 means 15 x 9
	YRange                [2]float64 // zero means: from 0 to the data
	Format                string     // of the value labels, such as "%.1f"; "" chooses
	NoValues              bool       // leave the value labels out
}

// Bars draws groups of bars, one bar a series in each group, with their values
// above them (turned when they are too wide, left out when bars are too narrow
// even for that).
func Bars(opt BarsOptions, groups []string, series ...BarSeries) (*Figure, error) {
	if err := checkBars(groups, series); err != nil {
		return nil, fmt.Errorf("viz: bars: %w", err)
	}
	b := &barChart{opt: opt, groups: groups, series: series}
	fig, err := b.draw()
	if err != nil {
		return nil, fmt.Errorf("viz: bars: %w", err)
	}
	return fig, nil
}

func checkBars(groups []string, series []BarSeries) error {
	if len(groups) == 0 || len(series) == 0 {
		return fmt.Errorf("%d groups and %d series: want at least one of each", len(groups), len(series))
	}
	finite := 0
	for _, s := range series {
		if len(s.Values) != len(groups) {
			return fmt.Errorf("series %q has %d values for %d groups: want one a group", s.Name, len(s.Values), len(groups))
		}
		if s.Err != nil && len(s.Err) != len(groups) {
			return fmt.Errorf("series %q has %d error bars for %d groups: want one a group, or none", s.Name, len(s.Err), len(groups))
		}
		for i, v := range s.Values {
			if !usable(v) {
				continue
			}
			finite++
			if s.Err != nil && !(usable(s.Err[i]) && s.Err[i] >= 0) {
				return fmt.Errorf("series %q: error bar of group %q is %g: want a finite value >= 0", s.Name, groups[i], s.Err[i])
			}
		}
	}
	if finite == 0 {
		return fmt.Errorf("series %q: none of %d values is finite, nor in the %d other series", series[0].Name, len(groups), len(series)-1)
	}
	return nil
}

type barChart struct {
	opt    BarsOptions
	groups []string
	series []BarSeries

	a       *axes
	slot    float64 // pixels from group to group
	bar     int     // width of a bar in pixels
	labels  bool
	turned  bool // value labels stand upright on the bars
	slanted bool // group names are slanted
}

func (b *barChart) draw() (*Figure, error) {
	s := sheet{title: b.opt.Title, width: b.opt.Width, height: b.opt.Height}
	for i, ser := range b.series {
		if ser.Name == "" && len(b.series) > 1 {
			ser.Name = fmt.Sprintf("series %d", i+1)
		}
		if ser.Name != "" {
			c := seriesColor(ser.Color, i)
			s.entries = append(s.entries, boxEntry(ser.Name, c, c))
		}
	}
	p, room, err := s.open()
	if err != nil {
		return nil, err
	}
	y, err := b.layout(room)
	if err != nil {
		return nil, err
	}
	names, bottom := b.groupNames()
	b.a = newAxes(p, room, axis{label: b.opt.XLabel, min: 0, max: float64(len(b.groups))}, y, bottom)
	b.a.drawGrid(false, true)
	for g := range b.groups {
		for i := range b.series {
			b.drawBar(g, i)
		}
	}
	b.a.drawFrame()
	if base := b.baseline(); base > b.a.y.min && base < b.a.y.max {
		p.hline(b.a.box.Min.X, b.a.box.Max.X, b.a.row(base), frameGrey)
	}
	for g, name := range names {
		x, y := b.middle(g), float64(b.a.box.Max.Y+tickLength+4)
		if b.slanted {
			p.rotated(tickFont, softInk, x+4, y, right, top, slant, name)
		} else {
			p.text(tickFont, softInk, x, y, center, top, name)
		}
	}
	return p.figure(), nil
}

// axisRoom is about what scale and label take at the left.
const axisRoom = 85

// layout chooses the widths and how labels stand, and makes the value axis with
// headroom for them.
func (b *barChart) layout(room image.Rectangle) (axis, error) {
	b.slot = float64(room.Dx()-axisRoom) / float64(len(b.groups))
	b.bar = min(90, int(0.82*b.slot)/len(b.series))
	if b.bar < 1 {
		return axis{}, fmt.Errorf("%d groups of %d bars do not fit %d pixels: want fewer, or a larger Width", len(b.groups), len(b.series), room.Dx())
	}
	lo, hi := b.span()
	widest := 0.0
	for _, s := range b.series {
		for _, v := range s.Values {
			widest = max(widest, textWidth(smallFont, b.value(v)))
		}
	}
	b.turned = widest+2 > float64(b.bar) && len(b.series) > 1 || widest > b.slot
	b.labels = !b.opt.NoValues && (!b.turned || float64(b.bar) >= capHeight(smallFont)+4)

	y, err := newAxis(b.opt.YLabel, lo, hi, b.opt.YRange, false)
	if err != nil || b.opt.YRange != [2]float64{} {
		return y, err
	}
	need := 0.03
	if b.labels {
		need += capHeight(smallFont) / float64(room.Dy()) * 1.6
		if b.turned {
			need += widest / float64(room.Dy()) * 1.2
		}
	}
	y.min, y.max = lo, hi
	span := hi - lo
	if hi > 0 {
		y.max += need * span
	}
	if lo < 0 {
		y.min -= need * span
	}
	return y, nil
}

// span is the range of bars and error bars with zero.
func (b *barChart) span() (lo, hi float64) {
	for _, s := range b.series {
		for i, v := range s.Values {
			if !usable(v) {
				continue
			}
			e := 0.0
			if s.Err != nil {
				e = s.Err[i]
			}
			lo, hi = min(lo, v-e), max(hi, v+e)
		}
	}
	if hi-lo < 1e-290 {
		hi = 1
	}
	return lo, hi
}

func (b *barChart) value(v float64) string {
	if !usable(v) {
		return "n/a"
	}
	if b.opt.Format != "" {
		return fmt.Sprintf(b.opt.Format, v)
	}
	lo, hi := b.span()
	return autoFormat(v, max(hi, -lo))
}

// groupNames wraps the names to their slots, or slants them all.
func (b *barChart) groupNames() (names []string, room int) {
	names = make([]string, len(b.groups))
	lines := 1
	for i, g := range b.groups {
		ls := wrap(tickFont, g, b.slot-6, 3)
		for _, l := range ls {
			cut := []rune(l)
			b.slanted = b.slanted || len(cut) > 0 && cut[len(cut)-1] == '…'
		}
		lines = max(lines, len(ls))
		names[i] = wrapped(tickFont, g, b.slot-6, 3)
	}
	if !b.slanted {
		return names, tickLength + 4 + blockHeight(tickFont, lines)
	}
	longest := 0.0
	for i, g := range b.groups {
		names[i] = slantedName(g, axisRoom+b.slot*(float64(i)+0.5))
		longest = max(longest, textWidth(tickFont, names[i]))
	}
	return names, tickLength + 8 + int(longest*math.Sin(slant)+capHeight(tickFont)*math.Cos(slant))
}

// middle is the pixel column of a group's centre.
func (b *barChart) middle(g int) float64 { return b.a.X(float64(g) + 0.5) }

// baseline is the value bars grow from: zero, or the nearest end of the axis.
func (b *barChart) baseline() float64 { return min(max(0, b.a.y.min), b.a.y.max) }

func (b *barChart) drawBar(g, i int) {
	s, p := b.series[i], b.a.p
	v := s.Values[g]
	x0 := int(b.middle(g)+0.5) - b.bar*len(b.series)/2 + i*b.bar
	x1 := x0 + b.bar
	if b.bar >= 8 && len(b.series) > 1 {
		x1 -= 2 // neighbours must not melt together
	}
	mid := float64(x0+x1) / 2
	if !usable(v) {
		b.drawValue("n/a", mid, b.a.Y(b.baseline())-5, bottom)
		return
	}
	c := seriesColor(s.Color, i)
	bar := b.a.pixelRect(0, v, 0, b.baseline())
	bar.Min.X, bar.Max.X = x0, x1
	p.fill(bar.Canon(), c)

	tip := v
	if s.Err != nil && s.Err[g] > 0 {
		e := s.Err[g]
		stem := pen{ink, 2, nil}
		for _, end := range []float64{v - e, v + e} {
			y := b.a.Y(end)
			p.stroke(stem, b.a.box, [2]float64{mid - 4, y}, [2]float64{mid + 4, y})
		}
		p.stroke(stem, b.a.box, [2]float64{mid, b.a.Y(v - e)}, [2]float64{mid, b.a.Y(v + e)})
		tip += math.Copysign(e, v)
	}
	if v < 0 {
		b.drawValue(b.value(v), mid, min(b.a.Y(tip)+5, float64(b.a.box.Max.Y)), top)
		return
	}
	b.drawValue(b.value(v), mid, max(b.a.Y(tip)-5, float64(b.a.box.Min.Y)), bottom)
}

// drawValue writes a label whose end anchor (top or bottom) stands at (x, y).
func (b *barChart) drawValue(s string, x, y, anchor float64) {
	switch {
	case !b.labels:
	case b.turned:
		b.a.p.rotated(smallFont, ink, x, y, 1-anchor, center, quarterTurn, s)
	default:
		b.a.p.text(smallFont, ink, x, y, center, anchor, s)
	}
}
