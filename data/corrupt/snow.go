package corrupt

// snow adds flakes and whitens: x' = mix x + (1 - mix) max(x, 1.5 gray(x) + 0.5) + flakes + flakes rotated by 180°. The flakes
// are N(mean, std²), enlarged, set to 0 below the threshold, cut to bytes, and blurred along a line at an angle
// U(-135°, -45°).
func snow(dst, src []uint8, level int, rng draws) {
	p := [Severities]struct {
		mean, std, zoom, threshold float64
		radius                     int
		sigma, mix                 float64
	}{
		{.1, .2, 1, .6, 8, 3, .95},
		{.1, .2, 1, .5, 10, 4, .9},
		{.15, .3, 1.75, .55, 10, 4, .9},
		{.25, .3, 2.25, .6, 12, 6, .85},
		{.3, .3, 1.25, .65, 14, 12, .8},
	}[level]
	var layer [side * side]float64
	for i := range layer {
		layer[i] = p.mean + p.std*rng.NormFloat64()
	}
	var seeds, flakes [side * side]uint8
	for i, v := range clippedZoom(layer[:], 1, p.zoom) {
		if v >= p.threshold {
			seeds[i] = cut(v)
		}
	}
	smear(flakes[:], seeds[:], 1, p.radius, p.sigma, -135+90*rng.Float64())
	for i := range flakes {
		fallen := float64(flakes[i])/255 + float64(flakes[turned(i)])/255
		pixel := src[i*channels : (i+1)*channels]
		white := gray(pixel)*1.5 + 0.5
		for c, v := range pixel {
			x := float64(v) / 255
			dst[i*channels+c] = cut(p.mix*x + (1-p.mix)*max(x, white) + fallen)
		}
	}
}

// gray is the luminance of a pixel in [0, 1] (ITU-R BT.601, as in OpenCV).
func gray(rgb []uint8) float64 {
	return (0.299*float64(rgb[0]) + 0.587*float64(rgb[1]) + 0.114*float64(rgb[2])) / 255
}
