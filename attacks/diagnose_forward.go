package attacks

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// sameLogits is the L2 distance of normalised logits below which two predictions count as the same.
const sameLogits = 1e-4

// outputs checks the clean logits.
func (p *diagnosis) outputs(context.Context) error {
	bad, probabilities := 0, 1.
	for i := range p.n {
		z, sum := p.natural[i*p.classes:(i+1)*p.classes], 0.
		for _, v := range z {
			sum += float64(v)
			if !(v > -1e-5 && v < 1+1e-5) {
				probabilities = 0
			}
		}
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			bad++
		}
		if !(math.Abs(sum-1) <= 1e-5) {
			probabilities = 0
		}
	}
	p.raise(FlagNonFinite, SeverityError, float64(bad)/float64(p.n), 0, "%d of %d clean images give NaN or infinite logits", bad, p.n)
	p.raise(FlagProbabilities, SeverityWarning, probabilities, 0,
		"the outputs look like probabilities: cross entropy takes their softmax again, which flattens it; return logits")
	first, d := p.natural[:p.classes], p.model.pixels()
	var differ bool
	var same int
	for i := range p.n {
		differ = differ || !slices.Equal(p.images[:d], p.images[i*d:(i+1)*d])
		if apart(first, p.natural[i*p.classes:(i+1)*p.classes]) <= sameLogits {
			same++
		}
	}
	if differ && bad == 0 {
		p.raise(FlagConstant, SeverityError, float64(same)/float64(p.n), 1-.5/float64(p.n), "all %d images get the same logits", p.n)
	}
	return nil
}

// apart is the L2 distance of two logit vectors scaled to length 1. NaN is for another check and counts as 0.
func apart(a, b []float32) float64 {
	var aa, bb, squares float64
	for k := range a {
		aa += float64(a[k]) * float64(a[k])
		bb += float64(b[k]) * float64(b[k])
	}
	aa, bb = math.Sqrt(math.Max(aa, math.SmallestNonzeroFloat64)), math.Sqrt(math.Max(bb, math.SmallestNonzeroFloat64))
	for k := range a {
		delta := float64(a[k])/aa - float64(b[k])/bb
		squares += delta * delta
	}
	if math.IsNaN(squares) {
		return 0
	}
	return math.Sqrt(squares)
}

// farthest is the largest distance of the logits of an image in two passes.
func (p *diagnosis) farthest(a, b []float32) (most float64) {
	for i := range p.n {
		most = math.Max(most, apart(a[i*p.classes:(i+1)*p.classes], b[i*p.classes:(i+1)*p.classes]))
	}
	return most
}

// repeated passes the same images five times.
func (p *diagnosis) repeated(ctx context.Context) error {
	if p.opt.Random {
		return nil
	}
	var passes [][]float32
	var value float64
	least, most := p.n, 0
	for k := range 5 {
		now, err := p.logits(ctx, fmt.Sprint("repeat ", k), p.b.x)
		if err != nil {
			return err
		}
		for _, before := range passes {
			value = math.Max(value, p.farthest(before, now))
		}
		passes = append(passes, now)
		right := 0
		for i := range p.n {
			if ranked(now[i*p.classes : (i+1)*p.classes])[0] == int(p.labels[i]) {
				right++
			}
		}
		least, most = min(least, right), max(most, right)
	}
	threshold := sameLogits
	if least != most {
		threshold = 0
	}
	p.raise(FlagRandom, SeverityWarning, value, threshold,
		"5 passes over the same images differ: normalised logits by up to %.2g, correct images from %d to %d; use autoattack-rand and decide by several passes",
		value, least, most)
	return nil
}

// batches changes the neighbours of each image, and the size of the batch.
func (p *diagnosis) batches(ctx context.Context) error {
	alone, err := p.logits(ctx, "batches", p.b.x)
	if err != nil {
		return err
	}
	d, together := p.model.pixels(), slices.Clone(alone)
	for odd := range 2 {
		mixed := slices.Clone(p.b.x)
		for i := 1 - odd; i < p.size; i += 2 {
			for k := i * d; k < (i+1)*d; k++ {
				mixed[k] = 1 - mixed[k]
			}
		}
		now, err := p.logits(ctx, "batches", mixed)
		if err != nil {
			return err
		}
		for i := odd; i < p.n; i += 2 {
			copy(together[i*p.classes:(i+1)*p.classes], now[i*p.classes:(i+1)*p.classes])
		}
	}
	neighbours := p.farthest(alone, together)
	halves, err := p.elsewhereLogits(ctx)
	if err != nil {
		return err
	}
	size := p.farthest(alone, halves)
	p.raise(FlagBatch, SeverityError, math.Max(neighbours, size), sameLogits,
		"logits depend on the batch: other neighbours change them by up to %.2g, another batch size by %.2g; is the model in training mode?", neighbours, size)
	return nil
}

// elsewhereLogits are the clean logits from the program of another batch size, with the keys of batches.
func (p *diagnosis) elsewhereLogits(ctx context.Context) ([]float32, error) {
	defer p.reseed(p.n, func(row int) *rand.Rand { return p.source("diagnosis", "batches", row, 0) })()
	b := *p.b
	b.adv = b.x
	out, err := p.recheck(ctx, &b)
	if err != nil {
		return nil, err
	}
	scores, err := tensors.CopyFlatData[float32](out)
	if err != nil {
		return nil, fmt.Errorf("reading logits: %w", err)
	}
	return scores[:p.n*p.classes], free(out)
}

// flatStep is the change of a pixel that no healthy model overlooks: 1/32 of a level of 8 bits.
const flatStep = 1. / (32 * 255)

// flatness changes each pixel by a little.
func (p *diagnosis) flatness(ctx context.Context) error {
	before, err := p.logits(ctx, "flatness", p.b.x)
	if err != nil {
		return err
	}
	moved, d := slices.Clone(p.b.x), p.model.pixels()
	for i := range p.n {
		rng := p.source("diagnosis", "steps", i, 0)
		for k := i * d; k < (i+1)*d; k++ {
			step := float32(flatStep * (.5 + rng.Float64()/2))
			if moved[k] == 1 || moved[k] > 0 && rng.IntN(2) == 0 {
				step = -step
			}
			moved[k] += step
		}
	}
	after, err := p.logits(ctx, "flatness", moved)
	if err != nil {
		return err
	}
	flat := 0
	for i := range p.n {
		if slices.Equal(before[i*p.classes:(i+1)*p.classes], after[i*p.classes:(i+1)*p.classes]) {
			flat++
		}
	}
	p.raise(FlagFlat, SeverityWarning, float64(flat)/float64(p.n), 0,
		"the logits of %d of %d images stay the same, bit for bit, under changes of up to 1/32 of a level of 8 bits: input or activations are rounded", flat, p.n)
	return nil
}

// gradientsInForward builds the graph of a forward pass and counts the operations that Gradient made in it.
func gradientsInForward(e *engine) (n int, err error) {
	g := NewGraph(e.model.Backend, "attacks.traced")
	defer g.Finalize()
	err = exceptions.TryCatch[error](func() {
		x := Parameter(g, "x", e.imageShape())
		var inputs []*Node
		if e.model.Random != nil {
			inputs = append(inputs, Parameter(g, "keys", keyShape(e.size)))
		}
		for i, shape := range e.shapes {
			inputs = append(inputs, Parameter(g, fmt.Sprint("weight ", i), shape))
		}
		g.SetTraced(true)
		e.model.logits(inputs, x)
	})
	if err != nil {
		return 0, fmt.Errorf("tracing the model: %w", err)
	}
	for _, node := range g.Nodes() {
		if madeByGradient(node.Trace()) {
			n++
		}
	}
	return n, nil
}

// madeByGradient looks for graph.Gradient among the callers of a node's creation.
func madeByGradient(trace error) bool {
	return trace != nil && strings.Contains(fmt.Sprintf("%+v", trace), "/core/graph.Gradient\n")
}
