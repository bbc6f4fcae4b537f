package corrupt

import (
	"math"
	"math/rand/v2"
	"sync"

	"cure/data"
)

// frostSize is the side of a texture.
const frostSize = 128

// frostLooks are the mean colours and the deviation of the luminance of the five photographs that the script draws from, at the
// 20 % size at which it uses them.
var frostLooks = [5]struct {
	rgb [channels]float64
	std float64
}{
	{[channels]float64{78, 149, 166}, 18},
	{[channels]float64{201, 205, 214}, 22},
	{[channels]float64{201, 205, 214}, 22},
	{[channels]float64{138, 153, 166}, 29},
	{[channels]float64{112, 123, 135}, 43},
}

// frostTextures are grown once, from a seed of their own: they are part of the corruption, not of its randomness.
var frostTextures = sync.OnceValue(func() (all [len(frostLooks)][]uint8) {
	for i := range all {
		all[i] = frostTexture(i, data.Stream(0, "corrupt/frost texture", uint64(i)))
	}
	return all
})

// frostTexture grows texture i, [128, 128, 3]: a film of ice that is thicker here than there (smooth noise), fern-like crystals
// on it, and grains. Shares are chosen so that neighbouring pixels correlate as in the photographs, by about 0.6,
// and pixels four apart by about 0.45. The sum is scaled to the mean colour and the deviation of frostLooks[i].
func frostTexture(i int, rng *rand.Rand) []uint8 {
	var sum [frostSize * frostSize]float64
	add := func(weight float64, layer []float64) {
		mean, std := moments(layer)
		for j, v := range layer {
			sum[j] += weight * (v - mean) / std
		}
	}
	add(0.6, iceFilm(rng))
	add(0.7, iceFerns(rng))
	grains := make([]float64, len(sum))
	for j := range grains {
		grains[j] = rng.NormFloat64()
	}
	add(0.55, grains)
	look := frostLooks[i]
	mean, std := moments(sum[:])
	out := make([]uint8, len(sum)*channels)
	for j, v := range sum {
		for c, base := range look.rgb {
			out[j*channels+c] = uint8(min(max(base+look.std*(v-mean)/std, 0), 255) + 0.5)
		}
	}
	return out
}

func moments(x []float64) (mean, std float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	for _, v := range x {
		std += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(std / float64(len(x)))
}

// iceFilm is smooth noise: random values on grids of 64 to 8 pixels, each half as strong as the one before, interpolated.
func iceFilm(rng *rand.Rand) []float64 {
	film := make([]float64, frostSize*frostSize)
	weight := 1.0
	for cell := 64; cell >= 8; cell /= 2 {
		n := frostSize/cell + 1
		grid := make([]float64, n*n)
		for j := range grid {
			grid[j] = rng.NormFloat64()
		}
		for j := range film {
			y, x := j/frostSize, j%frostSize
			gy, gx := y/cell, x/cell
			ty, tx := ease(float64(y%cell)/float64(cell)), ease(float64(x%cell)/float64(cell))
			corner := grid[gy*n+gx:]
			film[j] += weight * ((1-ty)*((1-tx)*corner[0]+tx*corner[1]) + ty*((1-tx)*corner[n]+tx*corner[n+1]))
		}
		weight /= 2
	}
	return film
}

// ease joins cells without creases.
func ease(t float64) float64 { return t * t * (3 - 2*t) }

// iceFerns draws crystals that branch at 60 degrees, as ice does.
func iceFerns(rng *rand.Rand) []float64 {
	ice := make([]float64, frostSize*frostSize)
	for range 45 {
		y, x := frostSize*rng.Float64(), frostSize*rng.Float64()
		angle := 2 * math.Pi * rng.Float64()
		for arm := range 3 {
			growFern(ice, y, x, angle+2*math.Pi/3*float64(arm), 15+25*rng.Float64(), 1)
		}
	}
	return ice
}

// growFern draws a line of a length in pixels that fades, and on both of its sides the same, smaller.
func growFern(ice []float64, y, x, angle, length, strength float64) {
	sin, cos := math.Sincos(angle)
	for s := 0.0; s < length; s++ {
		left := 1 - s/length
		py, px := floor(y+s*sin), floor(x+s*cos)
		if py >= 0 && py < frostSize && px >= 0 && px < frostSize {
			at := &ice[py*frostSize+px]
			*at = max(*at, strength*(0.4+0.6*left))
		}
		if branch := 0.4 * left * length; int(s)%4 == 3 && branch > 2 {
			for _, turn := range []float64{-math.Pi / 3, math.Pi / 3} {
				growFern(ice, y+s*sin, x+s*cos, angle+turn, branch, 0.7*strength)
			}
		}
	}
}
