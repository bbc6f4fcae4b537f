package viz

import (
	"image"
	"image/color"
	"math"
)

const quarterTurn = math.Pi / 2

// marker draws a sign of about the given radius, centred at (x, y).
type marker func(p *page, x, y, r float64, c color.Color)

// markers in the order in which series take them; shapes double the colours for
// readers who cannot tell those apart.
var markers = []marker{
	func(p *page, x, y, r float64, c color.Color) { p.disc(x, y, r, c) },
	ngon(4, math.Pi/4, 1.2),
	ngon(3, math.Pi/2, 1.3),
	ngon(4, 0, 1.25),
	ngon(3, -math.Pi/2, 1.3),
	ngon(5, math.Pi/2, 1.15),
}

// ngon is a filled regular polygon with one corner at the given angle.
func ngon(n int, angle, scale float64) marker {
	return func(p *page, x, y, r float64, c color.Color) {
		pts := make([][2]float64, n)
		for i := range pts {
			t := angle + 2*math.Pi*float64(i)/float64(n)
			pts[i] = [2]float64{x + scale*r*math.Cos(t), y - scale*r*math.Sin(t)}
		}
		p.polygon(c, image.Rectangle{}, pts...)
	}
}
