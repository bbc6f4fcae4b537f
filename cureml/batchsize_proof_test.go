//go:build proof

package cureml

import (
	"slices"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data/mini"
)

// TestVerdictsInOtherBatchSizes: APGD-CE on network O in programs of 1, 7 and 64 rows, whose rounding differs, breaks the
// same images of 256, up to one.
func TestVerdictsInOtherBatchSizes(t *testing.T) {
	set, err := mini.Test().Slice(0, 256)
	if err != nil {
		t.Fatal(err)
	}
	list, err := attacks.ParseList("apgd-ce")
	if err != nil {
		t.Fatal(err)
	}
	model := HostModel(mltest.XLA(t), networkO(t))
	var flags []attacks.Flags
	for _, size := range []int{64, 1, 7} {
		r, err := attacks.Evaluate(t.Context(), model, set.Images, set.Labels, list, attacks.Options{Batch: size})
		if err != nil {
			t.Fatal(err)
		}
		flags = append(flags, r.RobustFlags)
		different := 0
		for i, robust := range r.RobustFlags {
			if robust != flags[0][i] {
				different++
			}
		}
		t.Logf("%d rows: robust accuracy %.4f, %d verdicts unlike those of 64 rows, %.0f s", size, r.RobustAccuracy, different, r.Attacks[0].Seconds)
		if different > 1 || !slices.Contains(r.RobustFlags, true) || !slices.Contains(r.RobustFlags, false) {
			t.Errorf("%d rows: %d of 256 verdicts unlike those of 64 rows", size, different)
		}
	}
}
