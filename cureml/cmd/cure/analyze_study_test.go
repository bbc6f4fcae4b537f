package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAnalyzeStudy: a study that trains writes runs and results, keeps measurements, and reads these in place of training.
func TestAnalyzeStudy(t *testing.T) {
	dir := t.TempDir()
	first := cure(t, dir, strings.Fields("analyze overfitting --preset ci --methods at --out out --keep kept")...)
	if !strings.Contains(first.stdout, "Robust overfitting: resnet18-w2, 4 epochs on 64 images") || !strings.Contains(first.stderr, "at (1 of 1), epoch 4.00:") {
		t.Errorf("first time:\n%s\n%s", first.stdout, first.stderr)
	}
	if again := cure(t, dir, strings.Fields("analyze overfitting --preset ci --methods at --out out")...); again.stdout != first.stdout || again.stderr != "" {
		t.Errorf("second time:\n%s\n%s", again.stdout, again.stderr)
	}
	read := command(dir, strings.Fields("analyze overfitting --preset ci --methods at --out read --saved kept")...)
	read.Env = append(read.Env, "GOMLX_BACKEND=none") // the last one counts
	if o := finish(t, read); o.code != 0 || o.stdout != strings.ReplaceAll(first.stdout, "out"+string(filepath.Separator), "read"+string(filepath.Separator)) {
		t.Errorf("from saved measurements: exit code %d\n%s\n%s", o.code, o.stdout, o.stderr)
	}
	var names []string
	for _, path := range files(t, filepath.Join(dir, "read")) {
		names = append(names, filepath.Base(path))
	}
	if want := []string{"read", "overfitting-gap.png", "overfitting-test.png", "overfitting-train-test.png", "overfitting.json"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	a, err1 := os.ReadFile(filepath.Join(dir, "out", "overfitting.json"))
	b, err2 := os.ReadFile(filepath.Join(dir, "read", "overfitting.json"))
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("results differ: %v, %v", err1, err2)
	}
}
