package data

import (
	"fmt"
	"slices"
)

// Dimensions of every image.
const (
	Height   = 32
	Width    = 32
	Channels = 3

	imageLen = Height * Width * Channels
)

// Set is a labelled image set. Images and Labels are read-only by convention: views share them.
type Set struct {
	Name    string   // label under which results are reported, such as "CIFAR-10" or "CIFAR-10 (JPEG copy)"
	Split   string   // "train", "test", or "val" for the smaller part of HoldOut
	Classes []string // class names, indexed by label
	Images  []uint8  // [N, 32, 32, 3], RGB, 0..255
	Labels  []int32  // [N], 0..len(Classes)-1
}

// Len is the number of images.
func (s *Set) Len() int { return len(s.Labels) }

// Image is a view of image i, [32, 32, 3]. It panics if i is not in [0, Len).
func (s *Set) Image(i int) []uint8 {
	return s.Images[i*imageLen : (i+1)*imageLen : (i+1)*imageLen]
}

// Slice is a view of the records a to b-1 in the order of the set.
func (s *Set) Slice(a, b int) (*Set, error) {
	if a < 0 || a >= b || b > s.Len() {
		return nil, fmt.Errorf("data: records %d:%d of %s %s: want 0 <= a < b <= %d", a, b, s.Name, s.Split, s.Len())
	}
	v := *s
	v.Images = s.Images[a*imageLen : b*imageLen : b*imageLen]
	v.Labels = s.Labels[a:b:b]
	return &v, nil
}

// Select copies the records idx, in that order, into a new set. It panics if an index is not in [0, Len).
func (s *Set) Select(idx []int) *Set {
	v := *s
	v.Images = make([]uint8, 0, len(idx)*imageLen)
	v.Labels = make([]int32, 0, len(idx))
	for _, i := range idx {
		v.Images = append(v.Images, s.Image(i)...)
		v.Labels = append(v.Labels, s.Labels[i])
	}
	return &v
}

// HoldOut splits the set into a larger part for training and a validation part with round(fraction * n) of the n images of
// each class. The choice depends on the labels and the seed only; both parts keep the order of the set.
func (s *Set) HoldOut(fraction float64, seed uint64) (train, val *Set, err error) {
	if !(fraction > 0 && fraction < 1) {
		return nil, nil, fmt.Errorf("data: hold-out fraction %v: want a value between 0 and 1", fraction)
	}
	members := make(map[int32][]int)
	for i, l := range s.Labels {
		members[l] = append(members[l], i)
	}
	var held []int
	for class, idx := range members {
		n := int(fraction*float64(len(idx)) + 0.5)
		for _, k := range Stream(seed, "holdout", uint64(class)).Perm(len(idx))[:n] {
			held = append(held, idx[k])
		}
	}
	if len(held) == 0 || len(held) == s.Len() {
		return nil, nil, fmt.Errorf("data: hold-out fraction %v of %d images leaves %d for validation: want at least one on either side",
			fraction, s.Len(), len(held))
	}
	slices.Sort(held)
	kept := make([]int, 0, s.Len()-len(held))
	for i, next := 0, 0; i < s.Len(); i++ {
		if next < len(held) && held[next] == i {
			next++
			continue
		}
		kept = append(kept, i)
	}
	train, val = s.Select(kept), s.Select(held)
	val.Split = "val"
	return train, val, nil
}

// add appends the records of o.
func (s *Set) add(o *Set) {
	s.Images = append(s.Images, o.Images...)
	s.Labels = append(s.Labels, o.Labels...)
}
