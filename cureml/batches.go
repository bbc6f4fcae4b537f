package cureml

import (
	"context"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// batch is one step's input: uint8 images [B, 32, 32, 3], int32 labels [B] and, where the method asks for them, the noise
// of the attack's start [B, 32, 32, 3] and keys of random numbers, uint32 [B, 2].
type batch struct{ images, labels, noise, keys *tensors.Tensor }

func (b *batch) free() {
	for _, t := range []*tensors.Tensor{b.images, b.labels, b.noise, b.keys} {
		if t != nil {
			t.MustFinalizeAll()
		}
	}
}

// batcher makes the batch of any step from (seed, step) alone, which is what lets a run resume to the same bits.
type batcher struct {
	cfg      Config
	set      *data.Set
	method   Method
	perEpoch int
	epoch    int
	order    []int
}

// stepsPerEpoch drops the last short batch of an epoch, so that all batches have one shape; which images it held differs
// from epoch to epoch.
func stepsPerEpoch(images, batch int) int { return images / batch }

func newBatcher(cfg Config, set *data.Set, method Method) *batcher {
	return &batcher{cfg: cfg, set: set, method: method, perEpoch: stepsPerEpoch(set.Len(), cfg.Batch), epoch: -1}
}

func (r *batcher) at(step int) *batch {
	epoch, k := step/r.perEpoch, step%r.perEpoch
	if epoch != r.epoch {
		r.epoch, r.order = epoch, data.Order(r.set.Len(), r.cfg.Seed, epoch)
	}
	n := r.cfg.Batch
	images, labels := make([]uint8, n*data.Height*data.Width*data.Channels), make([]int32, n)
	copyImage := func(dst, src []uint8, _ int) { copy(dst, src) }
	if r.cfg.Augment {
		copyImage = func(dst, src []uint8, index int) { data.Augment(dst, src, r.cfg.Seed, epoch, index) }
	}
	data.Batch(images, labels, r.set, r.order[k*n:(k+1)*n], copyImage)
	b := &batch{
		images: tensors.FromFlatDataAndDimensions(images, n, data.Height, data.Width, data.Channels),
		labels: tensors.FromFlatDataAndDimensions(labels, n),
	}
	if r.method.Inner != nil {
		b.noise = startNoise(r.method.Inner.PGD, n, data.Stream(r.cfg.Seed, "attack", uint64(step)))
	}
	if r.method.Keys {
		keys := make([]uint32, 2*n)
		rng := data.Stream(r.cfg.Seed, "keys", uint64(step))
		for i := range keys {
			keys[i] = rng.Uint32()
		}
		b.keys = tensors.FromFlatDataAndDimensions(keys, n, 2)
	}
	return b
}

// startNoise draws the start of an attack on n images, [n, 32, 32, 3].
func startNoise(pgd attacks.PGD, n int, rng *rand.Rand) *tensors.Tensor {
	const size = data.Height * data.Width * data.Channels
	noise := make([]float32, n*size)
	for i := range n {
		pgd.Noise(noise[i*size:(i+1)*size], rng)
	}
	return tensors.FromFlatDataAndDimensions(noise, n, data.Height, data.Width, data.Channels)
}

// stream makes the batches of steps first to last-1 ahead of their use, two at most.
func (r *batcher) stream(ctx context.Context, first, last int) <-chan *batch {
	out := make(chan *batch, 1)
	go func() {
		defer close(out)
		for step := first; step < last; step++ {
			b := r.at(step)
			select {
			case out <- b:
			case <-ctx.Done():
				b.free()
				return
			}
		}
	}()
	return out
}
