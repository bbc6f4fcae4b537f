package viz

import (
	"fmt"
	"image"
)

// Images is a batch of pictures of one size, values in [0, 1], laid out
// [N, H, W, C] with C = 1 (grey) or 3 (red, green, blue). Make it with
// [Uint8Images] or [FloatImages].
type Images struct {
	N, H, W, C int
	pix        []float32
}

// Uint8Images takes pixels in 0..255, [N, H, W, C] in one slice; N follows from
// its length.
func Uint8Images(pix []uint8, h, w, c int) (Images, error) {
	m, err := newImages(len(pix), h, w, c)
	if err != nil {
		return Images{}, err
	}
	for i, v := range pix {
		m.pix[i] = float32(v) / 255
	}
	return m, nil
}

// FloatImages takes pixels in [0, 1], [N, H, W, C] in one slice, of which it
// makes a copy. Values outside are clipped when drawn; NaN and infinities are errors.
func FloatImages(pix []float32, h, w, c int) (Images, error) {
	m, err := newImages(len(pix), h, w, c)
	if err != nil {
		return Images{}, err
	}
	for i, v := range pix {
		if !usable(float64(v)) {
			return Images{}, fmt.Errorf("viz: images: value %d (in image %d) is %g: want finite values, meant to lie in [0, 1]", i, i/(h*w*c), v)
		}
		m.pix[i] = v
	}
	return m, nil
}

func newImages(length, h, w, c int) (Images, error) {
	const side = 4096
	if h < 1 || w < 1 || h > side || w > side || c != 1 && c != 3 {
		return Images{}, fmt.Errorf("viz: images: size %d x %d x %d: want height and width of 1 to %d and 1 or 3 channels", h, w, c, side)
	}
	if length == 0 || length%(h*w*c) != 0 {
		return Images{}, fmt.Errorf("viz: images: %d values: want a positive multiple of %d x %d x %d", length, h, w, c)
	}
	return Images{N: length / (h * w * c), H: h, W: w, C: c, pix: make([]float32, length)}, nil
}

// check says whether the sizes, which anyone can set, are those of the pixels.
func (m Images) check() error {
	if m.N < 1 || m.H < 1 || m.W < 1 || m.C != 1 && m.C != 3 || len(m.pix)/m.N/m.H/m.W != m.C || len(m.pix)%(m.N*m.H*m.W*m.C) != 0 {
		return fmt.Errorf("images [%d, %d, %d, %d] with %d values: want the result of Uint8Images or FloatImages", m.N, m.H, m.W, m.C, len(m.pix))
	}
	return nil
}

// one returns the values of image n, [H, W, C].
func (m Images) one(n int) []float32 {
	size := m.H * m.W * m.C
	return m.pix[n*size : (n+1)*size]
}

// raster turns [H, W, C] values into pixels, each repeated scale x scale times.
func raster(v []float32, h, w, c, scale int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w*scale, h*scale))
	for y := range h * scale {
		for x := range w * scale {
			at := v[((y/scale)*w+x/scale)*c:]
			o := img.PixOffset(x, y)
			for k := range 3 {
				img.Pix[o+k] = grey(at[k%c])
			}
			img.Pix[o+3] = 255
		}
	}
	return img
}

// grey rounds a value in [0, 1] to 0..255.
func grey(v float32) uint8 {
	return uint8(min(max(v, 0), 1)*255 + 0.5)
}
