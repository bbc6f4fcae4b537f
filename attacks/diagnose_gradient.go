package attacks

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// smallestNormal is the smallest float32 that is not subnormal.
const smallestNormal = 0x1p-126

// probeStep is the step along the gradient's sign whose effect is compared with what the gradient promises.
const probeStep = 1e-3

// slope is a gradient at one point, on the host.
type slope struct {
	grad, losses []float32
	marks        []int32
}

// gradients checks those of cross entropy and of DLR at a random start.
func (p *diagnosis) gradients(ctx context.Context) error {
	scaleFree := goal{loss: "dlr"}
	if p.classes < 3 {
		scaleFree = goal{loss: lossMargin}
	}
	start := p.start()
	ce, err := p.slope(ctx, cleanGoal, start)
	if err != nil {
		return err
	}
	ratio, err := p.slope(ctx, scaleFree, start)
	if err != nil {
		return err
	}
	var zero, bad, right, vanished int
	d := p.model.pixels()
	for i := range p.n {
		steepest, correct := largestEntry(ratio.grad[i*d:(i+1)*d]), ratio.marks[i]&markWrong == 0
		if (ratio.marks[i]|ce.marks[i])&markNaN != 0 {
			bad++
			continue
		}
		if !correct {
			continue // DLR is constant where the label has the third largest logit, the hinge where it has not the largest
		}
		right++
		if steepest == 0 {
			zero++
		}
		if steepest > 0 && largestEntry(ce.grad[i*d:(i+1)*d]) < smallestNormal {
			vanished++
		}
	}
	p.raise(FlagNonFinite, SeverityError, float64(bad)/float64(p.n), 0, "at a random start, %d of %d images give NaN or infinite logits, losses or gradients", bad, p.n)
	p.raise(FlagZeroGradient, SeverityWarning, float64(zero)/float64(max(right, 1)), 0,
		"%d of %d correct images have a gradient of exactly zero at a random start: attacks that follow it stay there", zero, right)
	p.raise(FlagVanishing, SeverityWarning, float64(vanished)/float64(max(right, 1)), 0,
		"the gradient of cross entropy vanishes for %d of %d correct images, that of %s does not: the logits are too large for float32", vanished, right, scaleFree.loss)
	return p.promises(ctx, scaleFree, start, ratio)
}

// start is where APGD would begin; in L1, a random point of the ball.
func (p *diagnosis) start() []float32 {
	x, d := slices.Clone(p.b.x), p.model.pixels()
	offset := make([]float32, d)
	for i := range p.n {
		rng := p.source("diagnosis", "start", i, 0)
		if p.opt.Ball.Norm == L1 {
			PGD{Ball: p.opt.Ball, Start: Uniform}.Noise(offset, rng)
		} else {
			APGD{Ball: p.opt.Ball}.start(offset, rng)
		}
		for k, v := range offset {
			x[i*d+k] = min(max(x[i*d+k]+v, 0), 1)
		}
	}
	return x
}

// slope is the gradient of a goal at images in the first rows.
func (p *diagnosis) slope(ctx context.Context, t goal, images []float32) (s slope, err error) {
	if err = p.prepareGradient(t); err != nil {
		return s, err
	}
	defer p.reseed(p.n, func(row int) *rand.Rand { return p.source("diagnosis", "slope", row, 0) })()
	x := p.upload(images)
	now, err := p.ascend(ctx, t, p.b, x)
	if err != nil {
		return s, err
	}
	if s.grad, err = tensors.CopyFlatData[float32](now.grad); err != nil {
		return s, fmt.Errorf("reading gradients: %w", err)
	}
	if s.losses, err = tensors.CopyFlatData[float32](now.losses); err != nil {
		return s, fmt.Errorf("reading losses: %w", err)
	}
	if s.marks, err = tensors.CopyFlatData[int32](now.marks); err != nil {
		return s, fmt.Errorf("reading marks: %w", err)
	}
	return s, free(x, now.grad, now.losses, now.marks)
}

// promises compares the rise of a loss along its gradient with what the gradient says.
func (p *diagnosis) promises(ctx context.Context, t goal, from []float32, at slope) error {
	moved, d := slices.Clone(from), p.model.pixels()
	promised := make([]float64, p.n)
	for i := range p.n {
		for k := i * d; k < (i+1)*d; k++ {
			if g := float64(at.grad[k]); g != 0 {
				moved[k] = min(max(from[k]+float32(math.Copysign(probeStep, g)), 0), 1)
				promised[i] += g * (float64(moved[k]) - float64(from[k]))
			}
		}
	}
	there, err := p.slope(ctx, t, moved)
	if err != nil {
		return err
	}
	broken, of := 0, 0
	for i := range p.n {
		// float32 knows a loss to about 1e-6 of its size
		if at.marks[i]&(markWrong|markNaN) != 0 || !(promised[i] > 1e-4*math.Max(1, math.Abs(float64(at.losses[i])))) {
			continue
		}
		of++
		if kept := (float64(there.losses[i]) - float64(at.losses[i])) / promised[i]; !(kept >= .25 && kept <= 4) {
			broken++
		}
	}
	p.raise(FlagMisleading, SeverityWarning, float64(broken)/float64(max(of, 1)), .1,
		"for %d of %d correct images a step of %g along the gradient's sign raises %s by less than a quarter or more than 4 times what the gradient says",
		broken, of, probeStep, t.loss)
	return nil
}

func largestEntry(values []float32) (largest float64) {
	for _, v := range values {
		largest = math.Max(largest, math.Abs(float64(v)))
	}
	return largest
}
