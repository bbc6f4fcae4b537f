package viz

import (
	"image/color"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
)

// dpi of every figure; one typographic point is then exactly two pixels.
const (
	dpi       = 144
	pxPerPt   = dpi / 72
	pxPerCM   = dpi / 2.54
	defWidth  = 15.0 // cm
	defHeight = 9.0  // cm
	defPixels = 850  // defWidth in pixels
)

// Palette is the colour-blind-safe palette of Okabe and Ito (2008, "Color
// Universal Design"), in the order in which series take their colours: blue,
// vermillion, bluish green, orange, reddish purple, sky blue, black, yellow.
// Yellow comes last because thin yellow lines are hard to see on white.
var Palette = [8]color.RGBA{
	{0x00, 0x72, 0xB2, 0xFF},
	{0xD5, 0x5E, 0x00, 0xFF},
	{0x00, 0x9E, 0x73, 0xFF},
	{0xE6, 0x9F, 0x00, 0xFF},
	{0xCC, 0x79, 0xA7, 0xFF},
	{0x56, 0xB4, 0xE9, 0xFF},
	{0x00, 0x00, 0x00, 0xFF},
	{0xF0, 0xE4, 0x42, 0xFF},
}

var (
	white     = color.RGBA{0xFF, 0xFF, 0xFF, 0xFF}
	ink       = color.RGBA{0x22, 0x22, 0x22, 0xFF} // titles, labels
	softInk   = color.RGBA{0x55, 0x55, 0x55, 0xFF} // ticks, notes
	gridGrey  = color.RGBA{0xE4, 0xE4, 0xE4, 0xFF}
	frameGrey = color.RGBA{0x9A, 0x9A, 0x9A, 0xFF}
	noValue   = color.RGBA{0xC8, 0xC8, 0xC8, 0xFF} // NaN cells
	wrongRed  = Palette[1]
)

// Fonts, in points.
var (
	titleFont = sans(11, true)
	labelFont = sans(10, false)
	boldFont  = sans(10, true)
	tickFont  = sans(9, false)
	smallFont = sans(8, false)
)

func sans(pt float64, bold bool) font.Font {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Points(pt)}
	if bold {
		f.Weight = stdfont.WeightBold
	}
	return f
}

// seriesColor is the colour asked for, or that of the i-th place in the palette.
func seriesColor(asked color.Color, i int) color.RGBA {
	if asked == nil {
		return Palette[i%len(Palette)]
	}
	return color.RGBAModel.Convert(asked).(color.RGBA)
}

// seriesDashes tells apart series that share a colour once the palette is used
// up: the second round is dashed, the third dotted. Lengths are in pixels.
func seriesDashes(i int, dashed bool) []float64 {
	styles := [][]float64{nil, {12, 6}, {3, 5}, {14, 5, 3, 5}}
	k := i / len(Palette)
	if dashed {
		k++
	}
	return styles[k%len(styles)]
}

// tint mixes a colour with white: 0 is white, 1 the colour itself. Opaque tints
// rather than transparency keep PNGs small and colours testable.
func tint(c color.RGBA, t float64) color.RGBA {
	mix := func(v uint8) uint8 { return uint8(255 - t*(255-float64(v)) + 0.5) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 0xFF}
}

// withAlpha is the premultiplied form of c with the given opacity.
func withAlpha(c color.RGBA, a float64) color.RGBA {
	mul := func(v uint8) uint8 { return uint8(float64(v)*a + 0.5) }
	return color.RGBA{mul(c.R), mul(c.G), mul(c.B), mul(0xFF)}
}

// luminance weighs the channels as Rec. 709 does, without undoing the gamma:
// enough to choose between black and white text.
func luminance(c color.RGBA) float64 {
	return (0.2126*float64(c.R) + 0.7152*float64(c.G) + 0.0722*float64(c.B)) / 255
}

// textOn is the ink that is readable on the given ground.
func textOn(ground color.RGBA) color.RGBA {
	if luminance(ground) < 0.5 {
		return white
	}
	return ink
}
