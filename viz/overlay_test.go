package viz

import (
	"math"
	"testing"
)

// The middle between the pixel's grey and the map's colour, by hand.
func TestOverlay(t *testing.T) {
	images, err := FloatImages([]float32{1, 1, 1, 0, 0, 0, 1, 0, 0, 0.5, 0.5, 0.5}, 1, 2, 3) // two images of 1 x 2
	if err != nil {
		t.Fatal(err)
	}
	over, err := Overlay(images, []float32{0, 1, 0, 7})
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{
		0.5 + 68./510, 0.5 + 1./510, 0.5 + 84./510, // white below the cold end
		253. / 510, 231. / 510, 37. / 510, // black below the hot one
		0.1495 + 68./510, 0.1495 + 1./510, 0.1495 + 84./510, // red has the light of 0.299
		0.25 + 253./510, 0.25 + 231./510, 0.25 + 37./510, // clipped
	}
	for i, w := range want {
		if math.Abs(float64(over.pix[i])-w) > 1e-6 {
			t.Errorf("value %d is %g, want %g", i, over.pix[i], w)
		}
	}
	grey, err := Uint8Images([]uint8{255}, 1, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := Overlay(grey, []float32{0}); err != nil || o.C != 3 || math.Abs(float64(o.pix[0])-(0.5+68./510)) > 1e-6 {
		t.Errorf("a grey image: %+v, %v", o, err)
	}
	for _, heat := range [][]float32{nil, {0, 1, 0}, {0, 1, 0, float32(math.NaN())}, {0, 1, 0, float32(math.Inf(1))}} {
		if _, err := Overlay(images, heat); err == nil {
			t.Errorf("heat %v is no error", heat)
		}
	}
	joined, err := Join(images, over)
	if err != nil || joined.N != 4 || joined.pix[0] != 1 || joined.pix[12] != over.pix[0] || len(images.pix) != 12 {
		t.Errorf("joined: %+v, %v", joined, err)
	}
	if _, err := Join(images, grey); err == nil {
		t.Error("images of two sizes were joined")
	}
	if _, err := Join(); err == nil {
		t.Error("nothing was joined")
	}
}
