package corrupt

import "math"

// zoomBlur is the mean of the image and of its centre enlarged by the factors 1.00, 1.01, ...; the image itself is thus in it
// twice. Images and sums are float32 as in the script.
func zoomBlur(dst, src []uint8, level int, _ draws) {
	steps := [Severities]int{7, 12, 16, 21, 26}[level]
	var x [imageLen]float64
	var sum [imageLen]float32
	for i, v := range src {
		x[i] = float64(float32(float64(v) / 255))
	}
	one, hundredth := 1.0, 0.01
	step := (one + hundredth) - one // the rounded step of numpy.arange
	for i := range steps {
		for j, v := range clippedZoom(x[:], channels, one+float64(i)*step) {
			sum[j] += float32(v)
		}
	}
	for i, v := range x {
		dst[i] = uint8(min(max((float32(v)+sum[i])/float32(steps+1), 0), 1) * 255)
	}
}

// clippedZoom enlarges the middle ceil(32/z) rows and columns of img, [32, 32, n], by z with linear interpolation that maps
// the first and last pixels on each other (scipy.ndimage.zoom, order 1), and cuts the middle 32x32 pixels out of it.
func clippedZoom(img []float64, n int, z float64) []float64 {
	crop := int(math.Ceil(side / z))
	top := (side - crop) / 2
	size := int(math.RoundToEven(float64(crop) * z))
	trim := (size - side) / 2
	scale := float64(crop-1) / float64(size-1)
	var at [side]struct {
		near, far int
		t         float64
	}
	for i := range at {
		p := min(float64(i+trim)*scale, float64(crop-1))
		k := floor(p)
		at[i].near, at[i].far, at[i].t = top+k, top+min(k+1, crop-1), p-float64(k)
	}
	out := make([]float64, len(img))
	for y, v := range at {
		near, far := img[v.near*side*n:], img[v.far*side*n:]
		for x, h := range at {
			for c := range n {
				out[(y*side+x)*n+c] = (1-v.t)*((1-h.t)*near[h.near*n+c]+h.t*near[h.far*n+c]) +
					v.t*((1-h.t)*far[h.near*n+c]+h.t*far[h.far*n+c])
			}
		}
	}
	return out
}
