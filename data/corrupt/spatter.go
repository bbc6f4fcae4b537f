package corrupt

import "slices"

// spatter throws drops on the image: a layer N(mean, std²), smoothed by a Gaussian of σ, whose values above the threshold are
// wet. Severities 1 to 3 are water, 4 and 5 mud.
func spatter(dst, src []uint8, level int, rng draws) {
	p := [Severities]struct {
		mean, std, sigma, threshold, strength float64
		mud                                   bool
	}{
		{.62, .1, .7, .7, .5, false},
		{.65, .1, .8, .7, .5, false},
		{.65, .3, 1, .69, .5, false},
		{.65, .1, .7, .69, .6, true},
		{.65, .1, .5, .68, .6, true},
	}[level]
	var layer [side * side]float64
	for i := range layer {
		layer[i] = p.mean + p.std*rng.NormFloat64()
	}
	gaussian(layer[:], 1, p.sigma, 4, clampIndex)
	if p.mud {
		mud(dst, src, layer[:], p.threshold, p.strength)
		return
	}
	var wet [side * side]uint8
	for i, v := range layer {
		if v >= p.threshold {
			wet[i] = cut(v)
		}
	}
	water(dst, src, wet[:], p.strength)
}

// mud paints (1 - m) x + m brown, where m is the wet area smoothed by a Gaussian of σ = strength and cut off below 0.8.
func mud(dst, src []uint8, layer []float64, threshold, strength float64) {
	var m [side * side]float64
	for i, v := range layer {
		if v > threshold {
			m[i] = 1
		}
	}
	gaussian(m[:], 1, strength, 4, clampIndex)
	brown := [channels]float64{63. / 255, 42. / 255, 20. / 255}
	for i, v := range src {
		w := m[i/channels]
		if w < 0.8 {
			w = 0
		}
		dst[i] = cut(float64(v)/255*(1-w) + brown[i%channels]*w)
	}
}

// water adds strength m turquoise, where m is the depth of the drops times a relief of light and shade, scaled to a maximum of
// 1. The relief comes from the distance to the edges of the drops: at most 20, averaged, equalised, lit from
// the upper left, and averaged again. Without any drop the image stays as it is.
func water(dst, src, wet []uint8, strength float64) {
	relief := edgeDistance(canny(wet, 50, 150))
	for i := range relief {
		relief[i] = min(relief[i], 20)
	}
	average := mean3(relief)
	var d [side * side]uint8
	for i, v := range average {
		d[i] = uint8(v)
	}
	equalize(&d)
	light := filter3(&d, [3][3]int{{-2, -1, 0}, {-1, 1, 1}, {0, 1, 2}})
	var m [side * side]float64
	for i, v := range light {
		m[i] = float64(min(max(v, 0), 255))
	}
	m = mean3(m)
	for i := range m {
		m[i] = float64(int(m[i]+0.5)) * float64(wet[i])
	}
	most := max(slices.Max(m[:]), 1) // depths and reliefs are whole numbers: below 1 there are none
	turquoise := [channels]float64{175. / 255, 238. / 255, 238. / 255}
	for i, v := range src {
		dst[i] = cut(float64(v)/255 + strength*m[i/channels]/most*turquoise[i%channels])
	}
}

// mean3 averages 3x3 pixels, mirrored about the centre of border pixels (OpenCV's blur).
func mean3(x [side * side]float64) (m [side * side]float64) {
	for i := range m {
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				m[i] += x[reflect101(i/side+dy)*side+reflect101(i%side+dx)]
			}
		}
		m[i] *= 1. / 9
	}
	return m
}

// filter3 correlates with k, with the border of mean3.
func filter3(x *[side * side]uint8, k [3][3]int) (f [side * side]int) {
	for i := range f {
		for dy, row := range k {
			for dx, w := range row {
				f[i] += w * int(x[reflect101(i/side+dy-1)*side+reflect101(i%side+dx-1)])
			}
		}
	}
	return f
}

// equalize spreads the grey levels so that each takes a share of [0, 255] as large as its share of the pixels; the lowest becomes
// 0. An image of one level stays as it is (OpenCV's equalizeHist).
func equalize(x *[side * side]uint8) {
	var count [256]int
	for _, v := range x {
		count[v]++
	}
	low := slices.Min(x[:])
	rest := len(x) - count[low]
	if rest == 0 {
		return
	}
	var level [256]uint8
	sum := 0
	for v := int(low) + 1; v < 256; v++ {
		sum += count[v]
		level[v] = uint8(float64(sum)*255/float64(rest) + 0.5)
	}
	for i, v := range x {
		x[i] = level[v]
	}
}
