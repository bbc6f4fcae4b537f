package viz

import (
	"image"
	"image/color"
	"math"
)

// axes is a framed area of a page with a scale on each side.
type axes struct {
	p    *page
	room image.Rectangle // for the box with its scales
	box  image.Rectangle
	x, y axis
}

const tickLength = 6

// newAxes lays scales out inside room. bottomRoom, when positive, replaces the
// height of the tick labels under the box, for charts that write their own.
func newAxes(p *page, room image.Rectangle, x, y axis, bottomRoom int) *axes {
	a := &axes{p: p, room: room, x: x, y: y}
	below := bottomRoom
	if below == 0 {
		below = tickLength + 4 + int(capHeight(tickFont)) + 4
	}
	if x.label != "" {
		below += int(lineHeight(labelFont)) + 4
	}
	a.box = image.Rect(room.Min.X, room.Min.Y+int(capHeight(tickFont)/2), room.Max.X, max(room.Max.Y-below, room.Min.Y+40))

	a.y.setTicks(a.box.Dy() / 40)
	beside := 0.0
	for _, t := range a.y.ticks {
		beside = max(beside, textWidth(tickFont, t.label))
	}
	a.box.Min.X += int(beside) + tickLength + 6
	if y.label != "" {
		a.box.Min.X += int(lineHeight(labelFont)) + 4
	}
	if bottomRoom == 0 {
		apart := 72
		if a.x.integers { // severities 1 to 5: a label each, where they fit
			apart = 14 + int(max(textWidth(tickFont, "00"), textWidth(tickFont, stepLabel(math.Floor(a.x.max), 1, a.x.max))))
		}
		a.x.setTicks(a.box.Dx() / apart)
		for _, t := range a.x.ticks { // the last label may stand out at the right
			out := a.X(t.at) + textWidth(tickFont, t.label)/2 - float64(room.Max.X)
			if out > 0 {
				a.box.Max.X -= int(out) + 1
			}
		}
	}
	a.box.Max.X = max(a.box.Max.X, a.box.Min.X+40)
	return a
}

// X and Y give the pixel position of a value. Far outside the axes it is kept
// within ten thousand times their length, where clipping is still exact.
func (a *axes) X(v float64) float64 {
	return float64(a.box.Min.X) + min(max(a.x.norm(v), -1e4), 1e4)*float64(a.box.Dx())
}

func (a *axes) Y(v float64) float64 {
	return float64(a.box.Max.Y) - min(max(a.y.norm(v), -1e4), 1e4)*float64(a.box.Dy())
}

// at is the pixel of a point.
func (a *axes) at(x, y float64) [2]float64 { return [2]float64{a.X(x), a.Y(y)} }

// pixelRect is the pixel rectangle between two corners in values, clipped to the box.
func (a *axes) pixelRect(x0, y0, x1, y1 float64) image.Rectangle {
	round := func(v float64, lo, hi int) int {
		return int(min(max(v, float64(lo)), float64(hi)) + 0.5)
	}
	b := a.box
	return image.Rect(
		round(a.X(x0), b.Min.X, b.Max.X), round(a.Y(y0), b.Min.Y, b.Max.Y),
		round(a.X(x1), b.Min.X, b.Max.X), round(a.Y(y1), b.Min.Y, b.Max.Y))
}

// drawGrid draws the lines behind the data.
func (a *axes) drawGrid(vertical, horizontal bool) {
	for _, t := range a.x.ticks {
		if vertical && t.label != "" {
			a.p.vline(a.column(t.at), a.box.Min.Y, a.box.Max.Y, gridGrey)
		}
	}
	for _, t := range a.y.ticks {
		if horizontal && t.label != "" {
			a.p.hline(a.box.Min.X, a.box.Max.X, a.row(t.at), gridGrey)
		}
	}
}

// column and row are the pixel lines of a tick, kept inside the box.
func (a *axes) column(v float64) int {
	return min(max(int(a.X(v)), a.box.Min.X), a.box.Max.X-1)
}

func (a *axes) row(v float64) int {
	return min(max(int(a.Y(v)), a.box.Min.Y), a.box.Max.Y-1)
}

// drawFrame draws the scales, over the data so that nothing hides them.
func (a *axes) drawFrame() {
	p, b := a.p, a.box
	p.vline(b.Min.X-1, b.Min.Y, b.Max.Y+1, frameGrey)
	p.hline(b.Min.X-1, b.Max.X, b.Max.Y, frameGrey)
	for _, t := range a.x.ticks {
		x, length := a.column(t.at), tickLength
		if t.label == "" {
			length /= 2
		}
		p.vline(x, b.Max.Y, b.Max.Y+length, frameGrey)
		p.text(tickFont, softInk, float64(x)+0.5, float64(b.Max.Y+tickLength+4), center, top, t.label)
	}
	for _, t := range a.y.ticks {
		y, length := a.row(t.at), tickLength
		if t.label == "" {
			length /= 2
		}
		p.hline(b.Min.X-length, b.Min.X, y, frameGrey)
		p.text(tickFont, softInk, float64(b.Min.X-tickLength-4), float64(y)+0.5, right, center, t.label)
	}
	if a.x.label != "" {
		s := truncate(labelFont, a.x.label, float64(a.room.Dx()))
		x := keepInside(float64(b.Min.X+b.Max.X)/2, textWidth(labelFont, s), float64(a.room.Min.X), float64(a.room.Max.X))
		p.text(labelFont, ink, x, float64(a.room.Max.Y)-0.3*capHeight(labelFont), center, bottom, s)
	}
	if a.y.label != "" {
		s := truncate(labelFont, a.y.label, float64(a.room.Dy()))
		y := keepInside(float64(b.Min.Y+b.Max.Y)/2, textWidth(labelFont, s), float64(a.room.Min.Y), float64(a.room.Max.Y))
		p.rotated(labelFont, ink, outer, y, center, top, quarterTurn, s)
	}
}

// vmark draws a labelled dashed vertical line.
func (a *axes) vmark(v float64, label string, c color.Color) {
	if !(a.x.norm(v) >= 0 && a.x.norm(v) <= 1) {
		return
	}
	x := a.X(v)
	a.p.stroke(pen{c, 2, []float64{8, 6}}, a.box, [2]float64{x, float64(a.box.Min.Y)}, [2]float64{x, float64(a.box.Max.Y)})
	if label == "" {
		return
	}
	anchor, shift := left, 5.0
	if x+5+textWidth(smallFont, label) > float64(a.box.Max.X) {
		anchor, shift = right, -5
	}
	a.p.text(smallFont, c, x+shift, float64(a.box.Min.Y+4), anchor, top, label)
}

// headroom raises the top of a value axis so that labels of vertical lines stand
// above the data.
func headroom(y *axis, lines []VLine) {
	for _, l := range lines {
		if l.Label != "" {
			if y.log {
				y.max = min(y.max*widening(y.min, y.max, 0.09), math.MaxFloat64)
			} else {
				y.max += 0.09 * (y.max - y.min)
			}
			return
		}
	}
}

// keepInside moves a centre so that a text of the given width stays in [lo, hi].
func keepInside(mid, width, lo, hi float64) float64 {
	return max(min(mid, hi-width/2), lo+width/2)
}
