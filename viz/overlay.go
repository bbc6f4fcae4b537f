package viz

import (
	"fmt"
	"image/color"
	"slices"
)

// Overlay lays heat [N, H, W], values in [0, 1], over images as colours of
// viridis, half and half with the grey of each pixel. Heat outside [0, 1] is
// clipped; NaN and infinities are errors.
func Overlay(images Images, heat []float32) (Images, error) {
	if len(heat) == 0 || len(heat) != images.N*images.H*images.W {
		return Images{}, fmt.Errorf("viz: overlay: %d values of heat for %d images of %d x %d: want one a pixel", len(heat), images.N, images.H, images.W)
	}
	if err := images.check(); err != nil {
		return Images{}, fmt.Errorf("viz: overlay: %w", err)
	}
	out := Images{N: images.N, H: images.H, W: images.W, C: 3, pix: make([]float32, 0, 3*len(heat))}
	for i, v := range heat {
		if !usable(float64(v)) {
			return Images{}, fmt.Errorf("viz: overlay: heat %d (in image %d) is %g: want finite values, meant to lie in [0, 1]", i, i/(images.H*images.W), v)
		}
		pixel := images.pix[i*images.C : (i+1)*images.C]
		light := pixel[0]
		if images.C == 3 {
			light = 0.299*pixel[0] + 0.587*pixel[1] + 0.114*pixel[2] // luma of Rec. 601
		}
		for _, c := range channels(viridis.at(float64(v))) {
			out.pix = append(out.pix, 0.5*light+0.5*c)
		}
	}
	return out, nil
}

func channels(c color.RGBA) [3]float32 {
	return [3]float32{float32(c.R) / 255, float32(c.G) / 255, float32(c.B) / 255}
}

// Join is one batch of several, of images of the same size and channels.
func Join(list ...Images) (Images, error) {
	if len(list) == 0 {
		return Images{}, fmt.Errorf("viz: join: no images: want at least one batch")
	}
	out := list[0]
	out.pix = slices.Clone(out.pix)
	for i, m := range list[1:] {
		if m.H != out.H || m.W != out.W || m.C != out.C {
			return Images{}, fmt.Errorf("viz: join: images of %d x %d x %d in batch %d and %d x %d x %d in batch 0: want the same size", m.H, m.W, m.C, i+1, out.H, out.W, out.C)
		}
		out.N += m.N
		out.pix = append(out.pix, m.pix...)
	}
	return out, nil
}
