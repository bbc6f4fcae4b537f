package viz

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestLinearTicks(t *testing.T) {
	for _, tc := range []struct {
		lo, hi float64
		n      int
		whole  bool
		want   string
	}{
		{0, 1, 5, false, "0 0.2 0.4 0.6 0.8 1.0"},
		{-1, 1, 4, false, "-1.0 -0.5 0 0.5 1.0"},
		{0, 10, 4, false, "0 2.5 5.0 7.5 10.0"},
		{0, 4, 10, true, "0 1 2 3 4"},
		{0.1, 0.35, 1, false, "0.1 0.2 0.3"}, // at least two
		{0, 3e7, 3, false, "0 1e7 2e7 3e7"},
		{1e-7, 3e-7, 2, false, "1e-7 2e-7 3e-7"},
		{1000001, 1000004, 3, false, "1000001 1000002 1000003 1000004"},
	} {
		var got []string
		for _, tick := range linearTicks(tc.lo, tc.hi, tc.n, tc.whole) {
			got = append(got, tick.label)
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("ticks of [%g, %g], about %d: %s, want %s", tc.lo, tc.hi, tc.n, s, tc.want)
		}
	}
}

// TestWholeTicks: five severities get a label each, and epochs none between them when asked for.
func TestWholeTicks(t *testing.T) {
	labels := func(opt CurvesOptions, x ...float64) (all string) {
		curves, err := newCurves(opt, []Series{{X: x, Y: x}})
		if err != nil {
			t.Fatal(err)
		}
		ax, ay, err := curveAxes(opt, curves)
		if err != nil {
			t.Fatal(err)
		}
		p, room, err := sheet{width: 9, height: 6.5}.open()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range newAxes(p, room, ax, ay, 0).x.ticks {
			all += " " + m.label
		}
		return all
	}
	if got := labels(CurvesOptions{}, 0, 1, 2, 3, 4, 5); got != " 0 1 2 3 4 5" {
		t.Errorf("severities:%s", got)
	}
	if got := labels(CurvesOptions{WholeX: true}, 0.5, 1, 7.5, 8); got != " 1 2 3 4 5 6 7 8" {
		t.Errorf("epochs:%s", got)
	}
	if got := labels(CurvesOptions{}, 0, 500, 1000, 100000); strings.Count(got, " ") > 6 {
		t.Errorf("steps:%s, which touch", got)
	}
}

// TestTicksProperties: marks of any axis lie on it, in order, are few but at
// least two, and their labels are distinct and say where they are.
func TestTicksProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		scale := math.Pow(10, 40*r.Float64()-20)
		lo := scale * r.NormFloat64()
		hi := lo + scale*math.Pow(10, 6*r.Float64()-5)
		log := r.IntN(2) == 0
		if log {
			lo = scale
			hi = lo * math.Pow(10, 0.1+8*r.Float64())
		}
		a, err := newAxis("", lo, hi, [2]float64{}, log)
		if err != nil {
			t.Fatal(err)
		}
		n := 2 + r.IntN(8)
		a.setTicks(n)
		labels := map[string]bool{}
		last := math.Inf(-1)
		for _, m := range a.ticks {
			if m.label == "" {
				continue
			}
			if slack := 1e-6 * (a.max - a.min); m.at < a.min-slack || m.at > a.max+slack || m.at <= last {
				t.Fatalf("[%g, %g] log %v: mark %g out of place", a.min, a.max, log, m.at)
			}
			v, err := strconv.ParseFloat(m.label, 64)
			if off := math.Abs(v - m.at); err != nil || off > 1e-3*(a.max-a.min) && off > 1e-5*math.Abs(m.at) {
				t.Fatalf("[%g, %g] log %v: mark %.12g is labelled %q", a.min, a.max, log, m.at, m.label)
			}
			last, labels[m.label] = m.at, true
		}
		if len(labels) < 2 || len(labels) > 2*n+2 {
			t.Fatalf("[%.12g, %.12g] log %v, about %d: labels %v", a.min, a.max, log, n, labels)
		}
	}
}
