package analysis

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
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
	represent, approach *lens
}

func newInverter(device compute.Backend, o Inversion) *inverter {
	return &inverter{o,
		newLens(device, func(net *nn.Net, in []*Node) []*Node {
			g, _ := tapped(net, o.Layer, in[0])
			return []*Node{Reshape(g, g.Shape().Dim(0), -1)}
		}),
		newLens(device, func(net *nn.Net, in []*Node) []*Node {
			x, target, step := in[0], in[1], in[2]
			leaf := Identity(StopGradient(x))
			g, _ := tapped(net, o.Layer, leaf)
			far := apart(Reshape(g, g.Shape().Dim(0), -1), target)
			d := Gradient(ReduceAllSum(far), leaf)[0]
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

func (v *inverter) close() {
	v.represent.close()
	v.approach.close()
}

// invert returns, for each image of targets, the image found from that of starts, and how far its representation is from
// the target's, |g(x') - g(x)|/|g(x)|.
func (v *inverter) invert(ctx context.Context, s *subject, targets, starts []float32) (found []float32, distance []float64, err error) {
	n := len(targets) / imageValues
	batch := min(v.Batch, n)
	for first := 0; first < n; first += batch {
		x := imageBatch(targets, first, batch)
		target, err := v.represent.look(ctx, s, x)
		freeAll(x)
		if err != nil {
			return nil, nil, err
		}
		images, err := v.descend(ctx, s, imageBatch(starts, first, batch), target[0])
		if err != nil {
			return nil, nil, err
		}
		reached, err := v.represent.look(ctx, s, images)
		if err != nil {
			return nil, nil, err
		}
		distances, err := relative(reached[0], target[0], batch)
		if err != nil {
			return nil, nil, err
		}
		pixels, err := take(images)
		if err != nil {
			return nil, nil, err
		}
		count := min(batch, n-first)
		found, distance = append(found, pixels[:count*imageValues]...), append(distance, distances[:count]...)
	}
	return found, distance, nil
}

// descend takes the steps of one batch from x, which it frees.
func (v *inverter) descend(ctx context.Context, s *subject, x, target *tensors.Tensor) (*tensors.Tensor, error) {
	for t := range v.Steps {
		step := tensors.FromScalar(float32(v.StepSize * (1 - float64(t)/float64(v.Steps))))
		next, err := v.approach.look(ctx, s, x, target, step)
		freeAll(x, step)
		if err != nil {
			return nil, err
		}
		x = next[0]
	}
	return x, nil
}

// relative is |a - b|/|b| for each of n rows, which are freed. A row b of zeros is as far as a is long.
func relative(a, b *tensors.Tensor, n int) ([]float64, error) {
	x, err := take(a)
	if err != nil {
		return nil, err
	}
	y, err := take(b)
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
			return nil, fmt.Errorf("analysis: the representation of image %d is not finite", i)
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
	opt, err := opt.check()
	if err != nil {
		return nil, err
	}
	if set.Len() < 2 {
		return nil, fmt.Errorf("analysis: inversion of %d image: want 2 or more, each the start of another one's", set.Len())
	}
	inv := newInverter(device, opt)
	defer inv.close()
	targets := unitPixels(set)
	starts := append(targets[imageValues:len(targets):len(targets)], targets[:imageValues]...)
	r := &Inversions{Images: set.Name, Layer: opt.Layer, Steps: opt.Steps, StepSize: opt.StepSize, Targets: set.Images, Starts: toBytes(starts)}
	for _, net := range nets {
		images, err := inv.network(ctx, net, targets, starts)
		if err != nil {
			return nil, err
		}
		r.Networks = append(r.Networks, images)
	}
	return r, nil
}

func (v *inverter) network(ctx context.Context, net Network, targets, starts []float32) (r InvertedImages, err error) {
	s := newSubject(net)
	defer s.free()
	r.Name = net.Name
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
