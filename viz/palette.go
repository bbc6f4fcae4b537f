package viz

import (
	"image"
	"image/color"
	"slices"
)

// paletteSize is the most that a PNG with a palette has.
const paletteSize = 256

// shade is a colour of a picture and how many of its pixels have it.
type shade struct {
	color.RGBA
	pixels int
}

// shades are the colours of a picture, the most frequent first.
func shades(img *image.RGBA) (list []shade) {
	count := map[color.RGBA]int{}
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			count[img.RGBAAt(x, y)]++
		}
	}
	for c, n := range count {
		list = append(list, shade{c, n})
	}
	slices.SortFunc(list, func(a, b shade) int {
		if a.pixels != b.pixels {
			return b.pixels - a.pixels
		}
		return int(a.key()) - int(b.key())
	})
	return list
}

func (s shade) key() uint32 { return uint32(s.R)<<16 | uint32(s.G)<<8 | uint32(s.B) }

// apart is the squared distance of two colours.
func apart(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}

// choose picks at most paletteSize colours that stand for all. It begins with the most frequent one and adds the colour that is
// farthest from those that it has, so that rare ones, such as the ends of a colour bar, are not lost; then it moves each to
// the mean of the colours that are nearest to it (Lloyd's algorithm, three rounds). A colour that most pixels of its
// surroundings have stays what it is, such as the white of the page.
func choose(list []shade) color.Palette {
	nearest, distance := make([]int, len(list)), make([]int, len(list))
	var chosen []color.RGBA
	for next := 0; len(chosen) < min(paletteSize, len(list)); {
		last, farthest := list[next].RGBA, -1
		chosen = append(chosen, last)
		for i, s := range list {
			if d := apart(s.RGBA, last); len(chosen) == 1 || d < distance[i] {
				nearest[i], distance[i] = len(chosen)-1, d
			}
			if distance[i] > farthest {
				next, farthest = i, distance[i]
			}
		}
	}
	if len(list) > paletteSize {
		for range 3 {
			chosen = settle(list, nearest, len(chosen))
			for i, s := range list {
				nearest[i] = closest(chosen, s.RGBA)
			}
		}
	}
	palette := make(color.Palette, len(chosen))
	for i, c := range chosen {
		palette[i] = c
	}
	return palette
}

// settle gives each of n groups of colours the one that stands for it: that of most of its pixels, or else the mean.
func settle(list []shade, group []int, n int) []color.RGBA {
	type sum struct{ r, g, b, pixels, most int }
	sums, chosen := make([]sum, n), make([]color.RGBA, n)
	for i, s := range list {
		t := &sums[group[i]]
		t.r, t.g, t.b, t.pixels = t.r+s.pixels*int(s.R), t.g+s.pixels*int(s.G), t.b+s.pixels*int(s.B), t.pixels+s.pixels
		if s.pixels > t.most {
			t.most, chosen[group[i]] = s.pixels, s.RGBA
		}
	}
	for i, t := range sums {
		if 2*t.most < t.pixels {
			half := t.pixels / 2
			chosen[i] = color.RGBA{uint8((t.r + half) / t.pixels), uint8((t.g + half) / t.pixels), uint8((t.b + half) / t.pixels), 255}
		}
	}
	return chosen
}

// closest is the index of the colour nearest to c.
func closest(palette []color.RGBA, c color.RGBA) (at int) {
	best := apart(palette[0], c)
	for i, p := range palette {
		if d := apart(p, c); d < best {
			at, best = i, d
		}
	}
	return at
}

// paletted is the image in the nearest colours of a palette.
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

// compact encodes the figure for a notebook, which is kept with its pictures, in 256 colours: the file has a third to a half
// of the size. [Save] keeps all colours.
func (f *Figure) compact() ([]byte, error) {
	if f == nil || f.img == nil {
		return nil, errNilFigure
	}
	return encode(paletted(f.img, choose(shades(f.img))))
}
