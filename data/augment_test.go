package data

import (
	"bytes"
	"testing"
)

// texture is an image without two equal pixels.
func texture() []uint8 {
	img := make([]uint8, imageLen)
	for y := range Height {
		for x := range Width {
			i := (y*Width + x) * Channels
			img[i], img[i+1], img[i+2] = uint8(y+1), uint8(x+1), uint8(y*x)
		}
	}
	return img
}

// cropFlipSlow does what the words say: pad by 4 zeros, cut 32x32 at (top, left), mirror.
func cropFlipSlow(src []uint8, top, left int, flip bool) []uint8 {
	const side = Height + 2*pad
	var padded [side][side][Channels]uint8
	for y := range Height {
		for x := range Width {
			copy(padded[y+pad][x+pad][:], src[(y*Width+x)*Channels:])
		}
	}
	var out []uint8
	for y := range Height {
		for x := range Width {
			if flip {
				x = Width - 1 - x
			}
			out = append(out, padded[top+y][left+x][:]...)
		}
	}
	return out
}

func TestCropFlip(t *testing.T) {
	src := texture()
	dst := bytes.Repeat([]uint8{77}, imageLen)
	for top := range 2*pad + 1 {
		for left := range 2*pad + 1 {
			for _, flip := range []bool{false, true} {
				cropFlip(dst, src, top-pad, left-pad, flip)
				if !bytes.Equal(dst, cropFlipSlow(src, top, left, flip)) {
					t.Fatalf("crop at (%d, %d), flip %t differs from padding, cutting and mirroring", top, left, flip)
				}
			}
		}
	}
}

// TestAugmentUniform counts which of the 162 views come out.
func TestAugmentUniform(t *testing.T) {
	src, dst := texture(), make([]uint8, imageLen)
	views := map[string]int{}
	for top := range 2*pad + 1 {
		for left := range 2*pad + 1 {
			views[string(cropFlipSlow(src, top, left, false))] = 0
			views[string(cropFlipSlow(src, top, left, true))] = 0
		}
	}
	const perView = 40
	for i := range perView * len(views) {
		Augment(dst, src, 3, i%7, i)
		if _, ok := views[string(dst)]; !ok {
			t.Fatalf("index %d: not a crop of the padded image", i)
		}
		views[string(dst)]++
	}
	// Chi-squared with 161 degrees of freedom: mean 161, standard deviation 18.
	chi := 0.0
	for _, n := range views {
		chi += float64((n-perView)*(n-perView)) / perView
	}
	if len(views) != 162 || chi < 90 || chi > 250 {
		t.Errorf("%d views, chi-squared %.1f, want 162 and 161 +- 5 standard deviations", len(views), chi)
	}
}

func TestAugmentIsPure(t *testing.T) {
	src := texture()
	before := bytes.Clone(src)
	a, b := make([]uint8, imageLen), bytes.Repeat([]uint8{9}, imageLen)
	differ := 0
	for i := range 50 {
		Augment(a, src, 1, 2, i)
		Augment(b, src, 1, 2, i)
		if !bytes.Equal(a, b) {
			t.Fatalf("index %d: two calls differ", i)
		}
		Augment(b, src, 1, 3, i)
		if !bytes.Equal(a, b) {
			differ++
		}
	}
	if differ < 40 {
		t.Errorf("only %d of 50 views changed with the epoch", differ)
	}
	if !bytes.Equal(src, before) {
		t.Error("the source was changed")
	}
}
