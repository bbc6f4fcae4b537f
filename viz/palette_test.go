package viz

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"slices"
	"testing"
)

// TestCompact: what a notebook gets of every kind of picture has the same size and at most 256 colours, which are on average
// less than a grey level away; the page stays white.
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
		if away := meanDifference(got, fig.img); away > 1 {
			t.Errorf("%s: %.3f grey levels away", s.name, away)
		}
		if r, g, b, _ := got.At(0, 0).RGBA(); r != 0xffff || g != 0xffff || b != 0xffff {
			t.Errorf("%s: the page is %v, want white", s.name, got.At(0, 0))
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

// TestChoose: up to 256 colours are kept as they are; of more, the frequent and the far away ones are, and no colour is far
// from its stand-in.
func TestChoose(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 16, 16))
	for i := range 256 {
		img.SetRGBA(i%16, i/16, color.RGBA{uint8(i), 0, 0, 255})
	}
	p := choose(shades(img))
	if away := meanDifference(paletted(img, p), img); len(p) != 256 || away != 0 {
		t.Errorf("%d colours, %v grey levels away, want all 256 colours as they are", len(p), away)
	}

	wide := image.NewRGBA(image.Rect(0, 0, 64, 64)) // white, 1,024 shades of a ramp, one red pixel
	for i := range 64 * 64 {
		c := color.RGBA{255, 255, 255, 255}
		if i < 1024 {
			c = color.RGBA{uint8(i / 4), uint8(i / 4), uint8(i % 4), 255}
		}
		wide.SetRGBA(i%64, i/64, c)
	}
	red := color.RGBA{255, 0, 0, 255}
	wide.SetRGBA(63, 63, red)
	p = choose(shades(wide))
	if len(p) != paletteSize || !slices.Contains(p, color.Color(red)) || !slices.Contains(p, color.Color(color.RGBA{255, 255, 255, 255})) {
		t.Errorf("%d colours, want %d with white and red", len(p), paletteSize)
	}
	for _, s := range shades(wide) {
		if c := p.Convert(s.RGBA).(color.RGBA); apart(c, s.RGBA) > 12 {
			t.Errorf("%v became %v", s.RGBA, c)
		}
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
