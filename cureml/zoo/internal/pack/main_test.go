package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"cure/cureml/zoo/internal/planes"
)

// TestPack makes the file of a shipped network again: the same bytes. What cannot be read leaves no file.
func TestPack(t *testing.T) {
	shipped, err := os.ReadFile("../../natural.planes.gz")
	if err != nil {
		t.Fatal(err)
	}
	weights, err := planes.Unpack(shipped)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	from, to := filepath.Join(dir, "final.safetensors"), filepath.Join(dir, "natural.planes.gz")
	if err := pack(from, to); !os.IsNotExist(err) {
		t.Errorf("no weights: error %v", err)
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("after an error: %v, want no file", err)
	}
	if err := os.WriteFile(from, weights, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := pack(from, to); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(to); err != nil || !bytes.Equal(again, shipped) {
		t.Errorf("%d bytes (%v), want the %d of the shipped file", len(again), err, len(shipped))
	}
}
