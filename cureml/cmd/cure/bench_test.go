package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/cureml/bench"
)

// TestBench times two steps through workers of this program, and reads the figures back.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	o := cure(t, dir, strings.Fields("bench --only natural-step,cure-step --arch resnet18 --width 2 --batch 2,3 --steps 2 --json out.json")...)
	text, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		Machine  string
		Versions map[string]string
		Rows     []map[string]any
	}
	var r bench.Result
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if keys.Machine == "" || !strings.HasPrefix(keys.Versions["go"], "go1.") || len(r.Rows) != 4 {
		t.Fatalf("figures %s", text)
	}
	for _, key := range []string{"name", "arch", "width", "batch", "seconds_median", "images_per_s", "compile_seconds", "peak_bytes"} {
		if _, ok := keys.Rows[0][key]; !ok {
			t.Errorf("no key %s in %s", key, text)
		}
	}
	want := []bench.Row{{Name: "natural-step", Batch: 2}, {Name: "cure-step", Batch: 2}, {Name: "natural-step", Batch: 3}, {Name: "cure-step", Batch: 3}}
	for i, row := range r.Rows {
		if row.Name != want[i].Name || row.Batch != want[i].Batch || row.Arch != "resnet18" || row.Width != 2 || row.SecondsMedian <= 0 ||
			row.CompileSeconds <= 0 || row.PeakBytes < 10<<20 || math.Abs(row.ImagesPerS*row.SecondsMedian-float64(row.Batch)) > 1e-9 {
			t.Errorf("row %d: %+v", i, row)
		}
		if !strings.Contains(o.stdout, row.Name) {
			t.Errorf("no %s in the table:\n%s", row.Name, o.stdout)
		}
	}
}
