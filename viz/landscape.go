package viz

import (
	"fmt"
	"image"
	"math"
)

// LandscapeOptions are the settings of [Landscape].
type LandscapeOptions struct {
	Title, XLabel, YLabel string
	ColorLabel            string     // beside the colour bar, such as "loss"
	Width, Height         float64    // cm; 0 means 13 x 11
	LogZ                  bool       // colours and contours evenly in log z; z must be positive
	Range                 [2]float64 // of colours and contours; zero means: of the data
	Levels                int        // at most about so many contours; 0 means 12
	Origin                bool       // mark (0, 0), the place of the trained weights
}

// Landscape draws z[row][col], the value at (x[col], y[row]), as a filled
// surface (bilinear between the grid points) with contour lines. x and y must
// increase. Cells with a corner that is not finite (or not positive with LogZ)
// are grey.
func Landscape(opt LandscapeOptions, x, y []float64, z [][]float64) (*Figure, error) {
	fig, err := landscape(opt, x, y, z)
	if err != nil {
		return nil, fmt.Errorf("viz: landscape: %w", err)
	}
	return fig, nil
}

func landscape(opt LandscapeOptions, xs, ys []float64, z [][]float64) (*Figure, error) {
	if err := checkGrid(xs, ys, z); err != nil {
		return nil, err
	}
	s := &surface{xs: xs, ys: ys, z: z, log: opt.LogZ}
	lo, hi := s.span()
	if lo > hi {
		return nil, fmt.Errorf("none of the %d x %d values can be drawn: want finite ones, positive with LogZ", len(ys), len(xs))
	}
	if opt.Levels < 0 || opt.Levels > 100 {
		return nil, fmt.Errorf("%d contour levels: want 1 to 100, or 0 for 12", opt.Levels)
	}
	var err error
	if s.scale, err = surfaceScale(opt, lo, hi); err != nil {
		return nil, err
	}
	sh := sheet{title: opt.Title, width: opt.Width, height: opt.Height}
	if sh.width == 0 {
		sh.width = 13
	}
	if sh.height == 0 {
		sh.height = 11
	}
	p, room, err := sh.open()
	if err != nil {
		return nil, err
	}
	s.scale.setTicks(6)
	room.Max.X -= colorBarRoom(s.scale, opt.ColorLabel) + 2*gap
	s.a = newAxes(p, room, axis{label: opt.XLabel, min: xs[0], max: xs[len(xs)-1]}, axis{label: opt.YLabel, min: ys[0], max: ys[len(ys)-1]}, 0)
	s.fill()
	levels := opt.Levels
	if levels == 0 {
		levels = 12
	}
	s.drawContours(levels)
	if q := s.a.at(0, 0); opt.Origin && image.Pt(int(q[0]), int(q[1])).In(s.a.box) {
		cross(p, q)
	}
	s.a.drawFrame()
	box := s.a.box
	colorBar(p, image.Rect(box.Max.X+2*gap, box.Min.Y, box.Max.X+2*gap+barWidth, box.Max.Y), viridis, s.scale, opt.ColorLabel)
	return p.figure(), nil
}

func checkGrid(xs, ys []float64, z [][]float64) error {
	if len(xs) < 2 || len(ys) < 2 || len(z) != len(ys) {
		return fmt.Errorf("%d x, %d y and %d rows of z: want at least two x and two y, and one row of z for each y", len(xs), len(ys), len(z))
	}
	for i, row := range z {
		if len(row) != len(xs) {
			return fmt.Errorf("row %d of z has %d values for %d x: want one for each x", i, len(row), len(xs))
		}
	}
	if err := checkIncreasing("x", xs); err != nil {
		return err
	}
	return checkIncreasing("y", ys)
}

func checkIncreasing(name string, v []float64) error {
	for i := range v {
		if !usable(v[i]) || i > 0 && !(v[i] > v[i-1]) || !usable(v[i]-v[0]) {
			return fmt.Errorf("%s[%d] = %g: want finite values, each larger than the one before", name, i, v[i])
		}
	}
	return nil
}

// surfaceScale is the scale of colours: the data exactly, or a range around a
// constant.
func surfaceScale(opt LandscapeOptions, lo, hi float64) (axis, error) {
	if !opt.LogZ {
		return colorScale(opt.ColorLabel, lo, hi, opt.Range)
	}
	a, err := newAxis(opt.ColorLabel, lo, hi, opt.Range, true)
	if err == nil && opt.Range == [2]float64{} && hi/lo >= 1+1e-9 {
		a.min, a.max = lo, hi
	}
	return a, err
}

type surface struct {
	xs, ys []float64
	z      [][]float64
	log    bool
	scale  axis
	a      *axes
}

func (s *surface) ok(v float64) bool { return usable(v) && (!s.log || v > 0) }

func (s *surface) span() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, row := range s.z {
		for _, v := range row {
			if s.ok(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	return lo, hi
}

// fill colours every pixel of the box by bilinear interpolation of the colour
// scale's position.
func (s *surface) fill() {
	box := s.a.box
	col, fx := cells(s.xs, box.Dx(), func(i int) float64 {
		return s.a.x.min + (float64(i)+0.5)/float64(box.Dx())*(s.a.x.max-s.a.x.min)
	})
	row, fy := cells(s.ys, box.Dy(), func(i int) float64 {
		return s.a.y.max - (float64(i)+0.5)/float64(box.Dy())*(s.a.y.max-s.a.y.min)
	})
	for py := range box.Dy() {
		for px := range box.Dx() {
			i, j, u, v := row[py], col[px], fx[px], fy[py]
			z00, z01, z10, z11 := s.z[i][j], s.z[i][j+1], s.z[i+1][j], s.z[i+1][j+1]
			c := noValue
			if s.ok(z00) && s.ok(z01) && s.ok(z10) && s.ok(z11) {
				t := (1-v)*((1-u)*s.scale.norm(z00)+u*s.scale.norm(z01)) + v*((1-u)*s.scale.norm(z10)+u*s.scale.norm(z11))
				c = viridis.at(t)
			}
			s.a.p.img.Set(box.Min.X+px, box.Min.Y+py, c)
		}
	}
}

// cells finds, for n pixels, the grid interval each lies in and how far (0..1).
func cells(grid []float64, n int, at func(int) float64) (index []int, frac []float64) {
	index, frac = make([]int, n), make([]float64, n)
	for p := range n {
		v, k := at(p), 0
		for k < len(grid)-2 && v > grid[k+1] {
			k++
		}
		index[p], frac[p] = k, min(max((v-grid[k])/(grid[k+1]-grid[k]), 0), 1)
	}
	return index, frac
}

// cross marks a point so that it shows on light and dark ground.
func cross(p *page, q [2]float64) {
	for _, s := range []pen{{white, 7, nil}, {wrongRed, 3.5, nil}} {
		p.stroke(s, image.Rectangle{}, [2]float64{q[0] - 9, q[1] - 9}, [2]float64{q[0] + 9, q[1] + 9})
		p.stroke(s, image.Rectangle{}, [2]float64{q[0] - 9, q[1] + 9}, [2]float64{q[0] + 9, q[1] - 9})
	}
}
