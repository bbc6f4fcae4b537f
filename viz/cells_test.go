package viz

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"testing"
)

func TestHeatmapColours(t *testing.T) {
	// One row 0, 1, ..., 9: the colours along its middle must be ten plain
	// stretches in the order of the map.
	row := make([]float64, 10)
	for i := range row {
		row[i] = float64(i)
	}
	for _, tc := range []struct {
		name string
		opt  HeatmapOptions
		want func(v float64) color.RGBA
	}{
		{"data range", HeatmapOptions{}, func(v float64) color.RGBA { return viridis.at(v / 9) }},
		{"clipped", HeatmapOptions{Range: [2]float64{2, 5}}, func(v float64) color.RGBA { return viridis.at((v - 2) / 3) }},
		{"diverging", HeatmapOptions{Diverging: true}, func(v float64) color.RGBA { return blueOrange.at((v + 9) / 18) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opt.NoValues = true
			m := must(t)(Heatmap(tc.opt, [][]float64{row}))
			cells := firstRowColours(m, tc.want(0))
			for i, v := range row {
				if cells[i] != tc.want(v) {
					t.Errorf("cell of %g has colour %v, want %v", v, cells[i], tc.want(v))
				}
			}
		})
	}
}

// firstRowColours finds the leftmost column of cells by its colour and reads the
// colours of ten cells to the right of it.
func firstRowColours(m *image.RGBA, first color.RGBA) []color.RGBA {
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			if m.RGBAAt(x, y) != first || m.RGBAAt(x+20, y+5) != first {
				continue
			}
			width := 0
			for b := m.RGBAAt(x, y+5); m.RGBAAt(x+width, y+5) == b; width++ {
			}
			if width > 100 { // equal neighbours (clipped values): take their common width
				width /= 3
			}
			colours := make([]color.RGBA, 10)
			for i := range colours {
				colours[i] = m.RGBAAt(x+width*i+width/2, y+5)
			}
			return colours
		}
	}
	return make([]color.RGBA, 10)
}

func TestHeatmapMarksWhatIsNotFinite(t *testing.T) {
	m := must(t)(Heatmap(HeatmapOptions{NoValues: true, Width: 8}, [][]float64{{0, math.NaN()}, {math.Inf(-1), 1}}))
	grey, low, high := count(m, noValue), count(m, viridis.at(0)), count(m, viridis.at(1))
	// Two of four cells are grey; the colour bar adds a line to the other two.
	if grey < 2*low-200 || grey > 2*low+200 || low < 1000 || math.Abs(float64(low-high)) > 200 {
		t.Errorf("%d grey pixels, %d of the lowest and %d of the highest colour: want 2 : 1 : 1", grey, low, high)
	}
}

func count(m *image.RGBA, c color.RGBA) int {
	n := 0
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			if m.RGBAAt(x, y) == c {
				n++
			}
		}
	}
	return n
}

func TestColourMaps(t *testing.T) {
	for i := range 100 {
		a, b := luminance(viridis.at(float64(i)/100)), luminance(viridis.at(float64(i+1)/100))
		if b < a {
			t.Errorf("viridis darkens from %g to %g at %d %%", a, b, i)
		}
		if i < 50 {
			l, r := luminance(blueOrange.at(float64(i)/100)), luminance(blueOrange.at(1-float64(i)/100))
			if math.Abs(l-r) > 0.12 {
				t.Errorf("diverging map: luminance %g at %d %% and %g at %d %%, want about the same", l, i, r, 100-i)
			}
		}
	}
}

func TestImageGridShowsEveryPixel(t *testing.T) {
	const n, scale = 7, 3
	pix := testImages(n)
	floats := make([]float32, len(pix))
	for i, v := range pix {
		floats[i] = float32(v) / 255
	}
	a, err := Uint8Images(pix, 32, 32, 3)
	if err != nil {
		t.Fatal(err)
	}
	b, err := FloatImages(floats, 32, 32, 3)
	if err != nil {
		t.Fatal(err)
	}
	for name, images := range map[string]Images{"uint8": a, "float": b} {
		wrong := make([]bool, n)
		wrong[5] = true
		m := must(t)(ImageGrid(ImageGridOptions{Cols: 3, Scale: scale, Wrong: wrong}, images))
		var at []image.Point
		for k := range n {
			block := image.NewRGBA(image.Rect(0, 0, 32*scale, 32*scale))
			for y := range 32 * scale {
				for x := range 32 * scale {
					o := ((k*32+y/scale)*32 + x/scale) * 3
					block.SetRGBA(x, y, color.RGBA{pix[o], pix[o+1], pix[o+2], 255})
				}
			}
			at = append(at, find(t, m, block))
		}
		for k := range at { // three to a row, in reading order
			if k%3 > 0 && (at[k].Y != at[k-1].Y || at[k].X <= at[k-1].X) || k >= 3 && (at[k].X != at[k-3].X || at[k].Y <= at[k-3].Y) {
				t.Errorf("%s: image %d at %v, after %v: want reading order in three columns", name, k, at[k], at[:k])
			}
			if got := m.RGBAAt(at[k].X-3, at[k].Y+10) == wrongRed; got != wrong[k] {
				t.Errorf("%s: image %d has a border of wrong predictions: %v, want %v", name, k, got, wrong[k])
			}
		}
	}
}

func TestGreyImages(t *testing.T) {
	m, err := FloatImages([]float32{0, 0.5, 1, 2}, 2, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	img := must(t)(ImageGrid(ImageGridOptions{Scale: 10}, m))
	block := image.NewRGBA(image.Rect(0, 0, 20, 20))
	for y := range 20 {
		for x := range 20 {
			v := [4]uint8{0, 128, 255, 255}[y/10*2+x/10] // beyond 1 is clipped
			block.SetRGBA(x, y, color.RGBA{v, v, v, 255})
		}
	}
	find(t, img, block)
}

func TestAdvTriples(t *testing.T) {
	const eps = 8.0 / 255
	clean := make([]float32, 2*4*4*3)
	for i := range clean {
		clean[i] = 0.2 + float32(i)/200
	}
	adv := slices.Clone(clean)
	adv[0] += eps     // red of the first pixel up by eps: 255
	adv[4] -= eps     // green of the second down by eps: 0
	adv[8] += eps / 2 // blue of the third up by half: 0.75
	c, err := FloatImages(clean, 4, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	a, err := FloatImages(adv, 4, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []float64{eps, 0} { // 0: scaled by its own largest change, which is eps
		m := must(t)(AdvTriples(AdvTriplesOptions{Eps: e, Scale: 8}, c, a))
		diff := image.NewRGBA(image.Rect(0, 0, 32, 32))
		for y := range 32 {
			for x := range 32 {
				v := color.RGBA{128, 128, 128, 255}
				switch (y / 8 * 4) + x/8 {
				case 0:
					v.R = 255
				case 1:
					v.G = 0
				case 2:
					v.B = 191
				}
				diff.SetRGBA(x, y, v)
			}
		}
		d := find(t, m, diff)
		top, middle := find(t, m, raster(clean[:48], 4, 4, 3, 8)), find(t, m, raster(adv[:48], 4, 4, 3, 8))
		if !(top.X == middle.X && middle.X == d.X && top.Y < middle.Y && middle.Y < d.Y) {
			t.Errorf("eps %g: clean, adversarial and difference at %v, %v, %v: want one column in this order", e, top, middle, d)
		}
	}
}

func TestLandscapeColoursFollowTheData(t *testing.T) {
	xs := line(5)
	for _, log := range []bool{false, true} {
		z := square(5, func(_, j int) float64 {
			if log {
				return math.Pow(10, xs[j])
			}
			return xs[j]
		})
		p, err := newPage(300, 200)
		if err != nil {
			t.Fatal(err)
		}
		scale, err := surfaceScale(LandscapeOptions{LogZ: log}, z[0][0], z[0][4])
		if err != nil {
			t.Fatal(err)
		}
		s := &surface{xs: xs, ys: xs, z: z, log: log, scale: scale,
			a: &axes{p: p, box: image.Rect(0, 0, 300, 200), x: axis{min: -1, max: 1}, y: axis{min: -1, max: 1}}}
		s.fill()
		for x := range 300 {
			want := viridis.at((float64(x) + 0.5) / 300) // z (or log z) is linear in x
			for _, y := range []int{0, 99, 199} {
				got := p.img.(*image.RGBA).RGBAAt(x, y)
				if !near(got.R, want.R) || !near(got.G, want.G) || !near(got.B, want.B) {
					t.Fatalf("log %v: pixel (%d, %d) is %v, want %v", log, x, y, got, want)
				}
			}
		}
	}
}

func TestContoursLieOnTheLevel(t *testing.T) {
	// z = x^2 + y^2: the level line is a circle; linear interpolation on edges of
	// length h misses it by at most h^2/8 * z'' / |grad z| = h^2 / (8 r).
	const n, level = 41, 0.5
	xs := line(n)
	s := &surface{xs: xs, ys: xs, scale: axis{min: 0, max: 2},
		z: square(n, func(i, j int) float64 { return xs[j]*xs[j] + xs[i]*xs[i] })}
	length := 0.0
	for i := range n - 1 {
		for j := range n - 1 {
			c := [4][3]float64{{xs[j], xs[i], s.z[i][j]}, {xs[j+1], xs[i], s.z[i][j+1]}, {xs[j+1], xs[i+1], s.z[i+1][j+1]}, {xs[j], xs[i+1], s.z[i+1][j]}}
			for _, seg := range s.segments(c, level) {
				for _, q := range seg {
					if r := math.Hypot(q[0], q[1]); math.Abs(r-math.Sqrt(level)) > 0.05*0.05/(8*0.7)*1.01 {
						t.Fatalf("contour of %g passes %v at radius %g, want %g", level, q, r, math.Sqrt(level))
					}
				}
				length += math.Hypot(seg[0][0]-seg[1][0], seg[0][1]-seg[1][1])
			}
		}
	}
	if want := 2 * math.Pi * math.Sqrt(level); math.Abs(length-want) > 0.01*want {
		t.Errorf("contour is %g long, want %g (closed, each piece once)", length, want)
	}
	// A saddle: two separate pieces, none through the middle of its high corners.
	saddle := [4][3]float64{{0, 0, 1}, {1, 0, 0}, {1, 1, 1}, {0, 1, 0}}
	if segs := s.segments(saddle, 0.4); len(segs) != 2 {
		t.Errorf("%d segments in a saddle, want 2", len(segs))
	} else {
		for _, seg := range segs { // mean 0.5 is above: the high corners hang together
			mid := [2]float64{(seg[0][0] + seg[1][0]) / 2, (seg[0][1] + seg[1][1]) / 2}
			if nearLow := min(math.Hypot(mid[0]-1, mid[1]), math.Hypot(mid[0], mid[1]-1)); nearLow > 0.5 {
				t.Errorf("segment %v does not cut off a low corner", seg)
			}
		}
	}
}

func ExampleECDF() {
	// One image is fooled at 1/255, two at 2/255, and one never.
	s := ECDF("CURE", []float64{2, 1, 2, math.Inf(1)})
	fmt.Println(s.X, s.Y)
	// Output: [1 2] [0.25 0.75]
}
