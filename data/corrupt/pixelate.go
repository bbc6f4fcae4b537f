package corrupt

// pixelate shrinks the image to int(32 c) pixels a side and enlarges it again, both with the box filter of Pillow.
func pixelate(dst, src []uint8, level int, _ draws) {
	size := [Severities]int{30, 28, 27, 24, 20}[level] // c = .95, .9, .85, .75, .65
	copy(dst, resizeBox(resizeBox(src, side, size), size, side))
}

// resizeBox resizes an image [in, in, 3] to [out, out, 3]: first the rows, then the columns, bytes in between.
func resizeBox(src []uint8, in, out int) []uint8 {
	rows := make([]uint8, in*out*channels)
	resizeLines(rows, src, in, out, in, in*channels, out*channels, channels)
	dst := make([]uint8, out*out*channels)
	resizeLines(dst, rows, in, out, out, channels, channels, out*channels)
	return dst
}

// resizeLines resizes n lines of in pixels to out pixels each. Lines begin from and to values apart, their pixels are step
// values apart. An output pixel is the mean of the source pixels whose centres lie in it, with ties at its left edge left out;
// if it is smaller than a source pixel, the one in which its centre lies.
func resizeLines(dst, src []uint8, in, out, n, from, to, step int) {
	const bits = 22 // of the fraction of Pillow's weights
	scale := float64(in) / float64(out)
	support := max(scale, 1) / 2
	for p := range out {
		centre := (float64(p) + 0.5) * scale
		first, last := max(int(centre-support+0.5), 0), min(int(centre+support+0.5), in)
		var hit []int
		for k := first; k < last; k++ {
			if d := (float64(k) - centre + 0.5) / max(scale, 1); d > -0.5 && d <= 0.5 {
				hit = append(hit, k)
			}
		}
		weight := int(1.0/float64(len(hit))*(1<<bits) + 0.5)
		for line := range n {
			for c := range channels {
				sum := 1 << (bits - 1)
				for _, k := range hit {
					sum += weight * int(src[line*from+k*step+c])
				}
				dst[line*to+p*step+c] = uint8(min(sum>>bits, 255))
			}
		}
	}
}
