package cureml

import (
	"context"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// batch is one step's input: uint8 images [B, 32, 32, 3], int32 labels [B] and, where the method asks for them, the noise
// of the attack's start [B, 32, 32, 3] and keys of random numbers, uint32 [B, 2]. Where the images of the run are on the
// device, a batch begins without images and labels, as plans of what the resident takes from there.
type batch struct {
	images, labels, noise, keys *tensors.Tensor
	plans                       [][]int32
}

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
	resident     *resident // nil where batches are made on the host
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

// visit goes through n images of the sequence, from number first on: f gets the positions in the set of those that lie in
// one pass, and how many came before.
func (s *source) visit(first, n int, f func(before, pass int, indices []int)) {
	for before := 0; before < n; {
		pass, k := (first+before)/s.perPass, (first+before)%s.perPass
		if pass != s.pass {
			s.pass, s.order = pass, data.Order(s.set.Len(), s.seed, pass)
		}
		m := min(n-before, s.perPass-k)
		f(before, pass, s.order[k:k+m])
		before += m
	}
}

// draw writes the images of the sequence from number first on, as many as there are labels.
func (s *source) draw(images []uint8, labels []int32, first int) {
	const size = data.Height * data.Width * data.Channels
	s.visit(first, len(labels), func(before, pass int, indices []int) {
		var augment func(dst, src []uint8, index int)
		if s.cfg.Augment {
			augment = func(dst, src []uint8, index int) { data.Augment(dst, src, s.seed, pass, index) }
		}
		end := before + len(indices)
		data.Batch(images[before*size:end*size], labels[before:end], s.set, indices, augment)
	})
}

// part is a source with how many images of a batch are its.
type part struct {
	*source
	n int
}

// parts are the training images of a batch, then the extra ones.
func (r *batcher) parts() (parts []part) {
	extra := 0
	if r.extra != nil {
		extra = r.cfg.Extra.count(r.cfg.Batch)
	}
	if own := r.cfg.Batch - extra; own > 0 {
		parts = append(parts, part{r.train, own})
	}
	if extra > 0 {
		parts = append(parts, part{r.extra, extra})
	}
	return parts
}

// host is the images [B, 32, 32, 3] and labels [B] of a step.
func (r *batcher) host(step int) (images []uint8, labels []int32) {
	const size = data.Height * data.Width * data.Channels
	images, labels = make([]uint8, r.cfg.Batch*size), make([]int32, r.cfg.Batch)
	at := 0
	for _, p := range r.parts() {
		p.draw(images[at*size:(at+p.n)*size], labels[at:at+p.n], step*p.n)
		at += p.n
	}
	return images, labels
}

// at is the batch of a step; where the images are on the device, place completes it.
func (r *batcher) at(step int) *batch {
	n, b := r.cfg.Batch, &batch{}
	if r.resident != nil {
		b.plans = r.plans(step)
	} else {
		images, labels := r.host(step)
		b.images = tensors.FromFlatDataAndDimensions(images, n, data.Height, data.Width, data.Channels)
		b.labels = tensors.FromFlatDataAndDimensions(labels, n)
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
