package analysis

import (
	"context"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// walker has the programs of [MeasureBoundary].
type walker struct {
	BoundaryOptions
	attack *evaluator
	class  *program // x, target, s [B] -> the class at x + s·(target - x)
}

func newWalker(o BoundaryOptions, set *data.Set) *walker {
	return &walker{BoundaryOptions: o, attack: newEvaluator(set), class: newProgram(func(s *subject, weights, in []*Node) []*Node {
		x, target, share := in[0], in[1], in[2]
		z := s.Logits(weights, Add(x, Mul(Sub(target, x), wideRows(share, x))))
		return []*Node{ConvertDType(ArgMax(z, -1, dtypes.Int32), dtypes.Float32)}
	})}
}

// Close frees the programs.
func (w *walker) Close() { closeAll(w.attack, w.class) }

func (w *walker) measure(ctx context.Context, s *subject, set *data.Set, targets [2][][]float32) (n NetworkBoundary, err error) {
	r, err := w.attack.evaluate(ctx, s, set, w.Attacks, attacks.Options{Seed: int64(w.Seed)})
	if err != nil {
		return n, err
	}
	n.Name, n.Right = s.Name, []int{}
	for i, right := range r.Clean.Flags {
		if right {
			n.Right = append(n.Right, i)
		}
	}
	pick := func(all func(i int) attacks.Number) {
		distances := make([]attacks.Number, len(n.Right))
		for k, i := range n.Right {
			distances[k] = all(i)
		}
		n.Distances = append(n.Distances, distances)
	}
	for _, a := range r.Attacks {
		pick(func(i int) attacks.Number { return a.Distances[i] })
	}
	for _, way := range targets {
		shortest := make([]float64, set.Len())
		for i := range shortest {
			shortest[i] = math.Inf(1)
		}
		for _, target := range way {
			distances, err := w.walk(ctx, s, pixels(set.Images), target, set.Labels)
			if err != nil {
				return n, err
			}
			for i, v := range distances {
				shortest[i] = min(shortest[i], v)
			}
		}
		pick(func(i int) attacks.Number { return attacks.Number(shortest[i]) })
	}
	return n, nil
}

// walk returns for each image the distance towards its target at which its class is no longer its label.
func (w *walker) walk(ctx context.Context, s *subject, images, targets []float32, labels []int32) (distances []float64, err error) {
	err = eachBatch(s.Image, images, labels, w.attack.size, func(b *batch) error {
		ends := rowsFrom(targets, len(labels), b)
		target := b.like(ends)
		defer free(target)
		changed := func(shares []float32) ([]bool, error) {
			at := tensors.FromValue(shares)
			defer free(at)
			out, err := w.class.run(ctx, s, b.x, target, at)
			if err != nil {
				return nil, err
			}
			classes, err := read(out[0], b.n)
			flags := make([]bool, b.n)
			for row := range classes {
				flags[row] = int32(classes[row]) != labels[b.first+row]
			}
			return flags, err
		}
		shares, err := firstChange(b.size, b.n, w.Grid, w.Refine, changed)
		if err != nil {
			return err
		}
		for row, share := range shares {
			length, end := 0.0, rowOf(ends, row, b.size)
			for k, v := range rowOf(b.host, row, b.size) {
				d := float64(end[k]) - float64(v)
				length += d * d
			}
			distances = append(distances, share*math.Sqrt(length))
		}
		return nil
	})
	return distances, err
}

// firstChange looks for the share s of the way at which each of n rows changes: the first point of the grid where it has,
// and from there bisections. It is +Inf where there is none. changed takes one s for each of size rows.
func firstChange(size, n, grid, refine int, changed func(s []float32) ([]bool, error)) ([]float64, error) {
	lo, hi, at := make([]float64, n), make([]float64, n), make([]float32, size)
	for row := range hi {
		hi[row] = math.Inf(1)
	}
	for g := 1; g <= grid; g++ {
		for row := range at {
			at[row] = float32(g) / float32(grid)
		}
		flags, err := changed(at)
		if err != nil {
			return nil, err
		}
		for row, yes := range flags {
			if yes && math.IsInf(hi[row], 1) {
				lo[row], hi[row] = float64(g-1)/float64(grid), float64(g)/float64(grid)
			}
		}
	}
	for range refine {
		for row := range n {
			at[row] = 0
			if !math.IsInf(hi[row], 1) {
				at[row] = float32((lo[row] + hi[row]) / 2)
			}
		}
		flags, err := changed(at)
		if err != nil {
			return nil, err
		}
		for row, yes := range flags {
			switch {
			case math.IsInf(hi[row], 1):
			case yes:
				hi[row] = float64(at[row])
			default:
				lo[row] = float64(at[row])
			}
		}
	}
	return hi, nil
}
