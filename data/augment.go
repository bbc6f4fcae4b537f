package data

import "fmt"

// pad is the border of zeros around an image from which Augment crops.
const pad = 4

// Augment writes the training view of one image: src, [32, 32, 3], is padded by 4 zeros on every side, a random 32x32 window is
// cut out, and with probability 1/2 it is mirrored left to right (the standard CIFAR augmentation: He et al., 2016,
// section 4.2). The view depends on src, seed, epoch and index only. It panics if a slice is not 3,072 bytes long;
// dst and src must not overlap.
func Augment(dst, src []uint8, seed uint64, epoch, index int) {
	if len(dst) != imageLen || len(src) != imageLen {
		panic(fmt.Sprintf("data.Augment: dst has %d and src %d bytes, want %d", len(dst), len(src), imageLen))
	}
	rng := Stream(seed, "augment", uint64(epoch), uint64(index))
	dy, dx := rng.IntN(2*pad+1)-pad, rng.IntN(2*pad+1)-pad
	cropFlip(dst, src, dy, dx, rng.Uint64()&1 == 1)
}

// cropFlip moves the image by (-dy, -dx), fills with zeros, and mirrors the result if flip.
func cropFlip(dst, src []uint8, dy, dx int, flip bool) {
	const row = Width * Channels
	clear(dst)
	for y := max(0, -dy); y < min(Height, Height-dy); y++ {
		out := dst[y*row : (y+1)*row]
		in := src[(y+dy)*row : (y+dy+1)*row]
		first, last := max(0, -dx), min(Width, Width-dx) // columns of the window inside the image
		if !flip {
			copy(out[first*Channels:last*Channels], in[(first+dx)*Channels:])
			continue
		}
		for x := first; x < last; x++ {
			to, from := (Width-1-x)*Channels, (x+dx)*Channels
			out[to], out[to+1], out[to+2] = in[from], in[from+1], in[from+2]
		}
	}
}
