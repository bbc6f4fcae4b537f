package corrupt

// glassBlur smooths, shuffles and smooths again: in each round every pixel from the lower right corner to the third row and
// column takes the colour of the pixel 0 or 1 above and 0 or 1 to the left. The script means to exchange the two, but
// assigns views of one array, which copies; so does this. Like its first smoothing it works on bytes.
func glassBlur(dst, src []uint8, level int, rng draws) {
	p := [Severities]struct {
		sigma  float64
		rounds int
	}{{.05, 1}, {.25, 1}, {.4, 1}, {.25, 2}, {.4, 2}}[level]
	const shift = 1
	var x [imageLen]float64
	unit(x[:], src)
	gaussian(x[:], channels, p.sigma, 4, clampIndex)
	for i, v := range x {
		dst[i] = cut(v)
	}
	for range p.rounds {
		for row := side - shift; row > shift; row-- {
			for col := side - shift; col > shift; col-- {
				dx, dy := rng.IntN(2*shift)-shift, rng.IntN(2*shift)-shift
				to, from := (row*side+col)*channels, ((row+dy)*side+col+dx)*channels
				copy(dst[to:to+channels], dst[from:from+channels])
			}
		}
	}
	unit(x[:], dst)
	gaussian(x[:], channels, p.sigma, 4, clampIndex)
	for i, v := range x {
		dst[i] = cut(v)
	}
}
