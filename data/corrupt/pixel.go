package corrupt

import "math"

// cut converts a value of [0, 1] to a byte as the script does: clipped, scaled and without its fraction.
func cut(v float64) uint8 { return uint8(min(max(v, 0), 1) * 255) }

// unit converts bytes to values of [0, 1].
func unit(dst []float64, src []uint8) {
	for i, v := range src {
		dst[i] = float64(v) / 255
	}
}

// Indices of pixels beyond the border. clampIndex repeats the border pixel ("nearest"); reflect mirrors about the edge of the
// border pixel (b a | a b c); reflect101 about its centre (c b | a b c).
func clampIndex(i int) int { return min(max(i, 0), side-1) }

func reflect(i int) int {
	for i < 0 || i >= side {
		i = max(-1-i, min(i, 2*side-1-i))
	}
	return i
}

func reflect101(i int) int {
	for i < 0 || i >= side {
		i = max(-i, min(i, 2*side-2-i))
	}
	return i
}

// bilinear is the value of channel c of img, [32, 32, n], at (y, x), with pixels beyond the border by index.
func bilinear(img []float64, n, c int, y, x float64, index func(int) int) float64 {
	fy, fx := floor(y), floor(x)
	ty, tx := y-float64(fy), x-float64(fx)
	at := func(y, x int) float64 { return img[(index(y)*side+index(x))*n+c] }
	return (1-ty)*((1-tx)*at(fy, fx)+tx*at(fy, fx+1)) + ty*((1-tx)*at(fy+1, fx)+tx*at(fy+1, fx+1))
}

func floor(v float64) int { return int(math.Floor(v)) }

// turned is the opposite pixel: the index of pixel i in the image rotated by 180 degrees.
func turned(i int) int { return side*side - 1 - i }
