package corrupt

import "slices"

// fog is (x + s f) m / (m + s) with the plasma f in [0, 1], the same for all channels, and the largest value m of the image.
func fog(dst, src []uint8, level int, rng draws) {
	p := [Severities]struct{ strength, decay float64 }{{.2, 3}, {.5, 3}, {.75, 2.5}, {1, 2}, {1.5, 1.75}}[level]
	f := plasma(p.decay, rng)
	m := float64(slices.Max(src)) / 255
	for i, v := range src {
		dst[i] = cut((float64(v)/255 + p.strength*f[i/channels]) * m / (m + p.strength))
	}
}

// plasma is a fractal height map on a 32x32 torus, scaled to [0, 1], made by the diamond-square algorithm: at every scale
// each new point is the mean of its four neighbours plus w U(-w, w), where w is 100 at first and is divided by decay each
// time the scale halves. (The product of w with a variable of width w is in the script.)
func plasma(decay float64, rng draws) [side * side]float64 {
	var h [side * side]float64
	at := func(y, x int) float64 { return h[(y+side)%side*side+(x+side)%side] }
	w := 100.0
	for step := side; step >= 2; step /= 2 {
		half := step / 2
		point := func(y, x int, neighbours float64) {
			h[y*side+x] = neighbours/4 + w*w*(2*rng.Float64()-1)
		}
		for y := half; y < side; y += step { // centres of squares
			for x := half; x < side; x += step {
				point(y, x, at(y-half, x-half)+at(y-half, x+half)+at(y+half, x-half)+at(y+half, x+half))
			}
		}
		for _, first := range []int{0, half} { // midpoints of their sides: the horizontal ones, then the vertical ones
			for y := first; y < side; y += step {
				for x := half - first; x < side; x += step {
					point(y, x, at(y-half, x)+at(y+half, x)+at(y, x-half)+at(y, x+half))
				}
			}
		}
		w /= decay
	}
	low, high := slices.Min(h[:]), slices.Max(h[:])
	for i := range h {
		h[i] = (h[i] - low) / (high - low)
	}
	return h
}
