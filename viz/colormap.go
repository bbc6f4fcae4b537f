package viz

import (
	"image"
	"image/color"
)

// colorMap holds evenly spaced colours between which values are interpolated.
type colorMap []color.RGBA

// viridis at multiples of 0.1 (van der Walt and Smith, matplotlib 2.0, CC0):
// lightness grows evenly, also for readers who do not see some colours.
var viridis = colorMap{
	{68, 1, 84, 255}, {72, 36, 117, 255}, {65, 68, 135, 255}, {53, 95, 141, 255},
	{42, 120, 142, 255}, {33, 145, 140, 255}, {34, 168, 132, 255}, {68, 191, 112, 255},
	{122, 209, 81, 255}, {189, 223, 38, 255}, {253, 231, 37, 255},
}

// blueOrange runs from dark blue over near-white to dark orange, through the
// blue and the vermillion of [Palette]; lightness falls on both sides alike.
var blueOrange = colorMap{
	{0, 58, 102, 255}, {0, 114, 178, 255}, {130, 187, 222, 255}, {247, 247, 247, 255},
	{243, 178, 128, 255}, {213, 94, 0, 255}, {122, 54, 0, 255},
}

// at is the colour at t, clipped to [0, 1].
func (m colorMap) at(t float64) color.RGBA {
	t = min(max(t, 0), 1) * float64(len(m)-1)
	i := min(int(t), len(m)-2)
	f := t - float64(i)
	mix := func(a, b uint8) uint8 { return uint8(float64(a) + f*(float64(b)-float64(a)) + 0.5) }
	a, b := m[i], m[i+1]
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

const barWidth = 20

// colorBar draws the scale of a map, largest value at the top, in box; ticks and
// label stand to the right of it and take colorBarRoom with it.
func colorBar(p *page, box image.Rectangle, m colorMap, scale axis, label string) {
	for y := box.Min.Y; y < box.Max.Y; y++ {
		t := (float64(box.Max.Y-y) - 0.5) / float64(box.Dy())
		p.hline(box.Min.X, box.Max.X, y, m.at(t))
	}
	for _, t := range scale.ticks {
		if t.label == "" {
			continue
		}
		y := float64(box.Max.Y) - scale.norm(t.at)*float64(box.Dy())
		p.hline(box.Max.X, box.Max.X+4, min(max(int(y), box.Min.Y), box.Max.Y-1), frameGrey)
		p.text(smallFont, softInk, float64(box.Max.X+8), y, left, center, t.label)
	}
	if label != "" {
		x := box.Max.X + 8 + int(tickRoom(scale)) + gap
		s := truncate(smallFont, label, float64(max(box.Dy(), 160)))
		p.rotated(smallFont, softInk, float64(x), float64(box.Min.Y+box.Max.Y)/2, center, top, quarterTurn, s)
	}
}

// colorBarRoom is the width of a colour bar with its labels, in pixels.
func colorBarRoom(scale axis, label string) int {
	room := barWidth + 8 + int(tickRoom(scale)) + 1
	if label != "" {
		room += gap + int(lineHeight(smallFont))
	}
	return room
}

func tickRoom(a axis) float64 {
	widest := 0.0
	for _, t := range a.ticks {
		widest = max(widest, textWidth(smallFont, t.label))
	}
	return widest
}
