package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/data/mini/internal/pixelcode"
)

// TestPack: the first records of each file come back in their order, and a file that is too short leaves nothing behind.
func TestPack(t *testing.T) {
	const records = 2
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "packed.bin")
	var want [][]byte
	for i, name := range files {
		file := make([]byte, (records+1)*recordLen)
		for k := range file {
			file[k] = byte(k/7 + 31*i)
		}
		for r := range records + 1 {
			file[r*recordLen] = byte((i + r) % 10)
		}
		if err := os.WriteFile(filepath.Join(from, name), file, 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, file[:records*recordLen])
	}
	if err := pack(from, records+2, to); err == nil || !strings.Contains(err.Error(), "data_batch_1.bin: 9219 bytes, want 4 records") {
		t.Errorf("too few records: error %v", err)
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("after an error: %v, want no file", err)
	}
	if err := pack(from, records, to); err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	a, err := pixelcode.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if got, err := a.Decode(i); err != nil || !bytes.Equal(got, want[i]) {
			t.Errorf("%s: other records came back (%v)", files[i], err)
		}
	}
	if err := verify(packed, append(want[1:], want[0])); err == nil {
		t.Error("records in another order were not noticed")
	}
}
