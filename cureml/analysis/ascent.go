package analysis

import (
	"context"
	"fmt"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
)

// ascent attacks all images by PGD, also those that the network is wrong about already. An evaluation leaves these alone;
// what looks at representations, gradients or masks needs them.
type ascent struct {
	attacks.PGD
	step    *program // x, adv, y and, for the loss "kl", the logits of x -> adv
	natural *program // x -> its logits; nil for other losses
}

// newAscent climbs the loss that p names, of the labels of a batch, with batch norm in the given mode.
func newAscent(p attacks.PGD, mode nn.Mode) *ascent {
	a := ascentOf(p, func(s *subject, weights []*Node, adv *Node, in []*Node) *Node {
		var natural *Node
		if p.Loss == "kl" {
			natural = in[1]
		}
		return p.Objective(s.forward(mode, weights, adv), in[0], natural)
	})
	if p.Loss == "kl" {
		a.natural = newProgram(func(s *subject, weights, in []*Node) []*Node { return []*Node{s.forward(mode, weights, in[0])} })
	}
	return a
}

// newDescent goes towards the labels of a batch, by their cross-entropy.
func newDescent(p attacks.PGD) *ascent {
	return ascentOf(p, func(s *subject, weights []*Node, adv *Node, in []*Node) *Node {
		return Neg(attacks.CrossEntropy(s.Logits(weights, adv), in[0]))
	})
}

// ascentOf climbs an objective of one value for each image.
func ascentOf(p attacks.PGD, objective func(s *subject, weights []*Node, adv *Node, in []*Node) *Node) *ascent {
	return &ascent{PGD: p, step: newProgram(func(s *subject, weights, in []*Node) []*Node {
		return []*Node{p.Step(in[0], in[1], func(adv *Node) *Node { return objective(s, weights, adv, in[2:]) })}
	})}
}

// Close frees the programs.
func (a *ascent) Close() {
	a.step.Close()
	if a.natural != nil {
		a.natural.Close()
	}
}

// attackable says what is wrong with an attack for an ascent without natural logits.
func attackable(a attacks.Attack, classes int) (p attacks.PGD, err error) {
	p, ok := a.Method.(attacks.PGD)
	if !ok || p.Target != attacks.Untargeted || p.Loss == "kl" {
		return p, fmt.Errorf("analysis: attack %q: want an untargeted PGD with loss ce, cw or dlr, such as pgd20", a.Name)
	}
	return p, a.Validate(classes)
}

// climb returns the attacked images of a batch, from the start that rng draws for each.
func (a *ascent) climb(ctx context.Context, s *subject, b *batch, rng func(i int) *rand.Rand) (*tensors.Tensor, error) {
	return a.from(ctx, s, b, b.like(b.start(a.PGD, a.Start == attacks.Uniform, rng)))
}

// from is climb from images on the device, which it frees.
func (a *ascent) from(ctx context.Context, s *subject, b *batch, adv *tensors.Tensor) (*tensors.Tensor, error) {
	var natural []*tensors.Tensor
	if a.natural != nil {
		var err error
		if natural, err = a.natural.run(ctx, s, b.x); err != nil {
			free(adv)
			return nil, err
		}
		defer free(natural...)
	}
	for range a.Steps {
		next, err := a.step.run(ctx, s, append([]*tensors.Tensor{b.x, adv, b.y}, natural...)...)
		free(adv)
		if err != nil {
			return nil, err
		}
		adv = next[0]
	}
	return adv, nil
}

// climbAll attacks all images, in batches; the noise of image i is that of the stream of seed and i.
func (a *ascent) climbAll(ctx context.Context, s *subject, images []float32, labels []int32, size int, seed uint64) (all []float32, err error) {
	err = eachBatch(s.Image, images, labels, size, func(b *batch) error {
		adv, err := a.climb(ctx, s, b, streams(seed, "attack"))
		if err != nil {
			return err
		}
		v, err := take[float32](adv)
		all = append(all, v[:b.n*len(v)/b.size]...)
		return err
	})
	return all, err
}
