package attacks

import (
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// momentumKey names the compiled step of all attacks that move alike.
type momentumKey struct {
	ball            Ball
	stepSize, decay float64
	nesterov        bool
}

// prepare compiles the programs of attack.
func (m Momentum) prepare(e *engine) error {
	if err := e.prepareGradient(m.goal()); err != nil {
		return err
	}
	if err := e.prepareExpectation(m.plain().expectation()); err != nil {
		return err
	}
	_, err := m.stepper(e)
	return err
}

// stepper is the program of one step, from clean images, iterate, momentum and gradient to iterate and momentum, and with
// Nesterov the point ahead.
func (m Momentum) stepper(e *engine) (*Exec, error) {
	key := momentumKey{m.Ball, m.StepSize, m.Decay, m.Nesterov}
	return e.prepareUpdate(key, "momentum step", func(in []*Node) []*Node {
		next, gathered, ahead := m.advance(in[0], in[1], in[2], in[3])
		if m.Nesterov {
			return []*Node{next, gathered, ahead}
		}
		return []*Node{next, gathered}
	}, e.imageShape(), e.imageShape(), e.imageShape(), e.imageShape())
}

// attack runs all steps on a batch; iterate and momentum stay on the device.
func (m Momentum) attack(ctx context.Context, e *engine, b *batch) error {
	program, err := m.stepper(e)
	if err != nil {
		return err
	}
	adv, momentum := e.upload(b.x), e.upload(make([]float32, len(b.x)))
	var ahead *tensors.Tensor
	var passes []pass
	for range m.Steps {
		at := adv
		if ahead != nil {
			at = ahead
		}
		now, err := e.expect(ctx, m.goal(), b, at, m.plain().expectation())
		if err != nil {
			return err
		}
		given, err := e.donate(adv, momentum, now.grad)
		if err != nil {
			return err
		}
		out, err := e.call(ctx, program, b.clean, given[0], given[1], given[2])
		if err != nil {
			return err
		}
		if err := free(ahead); err != nil {
			return err
		}
		adv, momentum = out[0], out[1]
		if m.Nesterov {
			ahead = out[2]
		}
		passes = append(passes, now)
		e.ticked(len(b.images))
	}
	if err := free(momentum, ahead); err != nil {
		return err
	}
	return b.finish(adv, passes)
}
