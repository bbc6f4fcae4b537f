package corrupt

import (
	"math"
)

// motionBlur blurs along a line at an angle U(-45°, 45°).
func motionBlur(dst, src []uint8, level int, rng draws) {
	p := [Severities]struct{ radius, sigma float64 }{{6, 1}, {6, 1.5}, {6, 2}, {8, 2}, {9, 2.5}}[level]
	smear(dst, src, channels, int(p.radius), p.sigma, -45+90*rng.Float64())
}

// smear is ImageMagick's motion blur of an image [32, 32, n]: pixel (y, x) becomes the sum over i = 0 to 2 radius of the pixels
// at i steps from it in the direction of angle (degrees, clockwise from the right), weighted with exp(-i²/(2σ²)) / sum.
// Steps are rounded to whole pixels and border pixels are repeated. Like ImageMagick 6 it computes with 16 bits, rounded, and
// writes 8 bits without the fraction.
func smear(dst, src []uint8, n, radius int, sigma, angle float64) {
	taps := 2*radius + 1
	weight := make([]float64, taps)
	dy, dx := make([]int, taps), make([]int, taps)
	sin, cos := math.Sincos(angle * math.Pi / 180)
	sum := 0.0
	for i := range weight {
		d := float64(i)
		weight[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += weight[i]
		dy[i], dx[i] = int(math.Ceil(d*sin-0.5)), int(math.Ceil(d*cos-0.5))
	}
	for y := range side {
		for x := range side {
			var v [channels]float64
			for i, w := range weight {
				from := (clampIndex(y+dy[i])*side + clampIndex(x+dx[i])) * n
				for c := range n {
					v[c] += w * float64(src[from+c])
				}
			}
			for c := range n {
				dst[(y*side+x)*n+c] = uint8(int(v[c]/sum*257+0.5) / 257) // 65535 = 257 * 255
			}
		}
	}
}
