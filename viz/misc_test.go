package viz

import (
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWrapAndTruncate(t *testing.T) {
	const text = "the quick brown fox jumps over the lazy dog"
	for _, width := range []float64{40, 90, 150, 400} {
		lines := wrap(labelFont, text, width, 100)
		if got := strings.Join(lines, " "); width >= 90 && got != text {
			t.Errorf("wrapped at %g and joined: %q, want the text again", width, got)
		}
		for _, l := range lines {
			if w := textWidth(labelFont, l); w > width && l != "…" {
				t.Errorf("line %q is %g wide, want at most %g", l, w, width)
			}
		}
	}
	if got := wrap(labelFont, "one\ntwo\nthree", 1000, 2); !slices.Equal(got, []string{"one", "two three"}) {
		t.Errorf("three lines in two: %q", got)
	}
	if got := truncate(labelFont, text, 100); !strings.HasSuffix(got, "…") || textWidth(labelFont, got) > 100 {
		t.Errorf("truncated to %q", got)
	}
}

func TestSave(t *testing.T) {
	fig, err := Curves(CurvesOptions{}, Series{Y: []float64{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Save(fig, path); err != nil {
		t.Fatal(err)
	}
	want, err := fig.PNG()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
		t.Errorf("file holds %d bytes (%v), want the %d of the PNG", len(got), err, len(want))
	}
	if err := Save(fig, filepath.Join(dir, "a.jpg")); err == nil || !strings.Contains(err.Error(), `".jpg"`) {
		t.Errorf("saving as .jpg: %v, want an error that names it", err)
	}
	if err := Save(fig, filepath.Join(dir, "missing", "a.png")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("saving to a missing folder: %v, want not exist", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken.png"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Save(fig, filepath.Join(dir, "taken.png")); err == nil {
		t.Error("saving over a folder: no error")
	}
	if err := Save(nil, path); err == nil {
		t.Error("saving no figure: no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("folder holds %v (%v), want a.png and taken.png only", entries, err)
	}
}

func TestGrid(t *testing.T) {
	mk := func(w, h float64) *Figure {
		fig, err := Curves(CurvesOptions{Width: w, Height: h}, Series{Y: []float64{w, h}})
		if err != nil {
			t.Fatal(err)
		}
		return fig
	}
	a, b, c := mk(5, 4), mk(7, 5), mk(6, 4)
	m := must(t)(Grid(2, a, b, c))
	w := a.img.Rect.Dx()
	w = max(w, c.img.Rect.Dx())
	if got := find(t, m, b.img); got != image.Pt(w, 0) {
		t.Errorf("second figure at %v, want (%d, 0)", got, w)
	}
	if got := find(t, m, c.img); got != image.Pt(0, b.img.Rect.Dy()) {
		t.Errorf("third figure at %v, want (0, %d)", got, b.img.Rect.Dy())
	}
}

func TestHistogramCounts(t *testing.T) {
	values := []float64{0, 0.5, 1, 1, 1, 2.5, 3, 4, 99, math.NaN()} // 4 belongs to the last bin, 99 to none
	got, shown := binned(values, 0, 4, 4, false)
	if want := []float64{2, 3, 1, 2}; !slices.Equal(got, want) || shown != 8 {
		t.Errorf("counts %v of %d values, want %v of 8", got, shown, want)
	}
	density, _ := binned(values, 0, 4, 8, true)
	area := 0.0
	for _, d := range density {
		area += d * 0.5
	}
	if math.Abs(area-1) > 1e-12 {
		t.Errorf("density has area %g, want 1", area)
	}
	// Normal data of 1000 values: 2 * 1.349 / 10 wide bins.
	var normal []float64
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		normal = append(normal, r.NormFloat64())
	}
	slices.Sort(normal)
	if bins := chooseBins(normal, -3, 3); bins < 21 || bins > 25 {
		t.Errorf("%d bins for normal data on [-3, 3], want about 6/0.27 = 22", bins)
	}
	if bins := chooseBins(make([]float64, 1000), -1, 1); bins != 11 {
		t.Errorf("%d bins for constant data, want Sturges' 11", bins)
	}
}

func TestECDFIgnoresNaN(t *testing.T) {
	s := ECDF("", []float64{math.NaN(), math.Inf(-1), 3, math.Inf(1), 1})
	if !slices.Equal(s.X, []float64{1, 3}) || !slices.Equal(s.Y, []float64{0.5, 0.75}) {
		t.Errorf("X %v, Y %v: want [1 3] and [0.5 0.75]", s.X, s.Y)
	}
	if _, err := Curves(CurvesOptions{}, ECDF("none", nil)); err == nil {
		t.Error("a distribution of nothing was drawn")
	}
}

func TestContoursOfTheHarmonicMean(t *testing.T) {
	for _, nat := range []float64{0.4, 0.6, 0.9} {
		if got := harmonic(nat, contourRob(0.6, nat)); math.Abs(got-0.6) > 1e-12 {
			t.Errorf("contour of 0.6 at natural accuracy %g: harmonic mean %g", nat, got)
		}
	}
	if got := harmonic(86.76, 52.48); math.Abs(got-65.40) > 0.005 {
		t.Errorf("harmonic mean of 86.76 and 52.48 is %.3f, want 65.40", got)
	}
	if got := harmonic(0, 0); got != 0 {
		t.Errorf("harmonic mean of zeros is %g", got)
	}
}

func TestTradeoffLabelsStayApart(t *testing.T) {
	p, err := newPage(400, 400)
	if err != nil {
		t.Fatal(err)
	}
	a := &axes{p: p, box: image.Rect(0, 0, 400, 400)}
	var taken []image.Rectangle
	for i := range 6 { // six points in a heap
		taken = append(taken, labelPoint(a, [2]float64{200 + float64(i), 200}, fmt.Sprintf("method %d", i), taken))
	}
	for i := range taken {
		if !taken[i].In(a.box) {
			t.Errorf("label %d at %v leaves the axes", i, taken[i])
		}
		for j := range i {
			if taken[i].Overlaps(taken[j]) {
				t.Errorf("labels %d and %d overlap at %v and %v", i, j, taken[i], taken[j])
			}
		}
	}
}

func TestRadarGeometry(t *testing.T) {
	p, err := newPage(400, 400)
	if err != nil {
		t.Fatal(err)
	}
	r := newRose(p, image.Rect(0, 0, 400, 400), []string{"up", "right", "down", "left"}, axis{min: 0, max: 10})
	for k, dir := range [][2]float64{{0, -1}, {1, 0}, {0, 1}, {-1, 0}} {
		for _, v := range []float64{0, 5, 10, 25} {
			want := min(v, 10) / 10 * r.radius // clipped at the rim
			q := r.point(k, v)
			if math.Hypot(q[0]-r.cx-want*dir[0], q[1]-r.cy-want*dir[1]) > 1e-9 {
				t.Errorf("value %g on axis %d at %v, want %g from (%g, %g) towards %v", v, k, q, want, r.cx, r.cy, dir)
			}
		}
	}
}
