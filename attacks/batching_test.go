package attacks

import (
	"math/rand/v2"
	"testing"
)

// shuffledPart is count of the images, in another order.
func shuffledPart(model Model, images []uint8, labels []int32, count int) (some []uint8, someLabels []int32, order []int) {
	d := model.pixels()
	order = rand.New(rand.NewPCG(1, 1)).Perm(len(labels))[:count]
	for _, i := range order {
		some, someLabels = append(some, images[i*d:(i+1)*d]...), append(someLabels, labels[i])
	}
	return some, someLabels, order
}

// sameInAnyBatch checks that want, a report with seed 5, is also that of smaller batches, and that two thirds of the images
// in another order fare in it as they do.
func sameInAnyBatch(t *testing.T, model Model, images []uint8, labels []int32, list []Attack, want *Report) {
	t.Helper()
	for _, size := range []int{1, 7} {
		got := evaluate(t, model, images, labels, list, Options{Batch: size, Seed: 5, KeepAdv: true})
		compare(t, got, want, func(i int) int { return i })
	}
	some, someLabels, order := shuffledPart(model, images, labels, 2*len(labels)/3)
	got := evaluate(t, model, some, someLabels, list, Options{Batch: 7, Seed: 5, Index: order, KeepAdv: true})
	compare(t, got, want, func(i int) int { return order[i] })
}
