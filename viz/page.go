package viz

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// fonts is a cache of our own, so that nobody's change of gonum/plot's default
// cache changes these figures.
var fonts = font.NewCache(liberation.Collection())

// maxPixels bounds a figure (about 8000 x 8000), so that a wrong size is an
// error and not an exhausted memory.
const maxPixels = 64 << 20

// page is a white sheet addressed in pixels, origin at the top left, y down.
// It mixes exact pixel work (fills, images) with gonum's vector drawing.
type page struct {
	w, h int
	vec  *vgimg.Canvas
	img  draw.Image
}

func newPage(w, h int) (*page, error) {
	if w < 1 || h < 1 || w > maxPixels/h {
		return nil, fmt.Errorf("figure of %d x %d pixels: want at least 1 x 1 and at most %d pixels in all", w, h, maxPixels)
	}
	c := vgimg.NewWith(vgimg.UseImage(image.NewRGBA(image.Rect(0, 0, w, h))), vgimg.UseDPI(dpi))
	return &page{w: w, h: h, vec: c, img: c.Image()}, nil
}

func (p *page) figure() *Figure {
	return &Figure{img: p.img.(*image.RGBA)}
}

// pt turns pixels into gonum's points with y up.
func (p *page) pt(x, y float64) vg.Point {
	return vg.Point{X: vg.Length(x / pxPerPt), Y: vg.Length((float64(p.h) - y) / pxPerPt)}
}

// fill paints whole pixels.
func (p *page) fill(r image.Rectangle, c color.Color) {
	draw.Draw(p.img, r, image.NewUniform(c), image.Point{}, draw.Over)
}

// border paints a frame of the given thickness just inside r.
func (p *page) border(r image.Rectangle, thick int, c color.Color) {
	p.fill(image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+thick), c)
	p.fill(image.Rect(r.Min.X, r.Max.Y-thick, r.Max.X, r.Max.Y), c)
	p.fill(image.Rect(r.Min.X, r.Min.Y+thick, r.Min.X+thick, r.Max.Y-thick), c)
	p.fill(image.Rect(r.Max.X-thick, r.Min.Y+thick, r.Max.X, r.Max.Y-thick), c)
}

// hatch paints slanted lines and a frame, through which the ground still shows.
func (p *page) hatch(r image.Rectangle, c color.Color) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if (x+y)%7 < 2 {
				p.img.Set(x, y, c)
			}
		}
	}
	p.border(r, min(2, r.Dy()), c)
}

// hline and vline are one-pixel rules.
func (p *page) hline(x0, x1, y int, c color.Color) { p.fill(image.Rect(x0, y, x1, y+1), c) }
func (p *page) vline(x, y0, y1 int, c color.Color) { p.fill(image.Rect(x, y0, x+1, y1), c) }

// pen is a stroke: width and dashes in pixels.
type pen struct {
	color  color.Color
	width  float64
	dashes []float64
}

// stroke draws one open polyline, clipped to clip when that is not empty.
func (p *page) stroke(s pen, clip image.Rectangle, pts ...[2]float64) {
	line := make([]vg.Point, len(pts))
	for i, q := range pts {
		line[i] = p.pt(q[0], q[1])
	}
	dashes := make([]vg.Length, len(s.dashes))
	for i, d := range s.dashes {
		dashes[i] = vg.Length(d / pxPerPt)
	}
	style := vgdraw.LineStyle{Color: s.color, Width: vg.Length(s.width / pxPerPt), Dashes: dashes}
	c := p.canvas(clip)
	lines := [][]vg.Point{line}
	if !clip.Empty() {
		lines = c.ClipLinesXY(line)
	}
	c.StrokeLines(style, lines...)
}

// polygon fills a closed polygon, clipped to clip when that is not empty.
func (p *page) polygon(col color.Color, clip image.Rectangle, pts ...[2]float64) {
	poly := make([]vg.Point, len(pts))
	for i, q := range pts {
		poly[i] = p.pt(q[0], q[1])
	}
	c := p.canvas(clip)
	if !clip.Empty() {
		poly = c.ClipPolygonXY(poly)
	}
	if len(poly) > 2 {
		c.FillPolygon(col, poly)
	}
}

// disc fills a circle.
func (p *page) disc(x, y, r float64, c color.Color) {
	at := p.pt(x, y)
	radius := vg.Length(r / pxPerPt)
	var path vg.Path
	path.Move(vg.Point{X: at.X + radius, Y: at.Y})
	path.Arc(at, radius, 0, 2*math.Pi)
	path.Close()
	p.vec.SetColor(c)
	p.vec.Fill(path)
}

func (p *page) canvas(clip image.Rectangle) vgdraw.Canvas {
	if clip.Empty() {
		clip = image.Rect(0, 0, p.w, p.h)
	}
	return vgdraw.Canvas{Canvas: p.vec, Rectangle: vg.Rectangle{
		Min: p.pt(float64(clip.Min.X), float64(clip.Max.Y)),
		Max: p.pt(float64(clip.Max.X), float64(clip.Min.Y)),
	}}
}

// Anchors of text: which point of its box stands at the given position. The
// vertical box of a line runs from the height of capitals to the baseline.
const (
	left, top     = 0.0, 0.0
	center        = 0.5
	right, bottom = 1.0, 1.0
)

// text writes s, possibly of several lines, with its box anchored at (x, y).
func (p *page) text(f font.Font, c color.Color, x, y, ax, ay float64, s string) {
	lines := strings.Split(s, "\n")
	total := capHeight(f) + float64(len(lines)-1)*lineHeight(f)
	base := math.Round(y - ay*total + capHeight(f))
	for i, line := range lines {
		p.drawString(f, c, x-ax*textWidth(f, line), base+float64(i)*lineHeight(f), line)
	}
}

// plate writes s centred at (x, y) on a ground that covers what is below.
func (p *page) plate(f font.Font, c, ground color.Color, x, y float64, s string) {
	w, h := textWidth(f, s)/2+3, capHeight(f)/2+3
	p.fill(image.Rect(int(x-w), int(y-h), int(x+w+1), int(y+h+1)), ground)
	p.text(f, c, x, y, center, center, s)
}

// rotated writes one line turned counter-clockwise by angle (radians) about its
// anchor.
func (p *page) rotated(f font.Font, c color.Color, x, y, ax, ay, angle float64, s string) {
	p.vec.Push()
	defer p.vec.Pop()
	p.vec.Translate(p.pt(x, y))
	p.vec.Rotate(angle)
	p.vec.SetColor(c)
	at := vg.Point{
		X: vg.Length(-ax * textWidth(f, s) / pxPerPt),
		Y: vg.Length((ay - 1) * capHeight(f) / pxPerPt),
	}
	p.vec.FillString(fonts.Lookup(f, f.Size), at, clean(s))
}

func (p *page) drawString(f font.Font, c color.Color, x, baseline float64, s string) {
	p.vec.SetColor(c)
	p.vec.FillString(fonts.Lookup(f, f.Size), p.pt(x, baseline), clean(s))
}
