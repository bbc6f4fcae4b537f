package viz

import (
	"fmt"
	"image"
	"image/color"
	"math"
)

// RadarSeries is one polygon: a value for each axis.
type RadarSeries struct {
	Name   string
	Values []float64
	Color  color.Color // nil means the next of the palette
}

// RadarOptions are the settings of [Radar].
type RadarOptions struct {
	Title         string
	Width, Height float64    // cm; 0 means 13 x 11
	Range         [2]float64 // centre and rim; zero means from 0 (or the least value, if negative) to the largest
}

// Radar draws series over three or more named axes around a centre, all on the
// same scale. All values must be finite; those beyond Range are drawn at its end.
func Radar(opt RadarOptions, axes []string, series ...RadarSeries) (*Figure, error) {
	fig, err := radar(opt, axes, series)
	if err != nil {
		return nil, fmt.Errorf("viz: radar: %w", err)
	}
	return fig, nil
}

func radar(opt RadarOptions, spokes []string, series []RadarSeries) (*Figure, error) {
	if len(spokes) < 3 || len(series) == 0 {
		return nil, fmt.Errorf("%d axes and %d series: want at least three axes and one series", len(spokes), len(series))
	}
	lo, hi := 0.0, 0.0
	s := sheet{title: opt.Title, width: opt.Width, height: opt.Height}
	for i, ser := range series {
		if len(ser.Values) != len(spokes) {
			return nil, fmt.Errorf("series %q has %d values for %d axes: want one an axis", ser.Name, len(ser.Values), len(spokes))
		}
		for k, v := range ser.Values {
			if !usable(v) {
				return nil, fmt.Errorf("series %q: value %g on axis %q: want a finite one", ser.Name, v, spokes[k])
			}
			lo, hi = min(lo, v), max(hi, v)
		}
		if ser.Name == "" && len(series) > 1 {
			ser.Name = fmt.Sprintf("series %d", i+1)
		}
		if ser.Name != "" {
			s.entries = append(s.entries, lineEntry(ser.Name, pen{seriesColor(ser.Color, i), 3.5, seriesDashes(i, false)}, markers[i%len(markers)]))
		}
	}
	if hi-lo < 1e-290 {
		lo, hi = 0, 1 // zeros belong at the centre
	}
	scale, err := colorScale("", lo, hi, opt.Range)
	if err != nil {
		return nil, err
	}
	if opt.Range == [2]float64{} { // out to the next ring
		for _, t := range linearTicks(scale.min, scale.max+(scale.max-scale.min)/3, 5, false) {
			if t.at >= scale.max {
				scale.max = t.at
				break
			}
		}
	}
	scale.setTicks(4)
	if s.width == 0 {
		s.width = 13
	}
	if s.height == 0 {
		s.height = 11
	}
	p, room, err := s.open()
	if err != nil {
		return nil, err
	}
	r := newRose(p, room, spokes, scale)
	r.drawScale()
	for i, ser := range series {
		r.drawSeries(ser.Values, i, seriesColor(ser.Color, i))
	}
	r.drawRings()
	return p.figure(), nil
}

// rose is the geometry of a radar chart.
type rose struct {
	p      *page
	spokes []string
	labels []string // wrapped names
	scale  axis
	cx, cy float64
	radius float64
}

func newRose(p *page, room image.Rectangle, spokes []string, scale axis) *rose {
	r := &rose{p: p, spokes: spokes, scale: scale}
	widest, lines := 0.0, 1
	for _, s := range spokes {
		ls := wrap(tickFont, s, 0.22*float64(room.Dx()), 2)
		lines = max(lines, len(ls))
		r.labels = append(r.labels, wrapped(tickFont, s, 0.22*float64(room.Dx()), 2))
		widest = max(widest, textWidth(tickFont, r.labels[len(r.labels)-1]))
	}
	above := float64(blockHeight(tickFont, lines)) + gap
	r.radius = max(40, min(float64(room.Dx())/2-widest-2*gap, float64(room.Dy())/2-above))
	r.cx = float64(room.Min.X+room.Max.X) / 2
	r.cy = float64(room.Min.Y+room.Max.Y) / 2
	return r
}

// point is the pixel of a value on a spoke; the first spoke points up and the
// others follow clockwise.
func (r *rose) point(spoke int, v float64) [2]float64 {
	t := 2 * math.Pi * float64(spoke) / float64(len(r.spokes))
	d := r.radius * min(max(r.scale.norm(v), 0), 1)
	return [2]float64{r.cx + d*math.Sin(t), r.cy - d*math.Cos(t)}
}

func (r *rose) ring(v float64) [][2]float64 {
	var pts [][2]float64
	for k := range len(r.spokes) + 1 {
		pts = append(pts, r.point(k%len(r.spokes), v))
	}
	return pts
}

func (r *rose) drawScale() {
	for _, t := range r.scale.ticks {
		r.p.stroke(pen{gridGrey, 1.5, nil}, image.Rectangle{}, r.ring(t.at)...)
	}
	r.p.stroke(pen{frameGrey, 1.5, nil}, image.Rectangle{}, r.ring(r.scale.max)...)
	for k, label := range r.labels {
		rim := r.point(k, r.scale.max)
		r.p.stroke(pen{gridGrey, 1.5, nil}, image.Rectangle{}, [2]float64{r.cx, r.cy}, rim)
		// The anchor slides around the label so that its near side faces the rim.
		dx, dy := (rim[0]-r.cx)/r.radius, (rim[1]-r.cy)/r.radius
		r.p.text(tickFont, ink, rim[0]+gap*dx, rim[1]+gap*dy, (1-dx)/2, (1-dy)/2, label)
	}
}

func (r *rose) drawSeries(values []float64, i int, c color.RGBA) {
	var pts [][2]float64
	for k, v := range values {
		pts = append(pts, r.point(k, v))
	}
	r.p.polygon(withAlpha(c, 0.06), image.Rectangle{}, pts...)
	r.p.stroke(pen{c, 3.5, seriesDashes(i, false)}, image.Rectangle{}, append(pts, pts[0])...)
	for _, q := range pts {
		markers[i%len(markers)](r.p, q[0], q[1], 5, c)
	}
}

// drawRings writes the values of the rings between the last spoke and the first,
// where no series has a marker, last so that nothing hides them.
func (r *rose) drawRings() {
	for _, t := range r.scale.ticks {
		if t.at == r.scale.min {
			continue // the centre speaks for itself
		}
		a, b := r.point(0, t.at), r.point(len(r.spokes)-1, t.at)
		r.p.plate(smallFont, softInk, withAlpha(white, 0.8), (a[0]+b[0])/2, (a[1]+b[1])/2, t.label)
	}
}
