package cureml

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/cureml/mltest"
	"cure/cureml/weights"
)

// TestCompute: convolutions in bfloat16 change the losses of a run, but only as much as 8 bits of mantissa can, and what the
// run leaves is float32.
func TestCompute(t *testing.T) {
	device := mltest.XLA(t)
	losses := func(compute string) (values []float64) {
		c := smallConfig("natural")
		c.Epochs, c.Compute, c.LogEvery, c.EvalEvery = 1, compute, 1, 0
		c.Schedule.Max = 1e-4 // at a usual rate, such a small network is elsewhere after a step, whatever rounds differently
		dir := filepath.Join(t.TempDir(), "run")
		if _, err := Train(t.Context(), device, c, smallSets(t), dir, false, nil); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, metricsFile))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var m struct {
				Kind string  `json:"kind"`
				Loss float64 `json:"loss"`
			}
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			if m.Kind == "train" {
				values = append(values, m.Loss)
			}
		}
		d, err := weights.Read(filepath.Join(dir, finalFile))
		if err != nil {
			t.Fatal(err)
		}
		for name, tensor := range d.Tensors {
			if !strings.HasSuffix(name, "num_batches_tracked") && tensor.DType != weights.F32 {
				t.Fatalf("compute %q: tensor %s has type %s", compute, name, tensor.DType)
			}
		}
		return values
	}
	full, half := losses(""), losses("bfloat16")
	if len(full) != 3 {
		t.Fatalf("%d losses, want 3", len(full))
	}
	for i := range full {
		if apart := math.Abs(half[i]-full[i]) / full[i]; apart == 0 || apart > 0.01 {
			t.Errorf("step %d: loss %v in bfloat16, %v in float32", i, half[i], full[i])
		}
	}
}
