package corrupt

// frost is a x + b f on the scale of bytes with a random 32x32 part f of one of five frost textures, see [frostTexture]. (Of the six
// photographs of the script the sixth is never drawn, and two are equal.)
func frost(dst, src []uint8, level int, rng draws) {
	p := [Severities]struct{ image, frost float64 }{{1, .2}, {1, .3}, {.9, .4}, {.85, .4}, {.75, .45}}[level]
	texture := frostTextures()[rng.IntN(len(frostLooks))]
	top, left := rng.IntN(frostSize-side), rng.IntN(frostSize-side)
	for i, v := range src {
		y, x, c := top+i/channels/side, left+i/channels%side, i%channels
		dst[i] = uint8(min(p.image*float64(v)+p.frost*float64(texture[(y*frostSize+x)*channels+c]), 255))
	}
}
