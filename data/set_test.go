package data

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// numbered is a set of n images whose bytes are the image number and whose labels are label(i).
func numbered(n int, label func(i int) int32) *Set {
	s := cifar10.newSet("train")
	for i := range n {
		s.Images = append(s.Images, slices.Repeat([]uint8{uint8(i)}, imageLen)...)
		s.Labels = append(s.Labels, label(i))
	}
	return s
}

func mod10(i int) int32 { return int32(i % 10) }

func TestSliceAndSelect(t *testing.T) {
	s := numbered(20, mod10)
	v, err := s.Slice(5, 8)
	if err != nil {
		t.Fatal(err)
	}
	if v.Len() != 3 || v.Image(0)[0] != 5 || v.Labels[2] != 7 || v.Name != s.Name || v.Split != s.Split {
		t.Errorf("slice 5:8 has %d images, first %d, last label %d", v.Len(), v.Image(0)[0], v.Labels[2])
	}
	if &v.Image(0)[0] != &s.Image(5)[0] {
		t.Error("Slice copied the images")
	}
	if img := s.Image(3); len(img) != imageLen || cap(img) != imageLen {
		t.Errorf("image has length %d and capacity %d, want %d", len(img), cap(img), imageLen)
	}
	p := s.Select([]int{19, 0, 19})
	if !slices.Equal(p.Labels, []int32{9, 0, 9}) || p.Image(0)[7] != 19 || p.Image(1)[7] != 0 {
		t.Errorf("selected labels %v", p.Labels)
	}
	p.Image(0)[0] = 200
	if s.Image(19)[0] != 19 {
		t.Error("Select shares memory with its source")
	}
	for _, r := range [][2]int{{-1, 3}, {3, 3}, {4, 3}, {0, 21}, {20, 20}} {
		if _, err := s.Slice(r[0], r[1]); err == nil || !strings.Contains(err.Error(), "0 <= a < b <= 20") {
			t.Errorf("slice %v: error %v", r, err)
		}
	}
}

func TestHoldOut(t *testing.T) {
	s := numbered(200, func(i int) int32 { return int32(i % 3) }) // 67, 67 and 66 images
	train, val, err := s.HoldOut(0.1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint8
	for _, part := range []*Set{train, val} {
		var last int = -1
		for i := range part.Len() {
			id := part.Image(i)[0]
			if int(id) <= last {
				t.Fatalf("%s: image %d after image %d, want the order of the set", part.Split, id, last)
			}
			if part.Labels[i] != int32(id)%3 {
				t.Fatalf("%s: image %d has label %d", part.Split, id, part.Labels[i])
			}
			last = int(id)
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 200 || train.Len()+val.Len() != 200 {
		t.Errorf("%d + %d images, %d different", train.Len(), val.Len(), len(slices.Compact(ids)))
	}
	for class := range int32(3) {
		if n := len(slices.DeleteFunc(slices.Clone(val.Labels), func(l int32) bool { return l != class })); n != 7 {
			t.Errorf("class %d: %d images held out, want 7 (10%% of 66 or 67, rounded)", class, n)
		}
	}
	if train.Split != "train" || val.Split != "val" {
		t.Errorf("splits %q and %q", train.Split, val.Split)
	}
	_, again, _ := s.HoldOut(0.1, 1)
	_, other, _ := s.HoldOut(0.1, 2)
	if !slices.Equal(val.Images, again.Images) || slices.Equal(val.Images, other.Images) {
		t.Error("the choice must depend on the seed and on nothing else")
	}
	for _, f := range []float64{0, 1, -0.1, 1.5, math.NaN(), 0.001, 0.999} {
		if _, _, err := s.HoldOut(f, 1); err == nil {
			t.Errorf("fraction %v: no error", f)
		}
	}
}
