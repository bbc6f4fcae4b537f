package cureml

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"cure/cureml/mltest"
	"cure/data"
	"cure/data/mini"
)

// numbered is a set of n images that say their number: all pixels are first plus it.
func numbered(first, n, classes int) *data.Set {
	s := &data.Set{Name: fmt.Sprintf("numbered from %d", first), Classes: make([]string, classes)}
	for i := range n {
		s.Images = append(s.Images, slices.Repeat([]uint8{uint8(first + i)}, data.Height*data.Width*data.Channels)...)
		s.Labels = append(s.Labels, int32(i%classes))
	}
	return s
}

// numbers are those of a batch's images, and whether the labels are theirs.
func numbers(images []uint8, labels []int32, first int) (list []int, right bool) {
	right = true
	for i, y := range labels {
		v := int(images[i*3072])
		list = append(list, v)
		if v < first {
			right = right && y == int32(v%10)
		} else {
			right = right && y == int32((v-first)%10)
		}
	}
	return list, right
}

// TestExtraBatches: three of eight images are extra and stand last; both sets come in their own shuffled passes, each
// image once a pass; a batch depends on its step alone.
func TestExtraBatches(t *testing.T) {
	c := smallConfig("natural")
	c.Augment = false
	c.Extra = ExtraConfig{Data: "some", Fraction: 0.35} // 2.8 of 8
	sets := Sets{Train: numbered(0, 26, 10), Extra: numbered(100, 7, 10)}
	r := newBatcher(c, sets, Method{})
	if r.perEpoch != 3 {
		t.Errorf("%d steps an epoch, want 3 as without extra images", r.perEpoch)
	}
	var own, extra []int
	var batches [][]int
	for step := range 40 {
		images, labels := r.host(step)
		list, right := numbers(images, labels, 100)
		if !right {
			t.Fatalf("step %d: images %v do not have their labels %v", step, list, labels)
		}
		batches = append(batches, list)
		own, extra = append(own, list[:5]...), append(extra, list[5:]...)
	}
	for name, s := range map[string]struct {
		seen     []int
		first, n int
	}{"training": {own, 0, 26}, "extra": {extra, 100, 7}} {
		var orders [][]int
		for pass := range slices.Chunk(s.seen, s.n) {
			if len(pass) < s.n {
				break
			}
			orders = append(orders, pass)
			for k, v := range slices.Sorted(slices.Values(pass)) {
				if v != s.first+k {
					t.Fatalf("%s: pass %v, want each image once", name, pass)
				}
			}
		}
		if len(orders) < 5 || slices.Equal(orders[0], orders[1]) || slices.IsSorted(orders[0]) {
			t.Errorf("%s: %d passes, the first two %v and %v", name, len(orders), orders[0], orders[1])
		}
	}
	for _, step := range []int{39, 5, 0, 17} {
		images, labels := newBatcher(c, sets, Method{}).host(step)
		if list, _ := numbers(images, labels, 100); !slices.Equal(list, batches[step]) {
			t.Errorf("step %d alone: images %v, in turn %v", step, list, batches[step])
		}
	}
	c.Seed++
	images, labels := newBatcher(c, sets, Method{}).host(0)
	if list, _ := numbers(images, labels, 100); slices.Equal(list[:5], batches[0][:5]) || slices.Equal(list[5:], batches[0][5:]) {
		t.Errorf("another seed gives the same images %v", list)
	}
	c.Extra.Fraction = 1
	images, labels = newBatcher(c, sets, Method{}).host(3)
	if list, _ := numbers(images, labels, 100); slices.Min(list) < 100 {
		t.Errorf("fraction 1: images %v, want extra ones only", list)
	}
}

// TestPlainBatches: without extra images a batch is a part of the epoch's order, augmented by epoch and index.
func TestPlainBatches(t *testing.T) {
	c := smallConfig("natural")
	set, err := mini.Train().Slice(0, 26)
	if err != nil {
		t.Fatal(err)
	}
	r := newBatcher(c, Sets{Train: set}, Method{})
	for _, step := range []int{0, 2, 3, 7} {
		images, labels := r.host(step)
		order := data.Order(26, c.Seed, step/3)[step%3*8:][:8]
		want := make([]uint8, 3072)
		for i, index := range order {
			data.Augment(want, set.Image(index), c.Seed, step/3, index)
			if !slices.Equal(images[i*3072:(i+1)*3072], want) || labels[i] != set.Labels[index] {
				t.Fatalf("step %d: image %d is not record %d of the set", step, i, index)
			}
		}
	}
}

func TestExtraErrors(t *testing.T) {
	for want, e := range map[string]ExtraConfig{
		"extra.fraction 0: want the share":        {Data: "x"},
		"extra.fraction 1.5":                      {Data: "x", Fraction: 1.5},
		"extra.fraction NaN":                      {Data: "x", Fraction: math.NaN()},
		"extra.data is empty":                     {Fraction: 0.5},
		"extra.fraction 0.05: rounds to no image": {Data: "x", Fraction: 0.05},
	} {
		c := smallConfig("trades")
		c.Extra = e
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: got %v, want one line with %q", e, err, want)
		}
	}
	c := smallConfig("natural")
	c.Extra = ExtraConfig{Data: "none.npz", Fraction: 0.5}
	if _, err := c.Extra.Open(); err == nil || !strings.Contains(err.Error(), "extra.data: none.npz: no such file") {
		t.Errorf("a missing file: %v", err)
	}
	sets := smallSets(t)
	for want, extra := range map[string]*data.Set{"was given no extra images": nil, "numbered from 0 has 100 classes": numbered(0, 3, 100)} {
		sets.Extra = extra
		_, err := Train(t.Context(), mltest.GoBackend(t), c, sets, t.TempDir(), false, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := NewStepper(mltest.GoBackend(t), c, sets.Train); err == nil || !strings.Contains(err.Error(), "no extra images") {
		t.Errorf("a stepper: %v", err)
	}
}
