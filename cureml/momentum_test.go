package cureml

import (
	"path/filepath"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data/mini"
)

// TestMomentumParity compares MI-FGSM with PyTorch's on network O: which of 64 records stay correct.
func TestMomentumParity(t *testing.T) {
	var file struct {
		MIFGSM struct {
			Float64 struct {
				Correct attacks.Flags `json:"correct"`
			} `json:"float64"`
		} `json:"mifgsm_64"`
	}
	readFixture(t, filepath.Join(torchFolder, "pgd.json"), &file)
	want := file.MIFGSM.Float64.Correct
	set, err := mini.Test().Slice(0, len(want))
	if err != nil {
		t.Fatal(err)
	}
	list, err := attacks.ParseList("mi-fgsm")
	if err != nil {
		t.Fatal(err)
	}
	r, err := attacks.Evaluate(t.Context(), HostModel(mltest.XLA(t), networkO(t)), set.Images, set.Labels, list, attacks.Options{Batch: len(want)})
	if err != nil {
		t.Fatal(err)
	}
	different := 0
	for i, correct := range want { // there, misclassified images were attacked too
		if r.Attacks[0].RobustFlags[i] != (correct && r.Clean.Flags[i]) {
			different++
		}
	}
	t.Logf("%d verdicts differ, robust accuracy %g", different, r.RobustAccuracy)
	if len(want) != 64 || different > 1 {
		t.Errorf("MI-FGSM: %d of %d verdicts differ from PyTorch's, accuracy %g", different, len(want), r.RobustAccuracy)
	}
}
