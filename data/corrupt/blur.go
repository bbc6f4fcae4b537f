package corrupt

import "math"

// gaussianBlur smooths with a Gaussian of σ pixels, cut off at 4 σ; the border pixels are repeated (skimage.filters.gaussian).
func gaussianBlur(dst, src []uint8, level int, _ draws) {
	sigma := [Severities]float64{.4, .6, .7, .8, 1}[level]
	var x [imageLen]float64
	unit(x[:], src)
	gaussian(x[:], channels, sigma, 4, clampIndex)
	for i, v := range x {
		dst[i] = cut(v)
	}
}

// defocusBlur filters with a disk of a radius in pixels, whose edge is softened by a 3x3 Gaussian of σ; the image is mirrored
// about its border pixels (OpenCV's filter2D and GaussianBlur).
func defocusBlur(dst, src []uint8, level int, _ draws) {
	p := [Severities]struct{ radius, sigma float64 }{{.3, .4}, {.4, .5}, {.5, .6}, {1, .2}, {1.5, .1}}[level]
	k := diskKernel(p.radius, p.sigma)
	var x [imageLen]float64
	unit(x[:], src)
	for y := range side {
		for px := range side {
			var sum [channels]float64
			for i := range k {
				from := x[reflect101(y+i-reach)*side*channels:]
				for j, w := range k[i] {
					at := reflect101(px+j-reach) * channels
					for c := range sum {
						sum[c] += w * from[at+c]
					}
				}
			}
			for c, v := range sum {
				dst[(y*side+px)*channels+c] = cut(v)
			}
		}
	}
}

// reach is how far diskKernel extends: the disks have a radius below 2, softening adds 1. (The script's kernels have
// 17x17 cells, zero outside of these.)
const reach = 2

// diskKernel has sum 1. A cell belongs to the disk if its centre does.
func diskKernel(radius, sigma float64) (k [2*reach + 1][2*reach + 1]float64) {
	n := 0.0
	for y := -reach; y <= reach; y++ {
		for x := -reach; x <= reach; x++ {
			if float64(y*y+x*x) <= radius*radius {
				k[y+reach][x+reach] = 1
				n++
			}
		}
	}
	edge := math.Exp(-1 / (2 * sigma * sigma))
	edge, centre := edge/(1+2*edge), 1/(1+2*edge)
	for range 2 { // rows, then columns through the transposition
		var soft [2*reach + 1][2*reach + 1]float64
		for y := range k {
			for x, v := range k[y] {
				soft[x][y] += centre * v
				if v != 0 {
					soft[x-1][y] += edge * v
					soft[x+1][y] += edge * v
				}
			}
		}
		k = soft
	}
	for y := range k {
		for x := range k[y] {
			k[y][x] /= n
		}
	}
	return k
}
