package viz

import (
	"image"
	"math"
)

// xNames are names below the places 0, 1, 2, ... of an axis.
type xNames struct {
	names   []string
	slanted bool // because they do not fit side by side
	room    int  // their height in pixels; 0 without names
}

// newXNames lays names out below axes in room.
func newXNames(names []string, room image.Rectangle) xNames {
	n := xNames{names: make([]string, len(names))}
	if len(names) == 0 {
		return n
	}
	slot := float64(room.Dx()-axisRoom) / float64(len(names))
	for _, s := range names {
		n.slanted = n.slanted || textWidth(tickFont, s) > slot-8
	}
	longest := 0.0
	for i, s := range names {
		n.names[i] = truncate(tickFont, clean(s), slot)
		if n.slanted {
			n.names[i] = slantedName(s, axisRoom+slot*(float64(i)+0.5))
		}
		longest = max(longest, textWidth(tickFont, n.names[i]))
	}
	n.room = tickLength + 4 + blockHeight(tickFont, 1)
	if n.slanted {
		n.room = tickLength + 8 + int(longest*math.Sin(slant)+capHeight(tickFont)*math.Cos(slant))
	}
	return n
}

// grid gives the axis its marks.
func (n xNames) grid(a *axes) {
	for i := range n.names {
		a.x.ticks = append(a.x.ticks, tick{at: float64(i)})
	}
}

// draw writes the names; where they are too many, every second, fifth ... only.
func (n xNames) draw(a *axes) {
	if n.names == nil {
		return
	}
	every := 1
	if n.slanted {
		slot := a.X(1) - a.X(0)
		every = roundStep(int(1.3*capHeight(tickFont)/math.Sin(slant)/slot) + 1)
	}
	for i := 0; i < len(n.names); i += every {
		x, y := a.X(float64(i)), float64(a.box.Max.Y+tickLength+4)
		if n.slanted {
			a.p.rotated(tickFont, softInk, x+4, y, right, top, slant, n.names[i])
		} else {
			a.p.text(tickFont, softInk, x, y, center, top, n.names[i])
		}
	}
}
