package corrupt

// contrast is (x - mean) c + mean with the mean of each channel over the image.
func contrast(dst, src []uint8, level int, _ draws) {
	c := [Severities]float64{.75, .5, .4, .3, .15}[level]
	var mean [channels]float64
	for i, v := range src {
		mean[i%channels] += float64(v) / 255
	}
	for i := range mean {
		mean[i] /= side * side
	}
	for i, v := range src {
		m := mean[i%channels]
		dst[i] = cut((float64(v)/255-m)*c + m)
	}
}
