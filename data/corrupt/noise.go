package corrupt

import (
	"gonum.org/v1/gonum/stat/distuv"
)

// gaussianNoise is x + n with n ~ N(0, σ²) for each value.
func gaussianNoise(dst, src []uint8, level int, rng draws) {
	sigma := [Severities]float64{.04, .06, .08, .09, .10}[level]
	for i, v := range src {
		dst[i] = cut(float64(v)/255 + sigma*rng.NormFloat64())
	}
}

// shotNoise is Poisson(c x) / c: c is the number of photons of a white value.
func shotNoise(dst, src []uint8, level int, rng draws) {
	c := [Severities]float64{500, 250, 100, 75, 50}[level]
	photons := distuv.Poisson{Src: rng}
	for i, v := range src {
		photons.Lambda = c * float64(v) / 255
		if v == 0 { // none, which is no distribution
			dst[i] = 0
			continue
		}
		dst[i] = cut(photons.Rand() / c)
	}
}

// impulseNoise sets a share of the values, not of the pixels, to 0 or 1 with equal odds (skimage.util.random_noise, mode s&p).
func impulseNoise(dst, src []uint8, level int, rng draws) {
	share := [Severities]float64{.01, .02, .03, .05, .07}[level]
	for i, v := range src {
		switch {
		case rng.Float64() >= share:
			dst[i] = cut(float64(v) / 255)
		case rng.Float64() < 0.5:
			dst[i] = 255
		default:
			dst[i] = 0
		}
	}
}

// speckleNoise is x + x n with n ~ N(0, σ²) for each value.
func speckleNoise(dst, src []uint8, level int, rng draws) {
	sigma := [Severities]float64{.06, .10, .12, .16, .20}[level]
	for i, v := range src {
		x := float64(v) / 255
		dst[i] = cut(x + x*sigma*rng.NormFloat64())
	}
}
