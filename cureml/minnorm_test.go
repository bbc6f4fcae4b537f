//go:build proof

package cureml

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data/mini"
)

// TestMinimumNormParity compares the searches for smallest perturbations with foolbox (DDN) and adversarial-library (FMN) on
// network O, 100 steps: medians at most 2% larger, and at most one image less found. Medians are over the images that are
// classified correctly; images without an adversarial one count as infinitely far.
func TestMinimumNormParity(t *testing.T) {
	var file map[string]json.RawMessage
	readOptional(t, filepath.Join(complete, "minnorm.json"), &file)
	var clean attacks.Flags
	if err := json.Unmarshal(file["clean_correct"], &clean); err != nil {
		t.Fatal(err)
	}
	set, err := mini.Test().Slice(0, len(clean))
	if err != nil {
		t.Fatal(err)
	}
	var list []attacks.Attack
	for name, method := range map[string]attacks.Method{
		"ddn_l2":   attacks.DDN{Ball: attacks.Ball{Norm: attacks.L2, Eps: .5}, Steps: 100},
		"fmn_l2":   attacks.FMN{Ball: attacks.Ball{Norm: attacks.L2, Eps: .5}, Steps: 100},
		"fmn_linf": attacks.FMN{Ball: attacks.Ball{Norm: attacks.Linf, Eps: 8. / 255}, Steps: 100},
	} {
		list = append(list, attacks.Attack{Name: name, Method: method})
	}
	r, err := attacks.Evaluate(t.Context(), HostModel(mltest.XLA(t), networkO(t)), set.Images, set.Labels, list, attacks.Options{Batch: len(clean)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Clean.Flags, clean) {
		t.Errorf("clean verdicts %v, want %v", r.Clean.Flags, clean)
	}
	for _, got := range r.Attacks {
		var want struct {
			Distances []float64 `json:"per_image"`
		}
		if err := json.Unmarshal(file[got.Name], &want); err != nil {
			t.Fatal(err)
		}
		found, nearer := 0, 0
		var theirs []float64
		for i, right := range clean {
			if !right {
				continue
			}
			distance := want.Distances[i]
			if distance < 0 {
				distance = math.Inf(1)
			} else {
				found++
			}
			if float64(got.Distances[i]) < distance {
				nearer++
			}
			theirs = append(theirs, distance)
		}
		slices.Sort(theirs)
		median := (theirs[(len(theirs)-1)/2] + theirs[len(theirs)/2]) / 2
		if float64(*got.MedianDistance) > 1.02*median {
			t.Errorf("%s: median distance %.5g, the reference's is %.5g", got.Name, *got.MedianDistance, median)
		}
		if *got.Found < found-1 {
			t.Errorf("%s: found %d, the reference %d", got.Name, *got.Found, found)
		}
		t.Logf("%s: median distance %.5g (reference %.5g), found %d of %d (%d), %d nearer than the reference, %d forwards, %d backwards, %.1f s",
			got.Name, *got.MedianDistance, median, *got.Found, len(theirs), found, nearer, got.Forwards, got.Backwards, got.Seconds)
	}
	for _, warning := range r.Warnings {
		t.Log(warning)
	}
}
