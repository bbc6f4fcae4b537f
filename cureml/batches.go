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
	cfg          Config
	method       Method
	perEpoch     int
	train, extra *source
}

// source is the endless sequence of a set's images, one shuffled pass after the other. It keeps the order of the pass
// that was asked for last.
type source struct {
	cfg     Config
	seed    uint64
	set     *data.Set
	perPass int // images of a pass that are used
	pass    int
	order   []int
}

// stepsPerEpoch drops the last short batch of an epoch, so that all batches have one shape; which images it held differs
// from epoch to epoch.
func stepsPerEpoch(images, batch int) int { return images / batch }

func newBatcher(cfg Config, sets Sets, method Method) *batcher {
	r := &batcher{cfg: cfg, method: method, perEpoch: stepsPerEpoch(sets.Train.Len(), cfg.Batch)}
	r.train = &source{cfg: cfg, seed: cfg.Seed, set: sets.Train, perPass: r.perEpoch * cfg.Batch, pass: -1}
	if cfg.Extra.Fraction > 0 {
		r.train.perPass = sets.Train.Len()
		r.extra = &source{cfg: cfg, seed: data.Stream(cfg.Seed, "extra").Uint64(), set: sets.Extra, perPass: sets.Extra.Len(), pass: -1}
	}
	return r
}

// draw writes the images of the sequence from number first on, as many as there are labels.
func (s *source) draw(images []uint8, labels []int32, first int) {
	size := data.Height * data.Width * data.Channels
	for len(labels) > 0 {
		pass, k := first/s.perPass, first%s.perPass
		if pass != s.pass {
			s.pass, s.order = pass, data.Order(s.set.Len(), s.seed, pass)
		}
		n := min(len(labels), s.perPass-k)
		copyImage := func(dst, src []uint8, _ int) { copy(dst, src) }
		if s.cfg.Augment {
			copyImage = func(dst, src []uint8, index int) { data.Augment(dst, src, s.seed, pass, index) }
		}
		data.Batch(images[:n*size], labels[:n], s.set, s.order[k:k+n], copyImage)
		images, labels, first = images[n*size:], labels[n:], first+n
	}
}

// host is the images [B, 32, 32, 3] and labels [B] of a step.
func (r *batcher) host(step int) (images []uint8, labels []int32) {
	n, size := r.cfg.Batch, data.Height*data.Width*data.Channels
	images, labels = make([]uint8, n*size), make([]int32, n)
	own := n
	if r.extra != nil {
		own -= r.cfg.Extra.count(n)
		r.extra.draw(images[own*size:], labels[own:], step*(n-own))
	}
	r.train.draw(images[:own*size], labels[:own], step*own)
	return images, labels
}

func (r *batcher) at(step int) *batch {
	images, labels := r.host(step)
	n := r.cfg.Batch
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
