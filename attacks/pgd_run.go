package attacks

import (
	"context"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

func (p PGD) runs() int { return max(p.Restarts, 1) }

func (p PGD) passes() int { return p.Steps }

func (p PGD) goal() goal { return goalAt(p.Loss, p.Kappa, p.Target) }

func (p PGD) aim() Target { return p.Target }

// attack runs PGD once on a batch.
func (p PGD) attack(ctx context.Context, e *engine, b *batch) error {
	return p.climb(ctx, e, b, p.begin(b, e.model.pixels()))
}

func (p PGD) expectation() expectation { return expectation{passes: p.EOT} }

// climb is attack from the given images: one compiled gradient and one compiled update a step, the iterate staying on the
// device throughout.
func (p PGD) climb(ctx context.Context, e *engine, b *batch, from []float32) error {
	adv := e.upload(from)
	var passes []pass
	var best *keeper
	if p.Best {
		best = newKeeper(e, p.goal(), b)
	}
	for k := range p.Steps {
		now, err := e.expect(ctx, p.goal(), b, adv, p.expectation())
		if err != nil {
			return err
		}
		if best != nil && k > 0 { // the start may lie outside the box
			if err := best.offer(ctx, adv, now.losses, now.marks); err != nil {
				return err
			}
		}
		if adv, err = p.update(ctx, e, b, adv, now.grad); err != nil {
			return err
		}
		passes = append(passes, now)
		e.ticked(len(b.images))
	}
	if best != nil {
		var err error
		if adv, err = best.take(ctx, b, adv, p.expectation()); err != nil {
			return err
		}
	}
	return b.finish(adv, passes)
}

// finish makes adv what the attack returns, takes its passes into account and frees both.
func (b *batch) finish(adv *tensors.Tensor, passes []pass) (err error) {
	if b.adv, err = tensors.CopyFlatData[float32](adv); err != nil {
		return fmt.Errorf("reading adversarial images: %w", err)
	}
	for _, done := range passes { // read at the end, so that no step waits for the host
		if err := b.collect(done); err != nil {
			return err
		}
	}
	return free(adv)
}

// begin is the start of every row, Begin on the host; padding starts at its clean image.
func (p PGD) begin(b *batch, pixels int) []float32 {
	adv := append([]float32(nil), b.x...)
	if p.Start == None {
		return adv
	}
	noise := make([]float32, pixels)
	for row := range b.images {
		p.Noise(noise, b.random(row))
		image := adv[row*pixels : (row+1)*pixels]
		for i, v := range noise {
			image[i] += v
			if p.Start == Uniform {
				image[i] = min(max(image[i], 0), 1)
			}
		}
	}
	return adv
}

// prepare compiles the programs of attack.
func (p PGD) prepare(e *engine) error {
	if err := e.prepareGradient(p.goal()); err != nil {
		return err
	}
	if err := e.prepareExpectation(p.expectation()); err != nil {
		return err
	}
	if _, err := p.mover(e); err != nil {
		return err
	}
	if p.Best {
		_, err := keeping(e, p.goal())
		return err
	}
	return nil
}

// moveKey names the compiled update of all PGDs that move alike.
type moveKey struct {
	ball     Ball
	stepSize float64
}

// mover is the program of one update.
func (p PGD) mover(e *engine) (*Exec, error) {
	return e.prepareUpdate(moveKey{p.Ball, p.StepSize}, "pgd step", func(in []*Node) []*Node {
		return []*Node{p.move(in[0], in[1], in[2])}
	}, e.imageShape(), e.imageShape(), e.imageShape())
}

// update moves adv along grad; both are used up.
func (p PGD) update(ctx context.Context, e *engine, b *batch, adv, grad *tensors.Tensor) (*tensors.Tensor, error) {
	program, err := p.mover(e)
	if err != nil {
		return nil, err
	}
	given, err := e.donate(adv, grad)
	if err != nil {
		return nil, err
	}
	out, err := e.call(ctx, program, b.clean, given[0], given[1])
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
