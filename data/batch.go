package data

import "fmt"

// Batch fills dst, [B, 32, 32, 3], and labels, [B], with the records idx of s. With aug nil the images are copied; otherwise
// aug(dst, src, index) writes each one, index being its position in s:
//
//	data.Batch(images, labels, set, order[i:i+b], func(dst, src []uint8, index int) {
//		data.Augment(dst, src, seed, epoch, index)
//	})
//
// It may run in a goroutine ahead of the step that uses the batch. It panics if the
// lengths do not fit or an index is not in [0, s.Len()).
func Batch(dst []uint8, labels []int32, s *Set, idx []int, aug func(dst, src []uint8, index int)) {
	if len(dst) != len(idx)*imageLen || len(labels) != len(idx) {
		panic(fmt.Sprintf("data.Batch: room for %d image bytes and %d labels, want %d and %d for %d records",
			len(dst), len(labels), len(idx)*imageLen, len(idx), len(idx)))
	}
	for k, i := range idx {
		out := dst[k*imageLen : (k+1)*imageLen]
		if aug == nil {
			copy(out, s.Image(i))
		} else {
			aug(out, s.Image(i), i)
		}
		labels[k] = s.Labels[i]
	}
}
