package data

import "fmt"

// pad is the border of zeros around an image from which Augment crops.
const pad = 4

// View is what [Augment] makes of an image: a window of 32x32 whose top left corner lies DY rows below and DX columns right
// of the image's own, -4 to 4, mirrored left to right if Flip. What lies outside the image is 0.
type View struct {
	DY, DX int
	Flip   bool
}

// NewView draws the view that Augment takes; it depends on its arguments only.
func NewView(seed uint64, epoch, index int) View {
	rng := Stream(seed, "augment", uint64(epoch), uint64(index))
	v := View{DY: rng.IntN(2*pad+1) - pad, DX: rng.IntN(2*pad+1) - pad}
	v.Flip = rng.Uint64()&1 == 1
	return v
}

// Augment writes the training view of one image: src, [32, 32, 3], is padded by 4 zeros on every side, a random 32x32 window is
// cut out, and with probability 1/2 it is mirrored left to right (the standard CIFAR augmentation: He et al., 2016,
// section 4.2). The view depends on src, seed, epoch and index only. It panics if a slice is not 3,072 bytes long;
// dst and src must not overlap.
func Augment(dst, src []uint8, seed uint64, epoch, index int) {
	if len(dst) != imageLen || len(src) != imageLen {
		panic(fmt.Sprintf("data.Augment: dst has %d and src %d bytes, want %d", len(dst), len(src), imageLen))
	}
	v := NewView(seed, epoch, index)
	cropFlip(dst, src, v.DY, v.DX, v.Flip)
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
