package corrupt

import "math"

// gaussianKernel holds exp(-i²/(2σ²)) / sum for i = -r to r, r = int(truncate σ + 1/2) (scipy.ndimage.gaussian_filter).
func gaussianKernel(sigma, truncate float64) []float64 {
	r := int(truncate*sigma + 0.5)
	k := make([]float64, 2*r+1)
	sum := 0.0
	for i := range k {
		d := float64(i - r)
		k[i] = math.Exp(-0.5 / (sigma * sigma) * d * d)
		sum += k[i]
	}
	for i := range k {
		k[i] /= sum
	}
	return k
}

// gaussian smooths img, [32, 32, n], in place, first along columns, then along rows. A σ of 0 changes nothing.
func gaussian(img []float64, n int, sigma, truncate float64, index func(int) int) {
	if sigma == 0 {
		return
	}
	k := gaussianKernel(sigma, truncate)
	const row = side
	for x := range side {
		for c := range n {
			filterLine(img[x*n+c:], row*n, k, index)
		}
	}
	for y := range side {
		for c := range n {
			filterLine(img[y*row*n+c:], n, k, index)
		}
	}
}

// filterLine filters 32 values that lie stride apart with a symmetric kernel, adding in scipy's order, since a
// last bit decides how a pixel is cut to a byte.
func filterLine(line []float64, stride int, k []float64, index func(int) int) {
	r := len(k) / 2
	var room [4 * side]float64
	in := room[:side+2*r]
	for i := range in {
		in[i] = line[index(i-r)*stride]
	}
	for i := range side {
		sum := in[i+r] * k[r]
		for j := range r {
			sum += (in[i+j] + in[i+2*r-j]) * k[j]
		}
		line[i*stride] = sum
	}
}
