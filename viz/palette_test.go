package viz

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"
)

// TestCompact: what a notebook gets of every kind of picture has the same size; a drawing has at most 256 colours, which are
// on average less than two thirds of a grey level away; photographs keep their bits.
func TestCompact(t *testing.T) {
	smaller := 0
	for _, s := range samples {
		fig, err := s.draw()
		if err != nil {
			t.Fatal(err)
		}
		data, err := fig.compact()
		if err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		full, err := fig.PNG()
		if err != nil {
			t.Fatal(err)
		}
		if got.Bounds() != fig.img.Bounds() {
			t.Fatalf("%s: %v, want %v", s.name, got.Bounds(), fig.img.Bounds())
		}
		_, few := got.(*image.Paletted)
		if drawing := exactPalette(fig.img, mostOfDrawing) != nil; few != drawing {
			t.Errorf("%s: a palette: %v, a drawing: %v", s.name, few, drawing)
		}
		if away := meanDifference(got, fig.img); away > 2./3 || !few && away > 0 {
			t.Errorf("%s: %.3f grey levels away", s.name, away)
		}
		if len(data) > len(full) {
			t.Errorf("%s: %d bytes, the whole picture has %d", s.name, len(data), len(full))
		}
		if 2*len(data) < len(full) {
			smaller++
		}
	}
	if smaller < 3 {
		t.Errorf("only %d of %d pictures have become half as large", smaller, len(samples))
	}
	if _, err := (*Figure)(nil).compact(); err == nil {
		t.Error("a nil figure: no error")
	}
}

// TestExactPalette: as many colours as are allowed, and one more.
func TestExactPalette(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 16, 16))
	for i := range 256 {
		img.SetRGBA(i%16, i/16, color.RGBA{uint8(i), 0, 0, 255})
	}
	p := exactPalette(img, 256)
	if len(p) != 256 || exactPalette(img, 255) != nil {
		t.Errorf("%d colours of 256, and %v of 255", len(p), exactPalette(img, 255))
	}
	if away := meanDifference(paletted(img, p), img); away != 0 {
		t.Errorf("%v grey levels away with the exact palette", away)
	}
}

// meanDifference is over pixels and channels, in grey levels.
func meanDifference(a, b image.Image) float64 {
	sum, bounds := 0.0, b.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			r, g, bl, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			sum += math.Abs(float64(r>>8)-float64(r2>>8)) + math.Abs(float64(g>>8)-float64(g2>>8)) + math.Abs(float64(bl>>8)-float64(b2>>8))
		}
	}
	return sum / float64(3*bounds.Dx()*bounds.Dy())
}
