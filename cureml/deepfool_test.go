//go:build proof

package cureml

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data/mini"
)

// foolboxDistances are what foolbox's DeepFool found on network O: norms, with -1 where it failed.
type foolboxDistances struct {
	Clean        attacks.Flags `json:"clean_correct"`
	DeepFoolL2   foolboxFound  `json:"deepfool_l2"`
	DeepFoolLinf foolboxFound  `json:"deepfool_linf"`
}

type foolboxFound struct {
	Norms  []float64 `json:"per_image"`
	Median float64   `json:"median_numpy_over_correct"`
	Found  int       `json:"found"`
}

// TestDeepFoolParity compares with foolbox, 50 steps and the same overshoot, on 64 images: without the final bisections
// the distances image by image, with them median and number found.
func TestDeepFoolParity(t *testing.T) {
	var want foolboxDistances
	readOptional(t, filepath.Join(complete, "minnorm.json"), &want)
	const n = 64
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	model := HostModel(mltest.XLA(t), networkO(t))
	for ball, reference := range map[attacks.Ball]foolboxFound{
		{Norm: attacks.L2, Eps: .5}: want.DeepFoolL2, {Norm: attacks.Linf, Eps: 8. / 255}: want.DeepFoolLinf,
	} {
		rough := attacks.DeepFool{Ball: ball, Steps: 50, Overshoot: .02, Candidates: 10}
		fine := rough
		fine.Refine = 10
		list := []attacks.Attack{{Name: "fine", Method: fine}, {Name: "rough", Method: rough}}
		r, err := attacks.Evaluate(t.Context(), model, set.Images, set.Labels, list, attacks.Options{Batch: n})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Clean.Flags, want.Clean) {
			t.Errorf("%s: clean verdicts differ", ball.Norm)
		}
		for _, result := range r.Attacks {
			median := float64(*result.MedianDistance)
			if median > 1.02*reference.Median || *result.Found < reference.Found-1 {
				t.Errorf("%s, %s: median %.5f, found %d; foolbox %.5f, %d", ball.Norm, result.Name, median, *result.Found, reference.Median, reference.Found)
			}
			t.Logf("%s, %s: median %.5f (foolbox %.5f), found %d (%d), %d forwards, %d backwards, %.1f s",
				ball.Norm, result.Name, median, reference.Median, *result.Found, reference.Found, result.Forwards, result.Backwards, result.Seconds)
		}
		different := 0
		for i, distance := range r.Attacks[1].Distances {
			if math.Abs(float64(distance)-reference.Norms[i]) > .01*reference.Norms[i] {
				different++
			}
		}
		t.Logf("%s: %d of %d distances differ by more than 1%%", ball.Norm, different, n)
		if different > n/16 {
			t.Errorf("%s: %d of %d distances differ from foolbox's by more than 1%%", ball.Norm, different, n)
		}
	}
}
