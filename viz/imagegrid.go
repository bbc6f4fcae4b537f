package viz

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
)

// ImageGridOptions are the settings of [ImageGrid].
type ImageGridOptions struct {
	Title     string
	Cols      int      // images a row; 0 means up to 6
	Scale     int      // size of a pixel on the page; 0 chooses 1 to 4 so that a row fits 15 cm
	Captions  []string // nil, or one an image; wrapped to three lines at most
	Wrong     []bool   // nil, or one an image: a thick vermillion border, explained in the legend
	ColTitles []string // nil, or one a column
	RowTitles []string // nil, or one a row
}

// ImageGrid shows images row by row, each pixel as a square of Scale x Scale.
func ImageGrid(opt ImageGridOptions, images Images) (*Figure, error) {
	fig, err := imageGrid(opt, images)
	if err != nil {
		return nil, fmt.Errorf("viz: image grid: %w", err)
	}
	return fig, nil
}

func imageGrid(opt ImageGridOptions, images Images) (*Figure, error) {
	n := images.N
	if n == 0 {
		return nil, fmt.Errorf("no images: want the result of Uint8Images or FloatImages")
	}
	if err := images.check(); err != nil {
		return nil, err
	}
	if opt.Cols < 0 || opt.Scale < 0 || opt.Scale > 64 {
		return nil, fmt.Errorf("%d columns at scale %d: want 0 or more columns and a scale of 0 to 64", opt.Cols, opt.Scale)
	}
	if opt.Captions != nil && len(opt.Captions) != n {
		return nil, fmt.Errorf("%d captions for %d images: want as many, or none", len(opt.Captions), n)
	}
	if opt.Wrong != nil && len(opt.Wrong) != n {
		return nil, fmt.Errorf("%d marks of wrong predictions for %d images: want as many, or none", len(opt.Wrong), n)
	}
	cols := opt.Cols
	if cols == 0 {
		cols = defCols
	}
	cols = min(cols, n)
	rows := (n + cols - 1) / cols
	if opt.ColTitles != nil && len(opt.ColTitles) != cols || opt.RowTitles != nil && len(opt.RowTitles) != rows {
		return nil, fmt.Errorf("%d column and %d row titles for %d images in %d columns and %d rows: want as many, or none",
			len(opt.ColTitles), len(opt.RowTitles), n, cols, rows)
	}
	g := mosaic{title: opt.Title, h: images.H, w: images.W, c: images.C, scale: opt.Scale,
		cols: cols, colTitles: opt.ColTitles, rowTitles: opt.RowTitles}
	for i := range n {
		t := tile{pix: images.one(i)}
		if opt.Captions != nil {
			t.caption = opt.Captions[i]
		}
		t.wrong = opt.Wrong != nil && opt.Wrong[i]
		g.tiles = append(g.tiles, t)
	}
	if opt.Wrong != nil {
		g.entries = []entry{wrongEntry}
	}
	return g.draw()
}

// defCols lets a row of 32 x 32 images fit 15 cm at three times their size.
const defCols = 6

var wrongEntry = entry{name: "wrong prediction", draw: func(p *page, box image.Rectangle) {
	p.border(box, frame-1, wrongRed)
}}

// tile is one place of a mosaic; without pixels it stays empty.
type tile struct {
	pix     []float32
	caption string
	wrong   bool
}

// mosaic lays tiles of one size out in rows.
type mosaic struct {
	title                string
	entries              []entry
	h, w, c              int
	scale                int
	cols                 int
	tiles                []tile
	colTitles, rowTitles []string
	blockRows            int // extra space after every so many rows; 0 means none
}

const (
	frame     = 5   // room for a border around each image
	tileGap   = 6   // between frames
	minMosaic = 440 // width in pixels that leaves a title readable
)

func (g *mosaic) draw() (*Figure, error) {
	rowRoom := 0
	for _, s := range g.rowTitles {
		rowRoom = max(rowRoom, int(textWidth(tickFont, wrapped(tickFont, s, 150, 4)))+gap)
	}
	if g.scale == 0 {
		page := defPixels - 2*outer - rowRoom
		g.scale = max(1, min(4, (page/g.cols-2*frame-tileGap)/g.w))
	}
	imgW, imgH := g.w*g.scale, g.h*g.scale
	stepX := imgW + 2*frame + tileGap
	width := max(minMosaic, 2*outer+rowRoom+g.cols*stepX)
	head := newHeader(g.title, g.entries, width)
	y0 := head.height()
	if len(g.colTitles) > 0 {
		y0 += blockHeight(tickFont, g.titleLines(float64(stepX-4)))
	}

	captions := g.wrapCaptions(float64(stepX - 4))
	rows := (len(g.tiles) + g.cols - 1) / g.cols
	tops := make([]int, rows+1)
	tops[0] = y0
	for r := range rows {
		lines := 0
		for i := r * g.cols; i < min(len(g.tiles), (r+1)*g.cols); i++ {
			lines = max(lines, len(captions[i]))
		}
		tops[r+1] = tops[r] + imgH + 2*frame + tileGap + blockHeight(smallFont, lines)
		if lines > 0 {
			tops[r+1] += 2
		}
		if g.blockRows > 0 && (r+1)%g.blockRows == 0 && r+1 < rows {
			tops[r+1] += 3 * gap
		}
	}
	p, err := newPage(width, tops[rows]+outer-tileGap)
	if err != nil {
		return nil, err
	}
	head.write(p)
	x0 := outer + rowRoom
	for j, s := range g.colTitles {
		x := float64(x0+j*stepX) + float64(stepX-tileGap)/2
		p.text(tickFont, ink, x, float64(head.height()), center, top, wrapped(tickFont, s, float64(stepX-4), 3))
	}
	for i, s := range g.rowTitles {
		y := float64(tops[i]+frame) + float64(imgH)/2
		p.text(tickFont, ink, outer, y, left, center, wrapped(tickFont, s, 150, 4))
	}
	for i, t := range g.tiles {
		if t.pix == nil {
			continue
		}
		at := image.Pt(x0+i%g.cols*stepX+frame, tops[i/g.cols]+frame)
		box := image.Rect(at.X, at.Y, at.X+imgW, at.Y+imgH)
		g.drawTile(p, box, t)
		for k, line := range captions[i] {
			y := float64(box.Max.Y+frame+4) + float64(k)*lineHeight(smallFont)
			p.text(smallFont, softInk, float64(box.Min.X+box.Max.X)/2, y, center, top, line)
		}
	}
	return p.figure(), nil
}

func (g *mosaic) drawTile(p *page, box image.Rectangle, t tile) {
	if t.wrong {
		p.border(box.Inset(-frame), frame-1, wrongRed)
	} else {
		p.border(box.Inset(-1), 1, color.Gray{0xD0})
	}
	draw.Draw(p.img, box, raster(t.pix, g.h, g.w, g.c, g.scale), image.Point{}, draw.Src)
}

func (g *mosaic) titleLines(width float64) int {
	lines := 0
	for _, s := range g.colTitles {
		lines = max(lines, len(wrap(tickFont, s, width, 3)))
	}
	return lines
}

func (g *mosaic) wrapCaptions(width float64) [][]string {
	all := make([][]string, len(g.tiles))
	for i, t := range g.tiles {
		if t.caption != "" {
			all[i] = wrap(smallFont, t.caption, width, 3)
		}
	}
	return all
}
