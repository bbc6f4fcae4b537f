package data

import (
	"bytes"
	"slices"
	"testing"
)

func TestBatch(t *testing.T) {
	s := numbered(20, mod10)
	idx := []int{3, 17, 3}
	images, labels := make([]uint8, 3*imageLen), make([]int32, 3)
	Batch(images, labels, s, idx, nil)
	if !slices.Equal(labels, []int32{3, 7, 3}) || !bytes.Equal(images, s.Select(idx).Images) {
		t.Errorf("labels %v, or the images differ from Select's", labels)
	}
	var seen []int
	Batch(images, labels, s, idx, func(dst, src []uint8, index int) {
		seen = append(seen, index)
		Augment(dst, src, 1, 0, index)
	})
	want := make([]uint8, imageLen)
	for k, i := range idx {
		Augment(want, s.Image(i), 1, 0, i)
		if !bytes.Equal(images[k*imageLen:][:imageLen], want) {
			t.Errorf("position %d is not the augmented image %d", k, i)
		}
	}
	if !slices.Equal(seen, idx) {
		t.Errorf("augmented %v, want %v", seen, idx)
	}
}

func BenchmarkBatch(b *testing.B) {
	s := numbered(256, mod10)
	const size = 128
	images, labels := make([]uint8, size*imageLen), make([]int32, size)
	idx := Order(s.Len(), 1, 0)[:size]
	for _, c := range []struct {
		name string
		aug  func(dst, src []uint8, index int)
	}{
		{"copy", nil},
		{"augment", func(dst, src []uint8, index int) { Augment(dst, src, 1, 0, index) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				Batch(images, labels, s, idx, c.aug)
			}
			b.ReportMetric(float64(b.N)*size/b.Elapsed().Seconds(), "images/s")
		})
	}
}
