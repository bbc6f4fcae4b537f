package analysis

import (
	"math"
	"testing"

	"cure/attacks"
)

func TestPerturbations(t *testing.T) {
	const h, w, c = 8, 8, 3
	const d = h * w * c
	shape := [3]int{h, w, c}
	// the image is dark at the left and bright from column 4 on: its edge is in columns 3 and 4
	clean := make([]float32, d)
	for i := range clean {
		if i/c%w >= 4 {
			clean[i] = .5
		}
	}
	with := func(change func(y, x, k int) float32) []float32 {
		adv := make([]float32, d)
		for i := range adv {
			adv[i] = clean[i] + change(i/c/w, i/c%w, i%c)
		}
		return adv
	}
	only := func(yes bool, v float32) float32 {
		if yes {
			return v
		}
		return 0
	}
	for _, tc := range []struct {
		name   string
		change func(y, x, k int) float32
		want   Footprint
	}{
		{"even", func(y, x, k int) float32 { return .1 }, Footprint{Values: 1, Pixels: 1, Hoyer: 0, Linf: .1, L2: .1 * math.Sqrt(d), Centre: .25, Edges: .25}},
		{"one value in the centre", func(y, x, k int) float32 { return only(y == 3 && x == 3 && k == 1, -.125) },
			Footprint{Values: 1. / d, Pixels: 1. / 64, Hoyer: 1, Linf: .125, L2: .125, Centre: 1, Edges: 1}},
		{"a corner", func(y, x, k int) float32 { return only(y == 0 && x == 0, .25) },
			Footprint{Values: 3. / d, Pixels: 1. / 64, Hoyer: (math.Sqrt(d) - math.Sqrt(3)) / (math.Sqrt(d) - 1), Linf: .25, L2: .25 * math.Sqrt(3)}},
		{"the edge", func(y, x, k int) float32 { return only(x == 3 || x == 4, .2) },
			Footprint{Values: .25, Pixels: .25, Hoyer: (math.Sqrt(d) - math.Sqrt(d/4)) / (math.Sqrt(d) - 1), Linf: .2, L2: .2 * math.Sqrt(d/4), Centre: .5, Edges: 1}},
	} {
		got := footprint(clean, with(tc.change), []bool{true}, shape)
		if got.Images != 1 {
			t.Errorf("%s: %d images, want 1", tc.name, got.Images)
		}
		sameFootprint(t, tc.name, got, tc.want)
		sum := 0.0
		for _, v := range got.Map {
			sum += v
		}
		near(t, tc.name+": sum of the map", sum, 1, 1e-6)
	}
	// means over those that were fooled
	two := append(append([]float32{}, clean...), clean...)
	both := append(with(func(y, x, k int) float32 { return .1 }), with(func(y, x, k int) float32 { return only(y == 3 && x == 3 && k == 1, .3) })...)
	got := footprint(two, both, []bool{true, true}, shape)
	near(t, "mean of two", got.Hoyer, .5, 1e-5)
	if got := footprint(two, both, []bool{false, true}, shape); got.Images != 1 || math.Abs(got.Hoyer-1) > 1e-5 {
		t.Errorf("the second alone: %d images, Hoyer %g", got.Images, got.Hoyer)
	}
	if got := footprint(two, both, []bool{false, false}, shape); got.Images != 0 || got.Hoyer != 0 {
		t.Errorf("nobody fooled: %d images, Hoyer %g", got.Images, got.Hoyer)
	}
	if got := footprint(two, two, []bool{true, true}, shape); got.Images != 0 {
		t.Errorf("nothing changed: %d images", got.Images)
	}
}

func sameFootprint(t *testing.T, name string, got, want Footprint) {
	t.Helper()
	for _, v := range []struct {
		what      string
		got, want float64
	}{
		{"values", got.Values, want.Values}, {"pixels", got.Pixels, want.Pixels}, {"Hoyer", got.Hoyer, want.Hoyer}, {"Linf", got.Linf, want.Linf},
		{"L2", got.L2, want.L2}, {"centre", got.Centre, want.Centre}, {"edges", got.Edges, want.Edges},
	} {
		if !(math.Abs(v.got-v.want) < 1e-5) {
			t.Errorf("%s, %s: got %g, want %g", name, v.what, v.got, v.want)
		}
	}
}

// A search for the smallest perturbation has fooled whom it found one for, however large.
func TestResists(t *testing.T) {
	search := &attacks.Result{Distances: []attacks.Number{3, attacks.Number(math.Inf(1))}, RobustFlags: attacks.Flags{true, true}}
	bounded := &attacks.Result{RobustFlags: attacks.Flags{true, false}}
	if resists(search, 0) || !resists(search, 1) || !resists(bounded, 0) || resists(bounded, 1) {
		t.Error("got another verdict than the distances and the flags say")
	}
}
