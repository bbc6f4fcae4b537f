package analysis

import (
	"context"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// landscaper has the programs of [MeasureLandscape].
type landscaper struct {
	LandscapeOptions
	attack   *ascent
	loss     *program // x, y -> cross-entropies [B]
	steepest *program // x, y -> the sign of their gradients
	shift    *program // a, b, then d1 and d2 of the weights that move -> these weights at θ + a·d1 + b·d2
	around   *program // x, s, r, a, b -> x + a·s + b·r
}

func newLandscaper(o LandscapeOptions) *landscaper {
	ball := attacks.Ball{Norm: attacks.Linf, Eps: o.Eps}
	return &landscaper{
		LandscapeOptions: o,
		attack:           newAscent(attacks.PGD{Ball: ball, Steps: o.Steps, StepSize: o.StepSize, Start: attacks.Uniform, Loss: "ce"}, nn.Eval),
		loss: newProgram(func(s *subject, weights, in []*Node) []*Node {
			return []*Node{attacks.CrossEntropy(s.Logits(weights, in[0]), in[1])}
		}),
		steepest: newProgram(func(s *subject, weights, in []*Node) []*Node {
			_, grad := slopeOf(in[0], func(x *Node) *Node { return attacks.CrossEntropy(s.Logits(weights, x), in[1]) })
			return []*Node{Sign(grad)}
		}),
		shift: newProgram(func(_ *subject, weights, in []*Node) []*Node {
			moved := movable(weights)
			a, b, d1, d2, out := in[0], in[1], in[2:2+len(moved)], in[2+len(moved):], make([]*Node, len(moved))
			for k, i := range moved {
				out[k] = Add(weights[i], Add(Mul(d1[k], a), Mul(d2[k], b)))
			}
			return out
		}),
		around: newProgram(func(_ *subject, _, in []*Node) []*Node {
			return []*Node{Add(in[0], Add(Mul(in[1], in[3]), Mul(in[2], in[4])))}
		}),
	}
}

// Close frees the programs.
func (l *landscaper) Close() { closeAll(l.attack, l.loss, l.steepest, l.shift, l.around) }

// movable are the weights that directions move: kernels and matrices.
func movable[W interface{ Rank() int }](weights []W) (list []int) {
	for i, w := range weights {
		if w.Rank() > 1 {
			list = append(list, i)
		}
	}
	return list
}

// filterNormal scales each filter of d, along the last axis of filters, to the length that it has in w.
func filterNormal(d, w []float32, filters int) {
	for f := range filters {
		var own, want float64
		for i := f; i < len(w); i += filters {
			own += float64(d[i]) * float64(d[i])
			want += float64(w[i]) * float64(w[i])
		}
		scale := math.Sqrt(want) / math.Max(math.Sqrt(own), 1e-10)
		for i := f; i < len(w); i += filters {
			d[i] = float32(float64(d[i]) * scale)
		}
	}
}

// direction draws a direction of the weights that move; names are those of all weights.
func (l *landscaper) direction(s *subject, names []string, axis string) (parts []*tensors.Tensor, err error) {
	for _, i := range movable(s.Weights) {
		shape := s.Weights[i].Shape()
		w, err := tensors.CopyFlatData[float32](s.Weights[i])
		if err != nil {
			return nil, err
		}
		rng, d := data.Stream(l.Seed, "landscape/"+axis+"/"+names[i]), make([]float32, len(w))
		for k := range d {
			d[k] = float32(rng.NormFloat64())
		}
		filterNormal(d, w, shape.Dim(-1))
		parts = append(parts, tensors.FromFlatDataAndDimensions(d, shape.Dimensions...))
	}
	return parts, nil
}

// measure finds the landscapes of one network; names are those of its weights.
func (l *landscaper) measure(ctx context.Context, s *subject, names []string, images []float32, labels []int32) (n NetworkLandscape, err error) {
	d1, err := l.direction(s, names, "1")
	if err != nil {
		return n, err
	}
	d2, err := l.direction(s, names, "2")
	if err != nil {
		return n, err
	}
	directions := append(d1, d2...)
	defer free(directions...)
	n = NetworkLandscape{Name: s.Name, Clean: make([]float64, l.Line), Adv: make([]float64, l.Line), Weights: square(l.Plane), Inputs: square(l.Plane)}
	err = eachBatch(s.Image, images, labels, attacks.DefaultBatch, func(b *batch) error {
		share := float64(b.n) / float64(len(labels))
		start := b.start(l.attack.PGD, true, streams(l.Seed, "landscape/attack"))
		for i, a := range evenly(l.Range, l.Line) {
			err := l.shifted(ctx, s, a, 0, directions, func(there *subject) error {
				if err := l.add(ctx, there, b, b.x, share, &n.Clean[i]); err != nil {
					return err
				}
				adv, err := l.attack.from(ctx, there, b, b.like(start))
				if err != nil {
					return err
				}
				defer free(adv)
				return l.add(ctx, there, b, adv, share, &n.Adv[i])
			})
			if err != nil {
				return err
			}
		}
		err := eachPoint(n.Weights, l.Range, func(u, v float64, sum *float64) error {
			return l.shifted(ctx, s, u, v, directions, func(there *subject) error { return l.add(ctx, there, b, b.x, share, sum) })
		})
		if err != nil {
			return err
		}
		return l.plane(ctx, s, b, share, n.Inputs)
	})
	if err != nil {
		return n, err
	}
	return n, allFinite("the loss at point", slices.Concat(n.Clean, n.Adv, slices.Concat(n.Weights...), slices.Concat(n.Inputs...)))
}

// shifted hands over the network at θ + a·d1 + b·d2.
func (l *landscaper) shifted(ctx context.Context, s *subject, a, b float64, directions []*tensors.Tensor, f func(there *subject) error) error {
	at := []*tensors.Tensor{scalar(a), scalar(b)}
	defer free(at...)
	moved, err := l.shift.run(ctx, s, append(at, directions...)...)
	if err != nil {
		return err
	}
	defer free(moved...)
	there := *s
	there.Weights = slices.Clone(s.Weights)
	for k, i := range movable(s.Weights) {
		there.Weights[i] = moved[k]
	}
	return f(&there)
}

// add adds the share of a batch in the mean loss on the images x.
func (l *landscaper) add(ctx context.Context, s *subject, b *batch, x *tensors.Tensor, share float64, sum *float64) error {
	out, err := l.loss.run(ctx, s, x, b.y)
	if err != nil {
		return err
	}
	losses, err := read(out[0], b.n)
	*sum += share * average(losses)
	return err
}

// plane adds the share of a batch to the losses around its images.
func (l *landscaper) plane(ctx context.Context, s *subject, b *batch, share float64, sums [][]float64) error {
	signs, err := l.steepest.run(ctx, s, b.x, b.y)
	if err != nil {
		return err
	}
	other := l.coins(b)
	defer free(signs[0], other)
	return eachPoint(sums, l.Reach, func(u, v float64, sum *float64) error {
		at := []*tensors.Tensor{scalar(u), scalar(v)}
		defer free(at...)
		x, err := l.around.run(ctx, s, b.x, signs[0], other, at[0], at[1])
		if err != nil {
			return err
		}
		defer free(x...)
		return l.add(ctx, s, b, x[0], share, sum)
	})
}

// coins are ±1 for every value.
func (l *landscaper) coins(b *batch) *tensors.Tensor {
	values := make([]float32, len(b.host))
	for row := range b.n {
		rng := data.Stream(l.Seed, "landscape/coins", uint64(b.first+row))
		for k := range rowOf(values, row, b.size) {
			rowOf(values, row, b.size)[k] = float32(2*rng.IntN(2) - 1)
		}
	}
	return b.like(values)
}

func square(n int) [][]float64 {
	z := make([][]float64, n)
	for i := range z {
		z[i] = make([]float64, n)
	}
	return z
}

// eachPoint visits a plane: row b, column a.
func eachPoint(z [][]float64, reach float64, f func(a, b float64, value *float64) error) error {
	grid := evenly(reach, len(z))
	for row, b := range grid {
		for col, a := range grid {
			if err := f(a, b, &z[row][col]); err != nil {
				return err
			}
		}
	}
	return nil
}
