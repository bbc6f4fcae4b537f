package cureml

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"cure/cureml/mltest"
)

// Training images are measured as test images are: where both are the same images, so are all numbers.
func TestEvalTrainImages(t *testing.T) {
	c := smallConfig("at")
	c.EvalTrainImages = 4
	sets := smallSets(t)
	sets.Test = sets.Train
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := Train(t.Context(), mltest.GoBackend(t), c, sets, dir, false, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range bytes.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if m["kind"] != "eval" {
			continue
		}
		lines++
		if m["train_clean"] == nil || m["train_clean"] != m["test_clean"] || m["train_robust"] != m["test_robust"] {
			t.Errorf("got %s, want the same for training and test images", line)
		}
	}
	if lines != 2 {
		t.Errorf("%d evaluations, want 2", lines)
	}
}
