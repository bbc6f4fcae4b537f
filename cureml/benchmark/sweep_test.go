package benchmark

import (
	"math"
	"slices"
	"testing"

	"cure/cureml/recipes"
)

// TestSweepSeeds: rows are compared by the seeds that all have, so that more seeds of one row change nothing.
func TestSweepSeeds(t *testing.T) {
	gamma := recipes.AblationSeries()[2] // of the rows cure-rgp-only, cure-gamma-0.5, cure
	card := func(row string, seed uint64, nat float64) *Card {
		return handmade(row, "resnet18", 16, seed, nat, .3, .25, .2)
	}
	for _, c := range []struct {
		what        string
		cards       []*Card
		seeds       []uint64
		values, nat []float64
	}{
		{"one seed each", []*Card{card("cure", 0, .6), card("cure-rgp-only", 0, .55), card("cure-gamma-0.5", 0, .5)}, []uint64{0}, []float64{0, .5, 1}, []float64{55, 50, 60}},
		{"more of one", []*Card{card("cure", 0, .6), card("cure", 1, .9), card("cure-rgp-only", 0, .55)}, []uint64{0}, []float64{0, 1}, []float64{55, 60}},
		{"two of all", []*Card{card("cure", 3, .6), card("cure", 1, .8), card("cure-rgp-only", 1, .5), card("cure-rgp-only", 3, .6)}, []uint64{1, 3}, []float64{0, 1}, []float64{55, 70}},
		{"none in common", []*Card{card("cure", 2, .6), card("cure-rgp-only", 1, .5)}, []uint64{1}, []float64{0}, []float64{50}},
		{"nothing", nil, nil, nil, nil},
	} {
		w := sweepOf(c.cards, gamma)
		curve := w.curve("natural", "")
		if !slices.Equal(w.seeds, c.seeds) || !slices.Equal(curve.X, c.values) || len(curve.Y) != len(c.nat) {
			t.Errorf("%s: seeds %v, values %v with %v, want %v, %v, %v", c.what, w.seeds, curve.X, curve.Y, c.seeds, c.values, c.nat)
			continue
		}
		for i, v := range c.nat {
			if math.Abs(curve.Y[i]-v) > 1e-9 {
				t.Errorf("%s: %v, want %v", c.what, curve.Y, c.nat)
			}
		}
	}
	one := sweepOf([]*Card{card("cure", 0, .5)}, gamma).curve("natural", "")
	if want := 100 * math.Sqrt(.25/1017); math.Abs(one.Std[0]-want) > 1e-9 {
		t.Errorf("one seed: band %v, want the standard error %v", one.Std, want)
	}
	two := sweepOf([]*Card{card("cure", 0, .5), card("cure", 1, .6)}, gamma).curve("natural", "")
	if want := 100 * math.Sqrt(.005); math.Abs(two.Std[0]-want) > 1e-9 {
		t.Errorf("two seeds: band %v, want the sample deviation %v", two.Std, want)
	}
}

// TestSweepOfTheRepository: CURE's point is the run of the seed that the ablations have, not the mean of its three.
func TestSweepOfTheRepository(t *testing.T) {
	cards, err := ReadCards("../../results/benchmark")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range recipes.AblationSeries() {
		w := sweepOf(cards, s)
		if !slices.Equal(w.seeds, []uint64{0}) || len(w.values) != len(s.Values) {
			t.Errorf("%s: seeds %v, values %v", s.Setting, w.seeds, w.values)
		}
	}
}
