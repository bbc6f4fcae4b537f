package viz

import (
	"fmt"
	"image"
	"image/color"
)

// Margins in pixels.
const (
	outer = 12
	gap   = 8
)

// sheet is what all charts share: a title, a legend under it, and room for the
// axes below.
type sheet struct {
	title         string
	width, height float64 // cm; 0 means the default
	entries       []entry
}

// entry is one line of a legend.
type entry struct {
	name string
	draw func(p *page, box image.Rectangle) // the sample, in a box of keyWidth pixels
}

const keyWidth = 34

// pixels checks a size in cm.
func pixels(name string, cm, byDefault float64) (int, error) {
	if cm == 0 {
		cm = byDefault
	}
	if !(cm >= 3 && cm <= 100) {
		return 0, fmt.Errorf("%s of %g cm: want 3 to 100, or 0 for %g", name, cm, byDefault)
	}
	return int(cm*pxPerCM + 0.5), nil
}

// open makes the page, writes title and legend, and returns the room that is left.
func (s sheet) open() (*page, image.Rectangle, error) {
	w, err := pixels("width", s.width, defWidth)
	if err != nil {
		return nil, image.Rectangle{}, err
	}
	h, err := pixels("height", s.height, defHeight)
	if err != nil {
		return nil, image.Rectangle{}, err
	}
	head := newHeader(s.title, s.entries, w)
	p, err := newPage(w, h+head.extra())
	if err != nil {
		return nil, image.Rectangle{}, err
	}
	y := head.write(p)
	return p, image.Rect(outer, y, p.w-outer, p.h-outer), nil
}

// header is a title and a legend laid out for a width.
type header struct {
	title []string
	rows  [][]entry
	width int
}

func newHeader(title string, entries []entry, width int) header {
	h := header{width: width}
	room := float64(width - 2*outer)
	if title != "" {
		h.title = wrap(titleFont, title, room, 3)
	}
	used := room + 1 // the first entry opens a row
	for _, e := range entries {
		e.name = truncate(tickFont, e.name, room-keyWidth-gap)
		need := entryWidth(e)
		if used+need > room {
			h.rows = append(h.rows, nil)
			used = 0
		}
		last := len(h.rows) - 1
		h.rows[last] = append(h.rows[last], e)
		used += need + 2*gap
	}
	return h
}

func entryWidth(e entry) float64 { return keyWidth + gap + textWidth(tickFont, e.name) }

// extra is the height beyond one line of title and one row of legend.
func (h header) extra() int {
	return blockHeight(titleFont, max(0, len(h.title)-1)) + blockHeight(labelFont, max(0, len(h.rows)-1))
}

// height is all the header takes, with the margins above and below.
func (h header) height() int {
	y := outer
	if len(h.title) > 0 {
		y += blockHeight(titleFont, len(h.title)) + gap/2
	}
	if len(h.rows) > 0 {
		y += blockHeight(labelFont, len(h.rows)) + gap/2
	}
	return y
}

// write draws the header and returns its height.
func (h header) write(p *page) int {
	y := float64(outer)
	for _, line := range h.title {
		p.text(titleFont, ink, outer, y, left, top, line)
		y += lineHeight(titleFont)
	}
	if len(h.title) > 0 {
		y += gap / 2
	}
	for _, row := range h.rows {
		x := float64(outer)
		for _, e := range row {
			mid := int(y + capHeight(tickFont)/2 + 0.5)
			e.draw(p, image.Rect(int(x), mid-8, int(x)+keyWidth, mid+8))
			p.text(tickFont, ink, x+keyWidth+gap, y, left, top, e.name)
			x += entryWidth(e) + 2*gap
		}
		y += lineHeight(labelFont)
	}
	return h.height()
}

// boxEntry is a legend line with a filled box.
func boxEntry(name string, fill, edge color.RGBA) entry {
	return entry{name: name, draw: func(p *page, box image.Rectangle) {
		p.fill(box, fill)
		p.border(box, 1, edge)
	}}
}

// lineEntry is a legend line with a stroke, and a marker when shape is not nil.
func lineEntry(name string, s pen, shape marker) entry {
	return entry{name: name, draw: func(p *page, box image.Rectangle) {
		mid := float64(box.Min.Y+box.Max.Y) / 2
		if s.width > 0 {
			p.stroke(s, image.Rectangle{}, [2]float64{float64(box.Min.X), mid}, [2]float64{float64(box.Max.X), mid})
		}
		if shape != nil {
			shape(p, float64(box.Min.X+box.Max.X)/2, mid, 6, s.color)
		}
	}}
}
