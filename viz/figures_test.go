package viz

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

var update = flag.Bool("update", false, "write the golden pictures anew")

// samples are one picture of each kind, with the cases that are easy to get
// wrong: gaps, notes in legends, missing values, long names, negative bars.
var samples = []struct {
	name string
	draw func() (*Figure, error)
}{
	{"curves", func() (*Figure, error) {
		var at, cure, diverged, std []float64
		for i := range 60 {
			x := float64(i)
			at = append(at, 52-30*math.Exp(-x/12)-8*max(0, x-30)/30)
			cure = append(cure, 55-33*math.Exp(-x/12))
			diverged = append(diverged, 40-30*math.Exp(-x/12))
			std = append(std, 1+x/40)
		}
		diverged[20], diverged[22], diverged[40] = math.NaN(), math.Inf(1), math.Inf(-1)
		return Curves(CurvesOptions{Title: "Robust accuracy during training", XLabel: "epoch", YLabel: "robust accuracy (%)",
			Width: 11, Height: 7, VLines: []VLine{{30, "learning rate / 10"}}},
			Series{Name: "AT", Y: at, Std: std}, Series{Name: "CURE", Y: cure, Std: std}, Series{Name: "diverged", Y: diverged, Dashed: true})
	}},
	{"curves_log", func() (*Figure, error) {
		x := []float64{1, 10, 100, 1000}
		return Curves(CurvesOptions{Title: "Log axes, markers", XLabel: "step", YLabel: "loss", LogX: true, LogY: true, Markers: true, Width: 9, Height: 6},
			Series{Name: "a", X: x, Y: []float64{2, .5, .1, .004}}, Series{Name: "b", X: x, Y: []float64{1, .3, 0, .02}, Std: []float64{.1, .1, .1, .03}})
	}},
	{"curves_names", func() (*Figure, error) {
		return Curves(CurvesOptions{Title: "By layer", XLabel: "layer", YLabel: "length", LogY: true, Markers: true, Width: 9, Height: 6,
			XNames: []string{"conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "linear"}},
			Series{Name: "clean", Y: []float64{1, .5, .3, .6, .2, 2}}, Series{Name: "attacked", X: []float64{0, 1, 2, 5}, Y: []float64{2, .6, .4, 3}, Dashed: true})
	}},
	{"bars", func() (*Figure, error) {
		return Bars(BarsOptions{Title: "Natural and robust accuracy", YLabel: "accuracy (%)", Width: 11, Height: 7},
			[]string{"Natural", "PGD-AT", "TRADES", "CURE"},
			BarSeries{Name: "natural", Values: []float64{94.1, 84.2, 83.1, 86.8}, Err: []float64{.4, 2, 1.5, .5}},
			BarSeries{Name: "PGD-20", Values: []float64{0, 48.9, 52.3, 54.1}, Err: []float64{0, .6, .5, .5}},
			BarSeries{Name: "AutoAttack", Values: []float64{0, 45.9, 49.3, math.NaN()}})
	}},
	{"bars_many", func() (*Figure, error) {
		r := rand.New(rand.NewPCG(1, 2))
		var groups []string
		var nat, rob []float64
		for i := range 14 {
			groups = append(groups, fmt.Sprintf("U-%d", 1+i*i*70))
			nat, rob = append(nat, 60+30*r.Float64()), append(rob, 20+30*r.Float64())
		}
		return Bars(BarsOptions{Title: "Accuracy when only some blocks learn", XLabel: "blocks that learn", YLabel: "accuracy (%)"},
			groups, BarSeries{Name: "natural", Values: nat}, BarSeries{Name: "PGD-20", Values: rob})
	}},
	{"bars_signed", func() (*Figure, error) {
		return Bars(BarsOptions{Title: "Change of accuracy", YLabel: "difference", Width: 10, Height: 7},
			[]string{"gaussian noise", "shot noise", "impulse noise", "frosted glass blur"},
			BarSeries{Values: []float64{-0.12, 0.03, 0.2, -0.4}, Err: []float64{.02, .02, .02, .1}})
	}},
	{"heatmap", func() (*Figure, error) {
		names := []string{"stem", "block 1.1", "block 1.2", "block 2.1", "block 2.2", "classifier"}
		m := square(6, func(i, j int) float64 { return math.Exp(-math.Abs(float64(i-j)) / 3) })
		m[1][2] = math.NaN()
		return Heatmap(HeatmapOptions{Title: "Linear CKA", Rows: names, Cols: names, XLabel: "robust model", YLabel: "natural model",
			ColorLabel: "CKA", Range: [2]float64{0, 1}, Width: 12}, m)
	}},
	{"heatmap_diverging", func() (*Figure, error) {
		return Heatmap(HeatmapOptions{Title: "Signed values", Diverging: true, Width: 8},
			square(5, func(i, j int) float64 { return float64(i-2) * float64(j-1) / 3 }))
	}},
	{"heatmap_many", func() (*Figure, error) {
		return Heatmap(HeatmapOptions{Title: "Too small for values", XLabel: "layer", YLabel: "layer", Width: 9},
			square(40, func(i, j int) float64 { return math.Sin(float64(i*j) / 100) }))
	}},
	{"imagegrid", func() (*Figure, error) {
		m, err := Uint8Images(testImages(7), 32, 32, 3)
		if err != nil {
			return nil, err
		}
		captions, wrong := make([]string, 7), make([]bool, 7)
		for i := range captions {
			captions[i], wrong[i] = fmt.Sprintf("cat → automobile\n0.%d", 90-i), i%3 == 1
		}
		return ImageGrid(ImageGridOptions{Title: "Test images", Cols: 4, Scale: 2, Captions: captions, Wrong: wrong,
			RowTitles: []string{"first", "a second row"}, ColTitles: []string{"natural", "AT", "TRADES", "CURE"}}, m)
	}},
	{"advtriples", func() (*Figure, error) {
		clean, adv, err := testTriples(3, 8.0/255)
		if err != nil {
			return nil, err
		}
		return AdvTriples(AdvTriplesOptions{Title: "PGD-20, eps = 8/255", Eps: 8.0 / 255, Cols: 2, Scale: 2,
			CleanLabels: []string{"cat", "dog", "ship"}, AdvLabels: []string{"frog", "dog", "plane"},
			Fooled: []bool{true, false, true}}, clean, adv)
	}},
	{"histogram", func() (*Figure, error) {
		r := rand.New(rand.NewPCG(3, 4))
		var a, b []float64
		for range 500 {
			a, b = append(a, r.NormFloat64()), append(b, 2+1.5*r.NormFloat64())
		}
		b[7] = math.Inf(1)
		return Histogram(HistogramOptions{Title: "Margins", XLabel: "margin", Width: 11, Height: 7, VLines: []VLine{{0, "decision boundary"}}},
			Sample{Name: "natural", Values: a}, Sample{Name: "CURE", Values: b})
	}},
	{"reliability", func() (*Figure, error) {
		var bins []ReliabilityBin
		for i := range 10 {
			c := float64(i)/10 + 0.05
			bins = append(bins, ReliabilityBin{float64(i) / 10, float64(i+1) / 10, c, min(1, max(0, 1.4*c-0.25)), i * i})
		}
		return Reliability(ReliabilityOptions{Title: "Calibration", Width: 10, Height: 10}, bins)
	}},
	{"radar", func() (*Figure, error) {
		return Radar(RadarOptions{Title: "Accuracy under corruptions (%)", Width: 10, Height: 8},
			[]string{"noise", "blur", "weather", "digital", "clean", "PGD-20"},
			RadarSeries{Name: "natural", Values: []float64{40, 70, 80, 75, 94, 0}},
			RadarSeries{Name: "CURE", Values: []float64{78, 75, 72, 77, 86, 54}})
	}},
	{"tradeoff", func() (*Figure, error) {
		return Tradeoff(TradeoffOptions{Title: "Natural against robust accuracy", XLabel: "natural accuracy (%)", YLabel: "robust accuracy (%)", Width: 12, Height: 9},
			TradeoffPoint{"AT", 84.2, 45.9, "ResNet-18"}, TradeoffPoint{"TRADES", 83.1, 49.3, "ResNet-18"},
			TradeoffPoint{"MART", 82.8, 48.9, "ResNet-18"}, TradeoffPoint{"CURE", 86.8, 49.7, "ResNet-18"},
			TradeoffPoint{"CURE, wide", 88.3, 52.5, "WideResNet-34-10"})
	}},
	{"landscape", func() (*Figure, error) {
		xs := line(17)
		z := square(17, func(i, j int) float64 {
			return 0.3 + 3*xs[j]*xs[j] + 2*math.Pow(xs[i], 4) + 0.5*math.Sin(4*xs[j])*xs[i]
		})
		z[3][3] = math.NaN()
		return Landscape(LandscapeOptions{Title: "Loss around the weights", XLabel: "direction 1", YLabel: "direction 2",
			ColorLabel: "cross-entropy", LogZ: true, Origin: true, Width: 7.5, Height: 6}, xs, xs, z)
	}},
	{"table", func() (*Figure, error) { return testTable.Figure() }},
	{"table_notes", func() (*Figure, error) { return notedTable.Figure() }},
	{"live", func() (*Figure, error) {
		l := NewLive(LiveOptions{Panels: map[string]CurvesOptions{"loss": {XLabel: "epoch", LogY: true}}})
		for i := range 100 {
			t := float64(i)
			l.Add("loss", "train", t, math.Exp(-t/30))
			l.Add("accuracy", "natural", t, 1-math.Exp(-t/30))
			l.Add("accuracy", "robust", t, .5-.5*math.Exp(-t/30))
		}
		return l.Close()
	}},
}

var testTable = &Table{
	Title:  "Results | CIFAR-10",
	Header: []string{"method", "natural", "PGD-20", "note"},
	Rows: [][]string{
		{"TRADES", "83.1 ± 0.2", "52.3", "a|b <i> & \"c\""},
		{"CURE", "86.8 ± 0.3", "n/a", "two\nlines"},
	},
	Bold: [][2]int{{1, 1}},
}

var notedTable = &Table{
	Header: []string{"method", "NRR", "minutes"},
	Rows:   [][]string{{"TRADES", "62.57", "76.1"}, {"CURE, all of it", "65.04 [1]", "–"}},
	Notes:  []string{"[1] printed so; the harmonic mean of 86.76 and 52.48 is 65.40, which is what <b>all</b> other rows have", "second\nnote"},
}

func square(n int, f func(i, j int) float64) [][]float64 {
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
		for j := range m[i] {
			m[i][j] = f(i, j)
		}
	}
	return m
}

// line is n values from -1 to 1.
func line(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = 2*float64(i)/float64(n-1) - 1
	}
	return v
}

// testImages are n smooth 32 x 32 pictures, no two alike.
func testImages(n int) []uint8 {
	pix := make([]uint8, n*32*32*3)
	for i := range pix {
		c, x, y, k := i%3, i/3%32, i/96%32, i/3072
		pix[i] = uint8(128 + 100*math.Sin(float64(x*(k+1))/9+float64(c))*math.Cos(float64(y)/7))
	}
	return pix
}

// testTriples changes every value of test images by +eps or -eps.
func testTriples(n int, eps float64) (clean, adv Images, err error) {
	r := rand.New(rand.NewPCG(5, 6))
	pix := testImages(n)
	a, b := make([]float32, len(pix)), make([]float32, len(pix))
	for i, v := range pix {
		a[i] = float32(v) / 255
		b[i] = a[i] + float32(eps)*float32(1-2*r.IntN(2))
	}
	if clean, err = FloatImages(a, 32, 32, 3); err != nil {
		return clean, adv, err
	}
	adv, err = FloatImages(b, 32, 32, 3)
	return clean, adv, err
}

// rgba copies any image into pixels.
func rgba(m image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, m.Bounds().Dx(), m.Bounds().Dy()))
	draw.Draw(out, out.Rect, m, m.Bounds().Min, draw.Src)
	return out
}

// TestGolden compares every sample with its committed picture, pixel by pixel.
// Processors with fused multiply-add may round a coordinate differently, so that
// elsewhere than on amd64 a few pixels at edges may differ.
func TestGolden(t *testing.T) {
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			fig, err := s.draw()
			if err != nil {
				t.Fatal(err)
			}
			data, err := fig.PNG()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", s.name+".png")
			if *update {
				if err := Save(fig, path); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (go test ./viz -update writes it; look at it before committing)", err)
			}
			wantImg, err := png.Decode(bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			gotImg, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			got, golden := rgba(gotImg), rgba(wantImg)
			if !bytes.Equal(got.Pix, rgba(fig.Image()).Pix) {
				t.Error("the encoded picture differs from Image()")
			}
			if got.Rect != golden.Rect {
				t.Fatalf("size %v, want %v", got.Rect, golden.Rect)
			}
			differ := 0
			for i := 0; i < len(got.Pix); i += 4 {
				if !bytes.Equal(got.Pix[i:i+4], golden.Pix[i:i+4]) {
					differ++
				}
			}
			allowed := 0
			if runtime.GOARCH != "amd64" {
				allowed = len(got.Pix) / 4 / 200
			}
			if differ > allowed {
				out := filepath.Join(os.TempDir(), "viz-"+s.name+".png")
				t.Errorf("%d pixels differ from %s (allowed %d); this run's picture: %s (%v)", differ, path, allowed, out, Save(fig, out))
			}
		})
	}
}
