package cureml

import (
	"path/filepath"
	"testing"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// TestInitForm: a run takes the form of the weights that it starts from, and the config that did not name it resumes it.
func TestInitForm(t *testing.T) {
	dir := t.TempDir()
	s, err := nn.Init(nn.Arch{Name: "wrn-10-1-swish", Width: 2, Classes: 10}, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := smallConfig("natural")
	c.Epochs, c.EvalEvery = 1, 0
	c.Arch.Name, c.Init = "wrn-10-1", filepath.Join(dir, "init.safetensors")
	if err := s.Save(c.Init); err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(dir, "run")
	for range 2 {
		if _, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), run, true, nil); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := ReadConfig(run); err != nil || old.Arch.Name != s.Arch.Name {
		t.Errorf("the run is of %s, %v, want %s", old.Arch.Name, err, s.Arch.Name)
	}
	c.Arch.Name = "resnet18"
	if _, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), run, true, nil); err == nil {
		t.Error("another network resumed the run")
	}
}
