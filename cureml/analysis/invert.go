package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/data"
)

// Inversion looks for an image x' that a network represents as it does another one, x, by steepest descent from a given
// start (Mahendran and Vedaldi 2015; Engstrom et al. 2019, arXiv 1906.00945, with robust networks and no other prior):
//
//	x' <- clip( x' - StepSize·(1 - t/Steps) · d/|d|₂ ),  d = ∂/∂x' |g(x') - g(x)|² / |g(x)|²,  t = 0, 1, ..., Steps-1
type Inversion struct {
	Layer    string  // g, as nn.Net.Tap names it; "" is pooled, what the classifier gets
	Steps    int     // 0 is 200
	StepSize float64 // of the first step, L2 in [0, 1] pixels; 0 is 0.5
	Batch    int     // images at a time; 0 is 64
}

func (o Inversion) check() (Inversion, error) {
	if o.Layer == "" {
		o.Layer = "pooled"
	}
	if o.Steps == 0 {
		o.Steps = 200
	}
	if o.StepSize == 0 {
		o.StepSize = 0.5
	}
	if o.Batch == 0 {
		o.Batch = 64
	}
	if o.Steps < 0 || o.Steps > 1e6 || o.Batch < 0 || o.Batch > 1<<16 || !(o.StepSize > 0) || math.IsInf(o.StepSize, 0) {
		return o, fmt.Errorf("analysis: inversion by %d steps of %v in batches of %d: want values above 0", o.Steps, o.StepSize, o.Batch)
	}
	return o, nil
}

// inverter holds the programs of an inversion.
type inverter struct {
	Inversion
	represent *program // x -> g(x) [B, d]
	approach  *program // x', g(x), the length of the step -> x', a step on
}

func newInverter(o Inversion) *inverter {
	g := func(s *subject, weights []*Node, x *Node) *Node {
		out, _ := tapped(s.net(weights), o.Layer, x)
		return Reshape(out, out.Shape().Dim(0), -1)
	}
	return &inverter{o,
		newProgram(func(s *subject, weights, in []*Node) []*Node { return []*Node{g(s, weights, in[0])} }),
		newProgram(func(s *subject, weights, in []*Node) []*Node {
			x, target, step := in[0], in[1], in[2]
			_, d := slopeOf(x, func(x *Node) *Node { return apart(g(s, weights, x), target) })
			length := Sqrt(ReduceAndKeep(Square(d), ReduceSum, 1, 2, 3))
			next := Sub(x, Mul(step, Div(d, MaxScalar(length, shortest))))
			return []*Node{ClipScalar(next, 0, 1)}
		}),
	}
}

// shortest keeps a gradient of zero from being divided by its length.
const shortest = 1e-20

// apart is |g - target|²/|target|² [B] of representations [B, d].
func apart(g, target *Node) *Node {
	return Div(ReduceSum(Square(Sub(g, target)), 1), MaxScalar(ReduceSum(Square(target), 1), shortest))
}

// Close frees the programs.
func (v *inverter) Close() { closeAll(v.represent, v.approach) }

// invert returns, for each image of targets, the image found from that of starts, and how far its representation is from
// the target's, |g(x') - g(x)|/|g(x)|.
func (v *inverter) invert(ctx context.Context, s *subject, targets, starts []float32) (found []float32, distance []float64, err error) {
	err = eachBatch(s.Image, targets, nil, v.Batch, func(b *batch) error {
		target, err := v.represent.run(ctx, s, b.x)
		if err != nil {
			return err
		}
		images, err := v.descend(ctx, s, b.like(rowsFrom(starts, len(starts)/imageValues, b)), target[0])
		if err != nil {
			return err
		}
		reached, err := v.represent.run(ctx, s, images)
		if err != nil {
			return err
		}
		distances, err := relative(reached[0], target[0], b.size)
		if err != nil {
			return err
		}
		values, err := take[float32](images)
		if err != nil {
			return err
		}
		found, distance = append(found, values[:b.n*imageValues]...), append(distance, distances[:b.n]...)
		return nil
	})
	return found, distance, err
}

// descend takes the steps of one batch from x, which it frees.
func (v *inverter) descend(ctx context.Context, s *subject, x, target *tensors.Tensor) (*tensors.Tensor, error) {
	for t := range v.Steps {
		step := scalar(v.StepSize * (1 - float64(t)/float64(v.Steps)))
		next, err := v.approach.run(ctx, s, x, target, step)
		free(x, step)
		if err != nil {
			return nil, err
		}
		x = next[0]
	}
	return x, nil
}

// relative is |a - b|/|b| for each of n rows, which are freed. A row b of zeros is as far as a is long.
func relative(a, b *tensors.Tensor, n int) ([]float64, error) {
	x, err := take[float32](a)
	if err != nil {
		return nil, err
	}
	y, err := take[float32](b)
	if err != nil {
		return nil, err
	}
	out := make([]float64, n)
	for i := range out {
		var difference, length float64
		other := rowOf(y, i, n)
		for k, v := range rowOf(x, i, n) {
			d := float64(v) - float64(other[k])
			difference += d * d
			length += float64(other[k]) * float64(other[k])
		}
		if length == 0 {
			length = 1
		}
		if out[i] = math.Sqrt(difference / length); math.IsNaN(out[i]) || math.IsInf(out[i], 0) {
			return nil, fmt.Errorf("the representation of image %d is not finite", i)
		}
	}
	return out, nil
}

// Inversions are images with the representations of others.
type Inversions struct {
	Images   string           `json:"images"`
	Layer    string           `json:"layer"`
	Steps    int              `json:"steps"`
	StepSize float64          `json:"step_size"`
	Targets  []uint8          `json:"targets"` // [N, 32, 32, 3], what was represented
	Starts   []uint8          `json:"starts"`  // where the search began: the next target
	Networks []InvertedImages `json:"networks"`
}

// InvertedImages are those of one network.
type InvertedImages struct {
	Name  string  `json:"name"`
	Found []uint8 `json:"found"` // [N, 32, 32, 3]
	// Representation is |g(x') - g(x)|/|g(x)| before rounding to 8 bits, Start the same where the search began, and Pixels the
	// root mean square difference of the pixel values of x' and x, in [0, 1]; of each image.
	Representation []float64 `json:"representation"`
	Start          []float64 `json:"start"`
	Pixels         []float64 `json:"pixels"`
}

// Invert inverts the representations of the images of set, two or more, each from the next image (the last from the
// first).
func Invert(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, opt Inversion) (*Inversions, error) {
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	opt, err := opt.check()
	if err != nil {
		return nil, err
	}
	if set.Len() < 2 {
		return nil, fmt.Errorf("analysis: inversion of %d image: want 2 or more, each the start of another one's", set.Len())
	}
	inv := newInverter(opt)
	defer inv.Close()
	targets := pixels(set.Images)
	starts := slices.Concat(targets[imageValues:], targets[:imageValues])
	networks, err := measureEach(device, nets, func(_ int, s *subject) (InvertedImages, error) { return inv.network(ctx, s, targets, starts) })
	if err != nil {
		return nil, err
	}
	return &Inversions{Images: set.Name, Layer: opt.Layer, Steps: opt.Steps, StepSize: opt.StepSize, Targets: set.Images, Starts: toBytes(starts), Networks: networks}, nil
}

func (v *inverter) network(ctx context.Context, s *subject, targets, starts []float32) (r InvertedImages, err error) {
	r.Name = s.Name
	still := *v
	still.Steps = 0
	if _, r.Start, err = still.invert(ctx, s, targets, starts); err != nil {
		return r, err
	}
	found, distance, err := v.invert(ctx, s, targets, starts)
	if err != nil {
		return r, err
	}
	r.Found, r.Representation = toBytes(found), distance
	for i := range distance {
		var squares float64
		for k, x := range found[i*imageValues : (i+1)*imageValues] {
			d := float64(x) - float64(targets[i*imageValues+k])
			squares += d * d
		}
		r.Pixels = append(r.Pixels, math.Sqrt(squares/imageValues))
	}
	return r, nil
}
