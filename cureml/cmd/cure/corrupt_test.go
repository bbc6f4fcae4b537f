package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cure/data"
	"cure/data/corrupt"
)

// TestDataCorrupt: the folder holds what was asked for, `data info` describes it, and a full disk leaves nothing.
func TestDataCorrupt(t *testing.T) {
	dir := workplace(t)
	o := cure(t, dir, strings.Fields("data corrupt images.bin --out c --only digital,fog --records 2:5 --seed 3 --workers 1")...)
	if o.stdout != "c: 5 corruptions in 5 severities of 3 images of CIFAR-10 (test), seed 3\n" {
		t.Errorf("standard output %q", o.stdout)
	}
	c, err := data.OpenCorrupted(filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"contrast", "elastic_transform", "fog", "jpeg_compression", "pixelate"}; !slices.Equal(c.Names, want) {
		t.Errorf("corruptions %v, want %v", c.Names, want)
	}
	got, err := c.Set("fog", 4)
	if err != nil {
		t.Fatal(err)
	}
	clean, err := data.Open(filepath.Join(dir, "images.bin"), "test")
	if err != nil {
		t.Fatal(err)
	}
	want := make([]uint8, len(got.Image(0)))
	for i := range 3 {
		if err := corrupt.Image(want, clean.Image(2+i), "fog", 4, 3, 2+i); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Image(i), want) || got.Labels[i] != clean.Labels[2+i] {
			t.Errorf("image %d is not the corrupted record %d", i, 2+i)
		}
	}
	if o := cure(t, dir, "data", "info", "c"); o.stdout != "CIFAR-10, test, corrupted: 3 images in each of 5 severities, 10 classes\n  "+strings.Join(c.Names, ", ")+"\n" {
		t.Errorf("data info: %q", o.stdout)
	}
	wantFullDisk(t, dir, 10000, strings.Fields("data corrupt images.bin --out d --only fog")...)
}
