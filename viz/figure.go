package viz

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
)

// Figure is a finished picture, the result of every plotting function.
type Figure struct {
	img *image.RGBA
}

var errNilFigure = errors.New("viz: no figure (nil or zero value): want the result of a plotting function")

// Image returns the pixels (nil for the zero Figure). They are shared, not copied.
func (f *Figure) Image() image.Image {
	if f == nil || f.img == nil {
		return nil
	}
	return f.img
}

// PNG encodes the figure.
func (f *Figure) PNG() ([]byte, error) {
	if f == nil || f.img == nil {
		return nil, errNilFigure
	}
	if list := shades(f.img); len(list) <= paletteSize {
		return encode(paletted(f.img, choose(list)))
	}
	return encode(f.img)
}

func encode(img image.Image) ([]byte, error) {
	var buf bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&buf, img); err != nil {
		return nil, fmt.Errorf("viz: encode figure: %w", err)
	}
	return buf.Bytes(), nil
}

// Save writes the figure to path, which must end in .png. The file appears
// whole or not at all: it is written beside its place and then renamed. The
// folder must exist.
func Save(fig *Figure, path string) error {
	if ext := filepath.Ext(path); !strings.EqualFold(ext, ".png") {
		return fmt.Errorf("viz: save %q: file name ends in %q: want .png", path, ext)
	}
	data, err := fig.PNG()
	if err != nil {
		return err
	}
	if err := writeAtomic(path, data); err != nil {
		return fmt.Errorf("viz: save %q: %w", path, err)
	}
	return nil
}

func writeAtomic(path string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// Grid puts figures side by side, cols to a row (0 means all in one row), each
// at its own size, rows aligned at the top. With figures made narrower by their
// Width option, two or three fit the width of a notebook.
func Grid(cols int, figs ...*Figure) (*Figure, error) {
	if len(figs) == 0 || cols < 0 {
		return nil, fmt.Errorf("viz: grid: %d figures in %d columns: want at least one figure, and 0 or more columns", len(figs), cols)
	}
	if cols == 0 {
		cols = len(figs)
	}
	cols = min(cols, len(figs))
	rows := (len(figs) + cols - 1) / cols
	widths, heights := make([]int, cols), make([]int, rows)
	for i, f := range figs {
		if f == nil || f.img == nil {
			return nil, fmt.Errorf("viz: grid: figure %d: %w", i, errNilFigure)
		}
		widths[i%cols] = max(widths[i%cols], f.img.Bounds().Dx())
		heights[i/cols] = max(heights[i/cols], f.img.Bounds().Dy())
	}
	p, err := newPage(sum(widths), sum(heights))
	if err != nil {
		return nil, fmt.Errorf("viz: grid: %w", err)
	}
	for i, f := range figs {
		at := image.Pt(sum(widths[:i%cols]), sum(heights[:i/cols]))
		draw.Draw(p.img, f.img.Bounds().Add(at), f.img, image.Point{}, draw.Src)
	}
	return p.figure(), nil
}

func sum(v []int) int {
	total := 0
	for _, x := range v {
		total += x
	}
	return total
}
