package viz

import (
	"fmt"
	"image"
	"math"
	"strconv"
)

// HeatmapOptions are the settings of [Heatmap].
type HeatmapOptions struct {
	Title, XLabel, YLabel string
	Width                 float64    // cm; 0 means 15. The height follows from the rows.
	Rows, Cols            []string   // names; nil means 0, 1, 2, ...
	Diverging             bool       // blue-white-orange around 0 instead of viridis
	Range                 [2]float64 // of the colours; zero means: of the data (symmetric when Diverging)
	NoValues              bool       // do not write the values into the cells
	Format                string     // of the values, such as "%.2f"; "" chooses
	ColorLabel            string     // beside the colour bar
}

// Heatmap draws values[row][col], row 0 at the top, as coloured cells with the
// values written in them where they fit. Values beyond Range take the colour of
// its end; NaN and infinite values are grey cells marked with their name.
func Heatmap(opt HeatmapOptions, values [][]float64) (*Figure, error) {
	h, err := newHeatmap(opt, values)
	if err == nil {
		var fig *Figure
		if fig, err = h.draw(); err == nil {
			return fig, nil
		}
	}
	return nil, fmt.Errorf("viz: heatmap: %w", err)
}

type heatmap struct {
	HeatmapOptions
	numbered bool // no names were given for the columns
	values   [][]float64
	colors   colorMap
	scale    axis
	largest  float64
}

func newHeatmap(opt HeatmapOptions, values [][]float64) (*heatmap, error) {
	if len(values) == 0 || len(values[0]) == 0 {
		return nil, fmt.Errorf("no values: want at least one row and one column")
	}
	h := &heatmap{HeatmapOptions: opt, numbered: opt.Cols == nil, values: values, colors: viridis}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, row := range values {
		if len(row) != len(values[0]) {
			return nil, fmt.Errorf("row %d has %d values and row 0 has %d: want as many", i, len(row), len(values[0]))
		}
		for _, v := range row {
			if usable(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if lo > hi {
		return nil, fmt.Errorf("none of the %d x %d values is finite", len(values), len(values[0]))
	}
	h.largest = max(math.Abs(lo), math.Abs(hi))
	var err error
	if h.Rows, err = names("row", opt.Rows, len(values)); err != nil {
		return nil, err
	}
	if h.Cols, err = names("column", opt.Cols, len(values[0])); err != nil {
		return nil, err
	}
	if opt.Diverging {
		h.colors = blueOrange
		lo, hi = -h.largest, h.largest
	}
	h.scale, err = colorScale(opt.ColorLabel, lo, hi, opt.Range)
	return h, err
}

// colorScale is an axis without margins.
func colorScale(label string, lo, hi float64, asked [2]float64) (axis, error) {
	if !usable(hi - lo) {
		return axis{}, fmt.Errorf("values span [%g, %g]: want a width of at most 1e300", lo, hi)
	}
	a, err := newAxis(label, lo, hi, asked, false)
	if constant := hi-lo <= 1e-9*max(math.Abs(lo), math.Abs(hi)) || hi-lo < 1e-290; err == nil && asked == [2]float64{} && !constant {
		a.min, a.max = lo, hi
	}
	return a, err
}

// names returns the given names, or numbers from 0.
func names(what string, given []string, n int) ([]string, error) {
	if given != nil && len(given) != n {
		return nil, fmt.Errorf("%d %s names for %d %ss: want as many, or none", len(given), what, n, what)
	}
	if given != nil {
		return given, nil
	}
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i)
	}
	return numbers, nil
}

func (h *heatmap) draw() (*Figure, error) {
	width, err := pixels("width", h.Width, defWidth)
	if err != nil {
		return nil, err
	}
	rows, cols := len(h.values), len(h.values[0])

	rowRoom := 0.0
	for _, s := range h.Rows {
		rowRoom = max(rowRoom, textWidth(tickFont, s))
	}
	rowRoom = min(rowRoom, 0.35*float64(width))
	x0 := outer + int(rowRoom) + gap
	if h.YLabel != "" {
		x0 += int(lineHeight(labelFont)) + 4
	}
	h.scale.setTicks(5)
	barRoom := 2*gap + colorBarRoom(h.scale, h.ColorLabel)
	cellW := min((width-outer-barRoom-x0)/cols, 130)
	if cellW < 2 {
		return nil, fmt.Errorf("%d columns are too many for %d pixels: want a larger Width, or fewer columns", cols, width)
	}
	cellH := min(cellW, 60)

	bottomRoom, slanted := h.colRoom(cellW)
	head := newHeader(h.Title, nil, width)
	y0 := head.height() + gap
	height := y0 + rows*cellH + bottomRoom + outer
	if h.XLabel != "" {
		height += int(lineHeight(labelFont)) + 4
	}
	p, err := newPage(width, height)
	if err != nil {
		return nil, err
	}
	head.write(p)
	box := image.Rect(x0, y0, x0+cols*cellW, y0+rows*cellH)
	h.drawCells(p, box, cellW, cellH)
	h.drawNames(p, box, cellW, cellH, rowRoom, slanted)

	bar := image.Rect(box.Max.X+2*gap, box.Min.Y, box.Max.X+2*gap+barWidth, box.Max.Y)
	h.scale.setTicks(max(1, min(6, bar.Dy()/40)))
	colorBar(p, bar, h.colors, h.scale, h.ColorLabel)
	if h.XLabel != "" {
		s := truncate(labelFont, h.XLabel, float64(width-2*outer))
		x := keepInside(float64(box.Min.X+box.Max.X)/2, textWidth(labelFont, s), outer, float64(width-outer))
		p.text(labelFont, ink, x, float64(p.h-outer)-4, center, bottom, s)
	}
	if h.YLabel != "" {
		s := truncate(labelFont, h.YLabel, float64(p.h-2*outer))
		y := keepInside(float64(box.Min.Y+box.Max.Y)/2, textWidth(labelFont, s), outer, float64(p.h-outer))
		p.rotated(labelFont, ink, outer, y, center, top, quarterTurn, s)
	}
	return p.figure(), nil
}

// colRoom is the height of the column names, and whether they are slanted
// because they do not fit their cells.
func (h *heatmap) colRoom(cellW int) (room int, slanted bool) {
	longest := 0.0
	for _, s := range h.Cols {
		longest = max(longest, textWidth(tickFont, s))
	}
	if longest <= float64(cellW-4) {
		return gap + int(capHeight(tickFont)) + gap, false
	}
	if h.numbered {
		return gap + int(capHeight(tickFont)) + gap, false // numbers are thinned out instead
	}
	longest = min(longest, 220)
	return gap + int(longest*math.Sin(slant)+capHeight(tickFont)*math.Cos(slant)) + gap, true
}

func (h *heatmap) drawCells(p *page, box image.Rectangle, cellW, cellH int) {
	texts := make([][]string, len(h.values))
	widest := 0.0
	for i, row := range h.values {
		texts[i] = make([]string, len(row))
		for j, v := range row {
			texts[i][j] = h.value(v)
			widest = max(widest, textWidth(smallFont, texts[i][j]))
		}
	}
	write := !h.NoValues && widest <= float64(cellW-4) && capHeight(smallFont)+4 <= float64(cellH)
	for i, row := range h.values {
		for j, v := range row {
			x, y := box.Min.X+j*cellW, box.Min.Y+i*cellH
			ground := noValue
			if usable(v) {
				ground = h.colors.at(h.scale.norm(v))
			}
			p.fill(image.Rect(x, y, x+cellW, y+cellH), ground)
			if write {
				p.text(smallFont, textOn(ground), float64(x)+float64(cellW)/2, float64(y)+float64(cellH)/2, center, center, texts[i][j])
			}
		}
	}
	p.border(box.Inset(-1), 1, frameGrey)
}

func (h *heatmap) value(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case !usable(v) && v < 0:
		return "-inf"
	case !usable(v):
		return "inf"
	case h.Format != "":
		return fmt.Sprintf(h.Format, v)
	default:
		return autoFormat(v, h.largest)
	}
}

// drawNames writes the names of rows and columns, every k-th when cells are
// smaller than the text.
func (h *heatmap) drawNames(p *page, box image.Rectangle, cellW, cellH int, rowRoom float64, slanted bool) {
	every := roundStep(int(capHeight(tickFont)+3)/cellH + 1)
	for i := 0; i < len(h.Rows); i += every {
		y := float64(box.Min.Y) + (float64(i)+0.5)*float64(cellH)
		p.text(tickFont, softInk, float64(box.Min.X-gap), y, right, center, truncate(tickFont, h.Rows[i], rowRoom))
	}
	need := textWidth(tickFont, "000")
	if slanted {
		need = 1.3 * capHeight(tickFont) / math.Sin(slant)
	}
	every = 1
	if slanted || h.numbered {
		every = roundStep(int(need)/cellW + 1)
	}
	for j := 0; j < len(h.Cols); j += every {
		x, y := float64(box.Min.X)+(float64(j)+0.5)*float64(cellW), float64(box.Max.Y+gap)
		if slanted {
			p.rotated(tickFont, softInk, x+4, y, right, top, slant, slantedName(h.Cols[j], x))
		} else {
			p.text(tickFont, softInk, x, y, center, top, h.Cols[j])
		}
	}
}

// roundStep is the smallest of 1, 2, 5, 10, 20, 50, ... that is at least n.
func roundStep(n int) int {
	for power := 1; ; power *= 10 {
		for _, m := range []int{1, 2, 5} {
			if m*power >= n {
				return m * power
			}
		}
	}
}
