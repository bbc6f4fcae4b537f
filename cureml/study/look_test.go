package study

import (
	"math"
	"slices"
	"testing"

	"cure/data"
)

// threeImages are images of one pixel and two classes; the network is right about the first two and the attack succeeds
// on the second.
func threeImages() *Examples {
	return &Examples{
		Set: &data.Set{Labels: []int32{0, 1, 0}, Images: make([]uint8, 3*3072)}, Eps: 0.1,
		Clean:      []float32{.5, .5, .5, .5, .5, .5, .5, .5, .5},
		Adv:        []float32{.6, .4, .5, .5, .45, .5, .9, .9, .9},
		CleanProbs: []float32{.75, .25, .5, .5, .25, .75},
		AdvProbs:   []float32{.75, .25, .875, .125, .25, .75},
	}
}

func TestLook(t *testing.T) {
	e := threeImages()
	e.CleanProbs[2], e.CleanProbs[3] = .375, .625
	if class, p := e.Top(e.CleanProbs, 1); class != 1 || p != .625 {
		t.Errorf("Top: got class %d at %g, want 1 at 0.625", class, p)
	}
	for i, want := range []bool{true, false, false} {
		if got := e.Right(e.AdvProbs, i); got != want {
			t.Errorf("Right, attacked image %d: got %v, want %v", i, got, want)
		}
	}
	if got, want := e.TrueProb(e.CleanProbs), (.75+.625+.25)/3; math.Abs(got-want) > 1e-12 {
		t.Errorf("TrueProb: got %g, want %g", got, want)
	}
	// the third image does not count: six values, two at the limit, one moved by half of it, three unchanged
	got := e.Change()
	want := Change{Images: 2, Mean: .25 / 6, Unchanged: .5, AtLimit: 1. / 3}
	if got.Images != want.Images || math.Abs(got.Mean-want.Mean) > 1e-6 || got.Unchanged != want.Unchanged || math.Abs(got.AtLimit-want.AtLimit) > 1e-12 {
		t.Errorf("Change: got %+v, want %+v", got, want)
	}
	if got := e.Pixels(e.Adv, []int{2, 0}); !slices.Equal(got, []float32{.9, .9, .9, .6, .4, .5}) {
		t.Errorf("Pixels: got %v", got)
	}
	if got := (&Examples{Set: &data.Set{Labels: []int32{1}, Images: make([]uint8, 3072)}, Clean: []float32{0}, Adv: []float32{0},
		CleanProbs: []float32{1, 0}}).Change(); got != (Change{}) {
		t.Errorf("Change without a right image: got %+v, want nothing", got)
	}
}

func TestPick(t *testing.T) {
	a, b := threeImages(), threeImages()
	a.CleanProbs = []float32{.25, .75, .25, .75, .75, .25} // right about the last two
	b.CleanProbs = []float32{.75, .25, .75, .25, .75, .25} // right about the first and the last
	if got := Pick(2, a, b); !slices.Equal(got, []int{2, 0}) {
		t.Errorf("got images %v, want 2, which both get right, and then 0", got)
	}
	if got := Pick(9, a, b); len(got) != 3 {
		t.Errorf("got images %v, want all three", got)
	}
}
