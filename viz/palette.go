package viz

import (
	"image"
	"image/color"

	"github.com/soniakeys/quant/median"
)

const (
	paletteSize = 256
	// mostOfDrawing is how many colours a drawing has at most: those of its lines and areas, and what smoothing makes of
	// their edges. Photographs have more.
	mostOfDrawing = 4096
)

// exactPalette lists the colours of an image, nil where there are more than most.
func exactPalette(img *image.RGBA, most int) (palette color.Palette) {
	seen := map[color.RGBA]bool{}
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			c := img.RGBAAt(x, y)
			if seen[c] {
				continue
			}
			if len(palette) == most {
				return nil
			}
			seen[c] = true
			palette = append(palette, c)
		}
	}
	return palette
}

// paletted is the image in the nearest colours of a palette, which makes a file half as large or less.
func paletted(img *image.RGBA, palette color.Palette) *image.Paletted {
	small, index := image.NewPaletted(img.Rect, palette), map[color.RGBA]uint8{}
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			c := img.RGBAAt(x, y)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			small.SetColorIndex(x, y, i)
		}
	}
	return small
}

// compact encodes the figure for a notebook, which is kept with its pictures: a drawing in 256 colours, chosen by median
// cut, of which no eye tells the difference; what shows photographs as it is.
func (f *Figure) compact() ([]byte, error) {
	if f == nil || f.img == nil {
		return nil, errNilFigure
	}
	if n := len(exactPalette(f.img, mostOfDrawing)); n <= paletteSize { // few enough, or too many
		return f.PNG()
	}
	return encode(paletted(f.img, median.Quantizer(paletteSize).Quantize(make(color.Palette, 0, paletteSize), f.img)))
}
