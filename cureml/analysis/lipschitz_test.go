package analysis

import (
	"math"
	"slices"
	"testing"

	"cure/cureml/mltest"
)

func lipschitzOf(t *testing.T, a affine, n int) NetworkLipschitz {
	t.Helper()
	o := LipschitzOptions{Eps: .05, Steps: 20, StepSize: .01, Seed: 2}
	l := newStretcher(o)
	defer l.Close()
	images, labels := greyImages(3, n, len(a.w), a.classes)
	found, err := l.measure(t.Context(), a.subject(mltest.GoBackend(t)), images, labels)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Logits) != n || len(found.Probabilities) != n {
		t.Fatalf("%d and %d values for %d images", len(found.Logits), len(found.Probabilities), n)
	}
	return found
}

// norm is the largest ‖Wᵀδ‖₁/‖δ‖∞, at a corner of the ball: of all 2^D.
func (a affine) norm() (most float64) {
	for corner := range 1 << len(a.w) {
		sums := make([]float64, a.classes)
		for i, row := range a.w {
			s := float64(2*(corner>>i&1) - 1)
			for k := range sums {
				sums[k] += s * float64(row[k])
			}
		}
		total := 0.0
		for _, v := range sums {
			total += math.Abs(v)
		}
		most = max(most, total)
	}
	return most
}

// The local Lipschitz value of an affine map is a norm of its matrix.
func TestLipschitzOfAffine(t *testing.T) {
	image := [3]int{2, 2, 3}
	oneRank := newAffine(1, image, 3)
	for i := range oneRank.w {
		oneRank.w[i][1], oneRank.w[i][2] = -2*oneRank.w[i][0], .5*oneRank.w[i][0]
	}
	want := 0.0
	for _, row := range oneRank.w {
		want += 3.5 * math.Abs(float64(row[0]))
	}
	near(t, "norm by hand", oneRank.norm(), want, 1e-6)
	for _, got := range lipschitzOf(t, oneRank, 3).Logits {
		near(t, "rank one", got, want, 1e-4)
	}
	full := newAffine(2, image, 3)
	most := full.norm()
	found := lipschitzOf(t, full, 3)
	if best := slices.Max(found.Logits); best < .95*most {
		t.Errorf("the best of three starts reached %g, want nearly the norm %g", best, most)
	}
	for i, got := range found.Logits {
		if got > most*(1+1e-4) || got < .8*most {
			t.Errorf("image %d: got %g, want at most the norm %g and not much less", i, got, most)
		}
		if p := found.Probabilities[i]; !(p > 0) || p > most/2 {
			t.Errorf("image %d: %g for the probabilities, want at most half of the logits' %g", i, p, most)
		}
	}
	for i := range full.w {
		for k := range full.w[i] {
			full.w[i][k] = 0
		}
	}
	for i, got := range lipschitzOf(t, full, 2).Logits {
		if got != 0 {
			t.Errorf("image %d: %g for a constant", i, got)
		}
	}
}
