package viz

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var nan, inf = math.NaN(), math.Inf(1)

// TestBadInput: every wrong argument is an error of this package that names the
// wrong value, and never a panic or a figure.
func TestBadInput(t *testing.T) {
	one := []float64{1}
	images, err := Uint8Images(make([]uint8, 2*3), 1, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := Uint8Images(make([]uint8, 2*3), 1, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		f    func() (*Figure, error)
		want string // must occur in the error
	}{
		{"curves: none", func() (*Figure, error) { return Curves(CurvesOptions{}) }, "no series"},
		{"curves: empty", func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Name: "loss"}) }, `"loss" has no points`},
		{"curves: lengths", func() (*Figure, error) {
			return Curves(CurvesOptions{}, Series{Name: "loss", X: []float64{1, 2, 3}, Y: one})
		}, "3 x and 1 y"},
		{"curves: std length", func() (*Figure, error) {
			return Curves(CurvesOptions{}, Series{Name: "loss", Y: one, Std: []float64{1, 2}})
		}, "2 standard deviations"},
		{"curves: negative std", func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: one, Std: []float64{-1}}) }, "= -1"},
		{"curves: NaN x", func() (*Figure, error) { return Curves(CurvesOptions{}, Series{X: []float64{nan}, Y: one}) }, "x[0] = NaN"},
		{"curves: log x", func() (*Figure, error) { return Curves(CurvesOptions{LogX: true}, Series{X: []float64{0}, Y: one}) }, "x[0] = 0"},
		{"curves: names", func() (*Figure, error) {
			return Curves(CurvesOptions{XNames: []string{"a"}}, Series{Y: []float64{1, 2}})
		}, "1 names, for x from 0 to 1"},
		{"curves: names between", func() (*Figure, error) {
			return Curves(CurvesOptions{XNames: []string{"a", "b"}}, Series{X: []float64{.5}, Y: one})
		}, "whole numbers"},
		{"curves: all NaN", func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Name: "loss", Y: []float64{nan, inf}}) }, `"loss"`},
		{"curves: all negative on log", func() (*Figure, error) { return Curves(CurvesOptions{LogY: true}, Series{Y: []float64{-1, 0}}) }, "log"},
		{"curves: range", func() (*Figure, error) { return Curves(CurvesOptions{YRange: [2]float64{2, 1}}, Series{Y: one}) }, "[2, 1]"},
		{"curves: log range", func() (*Figure, error) {
			return Curves(CurvesOptions{LogY: true, YRange: [2]float64{0, 1}}, Series{Y: one})
		}, "[0, 1]"},
		{"curves: width", func() (*Figure, error) { return Curves(CurvesOptions{Width: -4}, Series{Y: one}) }, "-4 cm"},
		{"curves: NaN height", func() (*Figure, error) { return Curves(CurvesOptions{Height: nan}, Series{Y: one}) }, "NaN cm"},
		{"curves: mark", func() (*Figure, error) { return Curves(CurvesOptions{VLines: []VLine{{nan, "drop"}}}, Series{Y: one}) }, `"drop"`},
		{"curves: span", func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: []float64{-1e300, 1e300}}) }, "1e+300"},
		{"bars: none", func() (*Figure, error) { return Bars(BarsOptions{}, nil, BarSeries{}) }, "0 groups"},
		{"bars: lengths", func() (*Figure, error) {
			return Bars(BarsOptions{}, []string{"a", "b"}, BarSeries{Name: "nat", Values: one})
		}, `"nat" has 1 values for 2`},
		{"bars: errors", func() (*Figure, error) {
			return Bars(BarsOptions{}, []string{"a"}, BarSeries{Values: one, Err: []float64{nan}})
		}, "NaN"},
		{"bars: all NaN", func() (*Figure, error) {
			return Bars(BarsOptions{}, []string{"a"}, BarSeries{Name: "nat", Values: []float64{nan}})
		}, `"nat"`},
		{"bars: too many", func() (*Figure, error) {
			return Bars(BarsOptions{Width: 4}, make([]string, 1000), BarSeries{Values: make([]float64, 1000)})
		}, "1000 groups"},
		{"heatmap: none", func() (*Figure, error) { return Heatmap(HeatmapOptions{}, nil) }, "no values"},
		{"heatmap: no columns", func() (*Figure, error) { return Heatmap(HeatmapOptions{}, [][]float64{{}}) }, "no values"},
		{"heatmap: ragged", func() (*Figure, error) { return Heatmap(HeatmapOptions{}, [][]float64{{1, 2}, {3}}) }, "row 1 has 1"},
		{"heatmap: names", func() (*Figure, error) {
			return Heatmap(HeatmapOptions{Cols: []string{"a", "b"}}, [][]float64{{1}})
		}, "2 column names for 1"},
		{"heatmap: all NaN", func() (*Figure, error) { return Heatmap(HeatmapOptions{}, [][]float64{{nan, inf}}) }, "1 x 2"},
		{"heatmap: too wide", func() (*Figure, error) { return Heatmap(HeatmapOptions{}, [][]float64{make([]float64, 2000)}) }, "2000 columns"},
		{"grid: none", func() (*Figure, error) { return ImageGrid(ImageGridOptions{}, Images{}) }, "no images"},
		{"grid: other sizes", func() (*Figure, error) {
			return ImageGrid(ImageGridOptions{}, Images{N: 4, H: 8, W: 8, C: 3, pix: images.pix})
		}, "images [4, 8, 8, 3] with 6 values"},
		{"grid: own sizes", func() (*Figure, error) { return ImageGrid(ImageGridOptions{}, Images{N: 1, H: -1, W: 1, C: 1}) }, "images [1, -1, 1, 1]"},
		{"triples: own sizes", func() (*Figure, error) {
			return AdvTriples(AdvTriplesOptions{}, images, Images{N: 2, H: 1, W: 1, C: 3})
		}, "images [2, 1, 1, 3] with 0 values"},
		{"overlay: own sizes", func() (*Figure, error) {
			_, err := Overlay(Images{N: 1, H: 1, W: 1, C: 1}, []float32{1})
			return nil, err
		}, "images [1, 1, 1, 1] with 0 values"},
		{"histogram: mark", func() (*Figure, error) {
			return Histogram(HistogramOptions{VLines: []VLine{{nan, "here"}}}, Sample{Values: one})
		}, `"here"`},
		{"grid: captions", func() (*Figure, error) { return ImageGrid(ImageGridOptions{Captions: []string{"a"}}, images) }, "1 captions for 2"},
		{"grid: wrong", func() (*Figure, error) { return ImageGrid(ImageGridOptions{Wrong: make([]bool, 3)}, images) }, "3 marks"},
		{"grid: titles", func() (*Figure, error) {
			return ImageGrid(ImageGridOptions{ColTitles: []string{"a"}, Cols: 2}, images)
		}, "1 column and 0 row titles"},
		{"grid: scale", func() (*Figure, error) { return ImageGrid(ImageGridOptions{Scale: -1}, images) }, "scale -1"},
		{"triples: shapes", func() (*Figure, error) { return AdvTriples(AdvTriplesOptions{}, images, wide) }, "[1, 1, 2, 3]"},
		{"triples: eps", func() (*Figure, error) { return AdvTriples(AdvTriplesOptions{Eps: 8}, images, images) }, "eps = 8"},
		{"triples: labels", func() (*Figure, error) {
			return AdvTriples(AdvTriplesOptions{AdvLabels: []string{"x"}}, images, images)
		}, "1 adversarial labels"},
		{"histogram: none", func() (*Figure, error) { return Histogram(HistogramOptions{}) }, "0 samples"},
		{"histogram: NaN", func() (*Figure, error) { return Histogram(HistogramOptions{}, Sample{Values: []float64{nan}}) }, "no finite"},
		{"histogram: bins", func() (*Figure, error) { return Histogram(HistogramOptions{Bins: -3}, Sample{Values: one}) }, "-3 bins"},
		{"reliability: none", func() (*Figure, error) { return Reliability(ReliabilityOptions{}, nil) }, "0 bins"},
		{"reliability: edges", func() (*Figure, error) {
			return Reliability(ReliabilityOptions{}, []ReliabilityBin{{0.5, 0.5, 0.5, 1, 1}})
		}, "from 0.5 to 0.5"},
		{"reliability: per cent", func() (*Figure, error) {
			return Reliability(ReliabilityOptions{}, []ReliabilityBin{{0, 1, 0.5, 93, 1}})
		}, "accuracy 93"},
		{"radar: two axes", func() (*Figure, error) {
			return Radar(RadarOptions{}, []string{"a", "b"}, RadarSeries{Values: []float64{1, 2}})
		}, "2 axes"},
		{"radar: NaN", func() (*Figure, error) {
			return Radar(RadarOptions{}, []string{"a", "b", "c"}, RadarSeries{Name: "AT", Values: []float64{1, nan, 2}})
		}, `NaN on axis "b"`},
		{"radar: lengths", func() (*Figure, error) {
			return Radar(RadarOptions{}, []string{"a", "b", "c"}, RadarSeries{Name: "AT", Values: one})
		}, `"AT" has 1 values`},
		{"tradeoff: none", func() (*Figure, error) { return Tradeoff(TradeoffOptions{}) }, "no points"},
		{"tradeoff: NaN", func() (*Figure, error) { return Tradeoff(TradeoffOptions{}, TradeoffPoint{Name: "AT", Nat: nan}) }, `"AT"`},
		{"tradeoff: negative", func() (*Figure, error) { return Tradeoff(TradeoffOptions{}, TradeoffPoint{Rob: -1}) }, "-1"},
		{"landscape: small", func() (*Figure, error) { return Landscape(LandscapeOptions{}, one, one, [][]float64{{1}}) }, "1 x, 1 y"},
		{"landscape: rows", func() (*Figure, error) {
			return Landscape(LandscapeOptions{}, line(2), line(3), square(2, func(int, int) float64 { return 1 }))
		}, "2 rows"},
		{"landscape: order", func() (*Figure, error) {
			return Landscape(LandscapeOptions{}, []float64{1, 0}, line(2), square(2, func(int, int) float64 { return 1 }))
		}, "x[1] = 0"},
		{"landscape: log", func() (*Figure, error) {
			return Landscape(LandscapeOptions{LogZ: true}, line(2), line(2), square(2, func(int, int) float64 { return -1 }))
		}, "positive"},
		{"compose: none", func() (*Figure, error) { return Grid(2) }, "0 figures"},
		{"compose: nil", func() (*Figure, error) { return Grid(0, nil) }, "figure 0"},
		{"images: length", func() (*Figure, error) { _, err := Uint8Images(make([]uint8, 7), 1, 2, 3); return nil, err }, "7 values"},
		{"images: channels", func() (*Figure, error) { _, err := Uint8Images(make([]uint8, 4), 1, 1, 4); return nil, err }, "1 x 1 x 4"},
		{"images: NaN", func() (*Figure, error) {
			_, err := FloatImages([]float32{0, 0, 0, float32(nan), 0, 0}, 1, 1, 3)
			return nil, err
		}, "image 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fig, err := tc.f()
			if err == nil || fig != nil {
				t.Fatalf("figure %v, error %v: want an error only", fig != nil, err)
			}
			if !strings.HasPrefix(err.Error(), "viz: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q, want it to begin with viz: and to contain %q", err, tc.want)
			}
		})
	}
}

// TestHardInput: strange but drawable values give a figure, with pixels in the colour of the values.
func TestHardInput(t *testing.T) {
	flat := func(int, int) float64 { return 7 }
	colors := map[string]color.RGBA{ // others are in the first of the palette
		"constant heat map": viridis.at(.5), "flat landscape": viridis.at(.5), "flat log": viridis.at(.5), "zero diverging": blueOrange.at(.5),
	}
	empty := []string{"nothing in range", "zero bars", "far outside"}
	for name, f := range map[string]func() (*Figure, error){
		"single point": func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: []float64{3}}) },
		"single log point": func() (*Figure, error) {
			return Curves(CurvesOptions{LogX: true, LogY: true}, Series{X: []float64{5}, Y: []float64{3}})
		},
		"constant":      func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: []float64{3, 3, 3}}) },
		"constant zero": func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: []float64{0, 0}}) },
		"denormal":      func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: []float64{0, 5e-324}}) },
		"huge":          func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: []float64{0, 9e299}}) },
		"tiny log": func() (*Figure, error) {
			return Curves(CurvesOptions{LogY: true}, Series{Y: []float64{1e-300, 1e300}, Std: []float64{1, 1}})
		},
		"far outside": func() (*Figure, error) {
			return Curves(CurvesOptions{YRange: [2]float64{0, 1}, XRange: [2]float64{0, 1}}, Series{Y: []float64{-1e299, 1e299, 0.5}, Std: []float64{1, 1e299, 0}})
		},
		"large and close": func() (*Figure, error) { return Curves(CurvesOptions{}, Series{Y: []float64{1e15, 1e15 + 1}}) },
		"zero bars": func() (*Figure, error) {
			return Bars(BarsOptions{}, []string{"", ""}, BarSeries{Values: []float64{0, 0}})
		},
		"bars from above": func() (*Figure, error) {
			return Bars(BarsOptions{YRange: [2]float64{5, 6}}, []string{"a"}, BarSeries{Values: []float64{9}})
		},
		"constant heat map": func() (*Figure, error) { return Heatmap(HeatmapOptions{}, square(3, flat)) },
		"zero diverging":    func() (*Figure, error) { return Heatmap(HeatmapOptions{Diverging: true}, [][]float64{{0}}) },
		"constant sample":   func() (*Figure, error) { return Histogram(HistogramOptions{}, Sample{Values: []float64{2, 2, 2}}) },
		"nothing in range": func() (*Figure, error) {
			return Histogram(HistogramOptions{Range: [2]float64{5, 6}, Density: true}, Sample{Values: []float64{2}})
		},
		"zero radar": func() (*Figure, error) {
			return Radar(RadarOptions{}, []string{"a", "b", "c"}, RadarSeries{Values: []float64{0, 0, 0}})
		},
		"negative radar": func() (*Figure, error) {
			return Radar(RadarOptions{}, []string{"a", "b", "c"}, RadarSeries{Values: []float64{-3, -2, -1}})
		},
		"one model": func() (*Figure, error) {
			return Tradeoff(TradeoffOptions{}, TradeoffPoint{Name: "AT", Nat: 80, Rob: 50})
		},
		"no accuracy":    func() (*Figure, error) { return Tradeoff(TradeoffOptions{}, TradeoffPoint{Name: "AT"}) },
		"flat landscape": func() (*Figure, error) { return Landscape(LandscapeOptions{}, line(3), line(3), square(3, flat)) },
		"flat log": func() (*Figure, error) {
			return Landscape(LandscapeOptions{LogZ: true}, line(3), line(3), square(3, flat))
		},
		"long texts": func() (*Figure, error) {
			long := strings.Repeat("a very long name ", 30) + strings.Repeat("x", 500) + "\x00\xff\t"
			return Bars(BarsOptions{Title: long, XLabel: long, YLabel: long, Width: 4, Height: 4}, []string{long, long}, BarSeries{Name: long, Values: []float64{1, 2}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			fig, err := f()
			if err != nil {
				t.Fatal(err)
			}
			if n := count(fig.img, white); n == 0 || n == len(fig.img.Pix)/4 {
				t.Errorf("%d of %d pixels are white: want a picture", n, len(fig.img.Pix)/4)
			}
			want, special := colors[name]
			if !special {
				want = Palette[0]
			}
			if n := count(fig.img, want); n < 20 && !slices.Contains(empty, name) {
				t.Errorf("%d pixels in the colour of the values, %v", n, want)
			}
		})
	}
}

// TestRandomInputDoesNotPanic feeds values of all magnitudes, NaN and
// infinities to every function that accepts them.
func TestRandomInputDoesNotPanic(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	value := func() float64 {
		switch r.IntN(8) {
		case 0:
			return [...]float64{nan, inf, -inf, 0, math.MaxFloat64, 5e-324}[r.IntN(6)]
		case 1:
			return float64(r.IntN(5))
		default:
			return r.NormFloat64() * math.Pow(10, 20*r.Float64()-10)
		}
	}
	values := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = value()
		}
		return v
	}
	drawn := 0
	for range 25 {
		n := 1 + r.IntN(6)
		rng := [2]float64{}
		if r.IntN(2) == 0 {
			rng = [2]float64{value(), value()}
		}
		m := square(n, func(int, int) float64 { return value() })
		groups := make([]string, n)
		for _, f := range []func() (*Figure, error){
			func() (*Figure, error) {
				return Curves(CurvesOptions{Width: 6, Height: 4, LogY: r.IntN(2) == 0, YRange: rng}, Series{Y: values(n)}, Series{Y: values(n), Step: true})
			},
			func() (*Figure, error) {
				return Bars(BarsOptions{Width: 6, Height: 4, YRange: rng}, groups, BarSeries{Values: values(n)})
			},
			func() (*Figure, error) {
				return Heatmap(HeatmapOptions{Width: 6, Range: rng, Diverging: r.IntN(2) == 0}, m)
			},
			func() (*Figure, error) {
				return Histogram(HistogramOptions{Width: 6, Height: 4, Range: rng}, Sample{Values: values(30)})
			},
			func() (*Figure, error) {
				return Radar(RadarOptions{Width: 6, Height: 6, Range: rng}, groups, RadarSeries{Values: values(n)})
			},
			func() (*Figure, error) {
				return Tradeoff(TradeoffOptions{Width: 6, Height: 4, XRange: rng}, TradeoffPoint{Nat: value(), Rob: value()})
			},
			func() (*Figure, error) {
				return Landscape(LandscapeOptions{Width: 6, Height: 4, LogZ: r.IntN(2) == 0, Range: rng}, line(max(n, 2)), line(n), m)
			},
		} {
			fig, err := f()
			if (fig == nil) == (err == nil) {
				t.Fatalf("figure %v with error %v: want one of them", fig != nil, err)
			}
			if err == nil {
				drawn++
			}
		}
	}
	if drawn < 30 {
		t.Errorf("only %d figures drawn: the test hardly tests", drawn)
	}
}

// TestZerosAtTheCentre: a radar chart of zeros is a dot.
func TestZerosAtTheCentre(t *testing.T) {
	fig, err := Radar(RadarOptions{}, []string{"a", "b", "c"}, RadarSeries{Values: []float64{0, 0, 0}})
	if err != nil {
		t.Fatal(err)
	}
	var drawn image.Rectangle
	for y := range fig.img.Rect.Dy() {
		for x := range fig.img.Rect.Dx() {
			if fig.img.RGBAAt(x, y) == Palette[0] {
				drawn = drawn.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if drawn.Empty() || drawn.Dx() > 20 || drawn.Dy() > 20 {
		t.Errorf("the series covers %v: want a dot", drawn)
	}
}

func TestInfinitiesInCells(t *testing.T) {
	h := &heatmap{largest: 1}
	for v, want := range map[float64]string{inf: "inf", -inf: "-inf", -1e305: "-inf"} {
		if got := h.value(v); got != want {
			t.Errorf("%g is written %q, want %q", v, got, want)
		}
	}
}
