package analysis

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/similarity"
	"cure/data"
)

// painter holds the programs of [Visualise].
type painter struct {
	VisualOptions
	layers  map[string]*program // steps towards units of a layer
	final   *program            // spectrum -> image
	readers perForm[*similarity.Reader]
}

func newPainter(opt VisualOptions) *painter {
	return &painter{VisualOptions: opt, layers: map[string]*program{},
		final: newProgram(func(_ *subject, _, in []*Node) []*Node { return []*Node{painted(in[0])} })}
}

// Close frees the programs.
func (p *painter) Close() {
	closeAll(p.final, &p.readers)
	for _, step := range p.layers {
		step.Close()
	}
}

// read returns the layers of a network, averaged over space.
func (p *painter) read(ctx context.Context, s *subject, images []float32) ([]similarity.Layer, error) {
	const batch = 32
	reader, err := p.readers.of(s, func() (*similarity.Reader, error) { return similarity.NewReader(s.Backend, s.Arch, batch, true) })
	if err != nil {
		return nil, err
	}
	return reader.Read(ctx, s.State, images)
}

func (p *painter) network(ctx context.Context, s *subject, set *data.Set) (v VisualNetwork, err error) {
	v.Name = s.Name
	real, err := p.read(ctx, s, pixels(set.Images))
	if err != nil {
		return v, err
	}
	for i, l := range real {
		if !lastOfStage(real, i) {
			continue
		}
		units := p.choose(l, set)
		for try, noise := range startNoise {
			if err := p.excite(ctx, s, i, l, units, try, noise); err != nil {
				return v, err
			}
			if !slices.ContainsFunc(units, func(u Unit) bool { return u.Score() <= 0 }) {
				break
			}
		}
		v.Layers = append(v.Layers, VisualLayer{l.Name, units})
	}
	return v, nil
}

// startNoise are the deviations of the spectra to start from: lucid's, which is next to grey, and, where a unit is silent on
// what comes of that, as it has no gradient there, louder ones.
var startNoise = []float64{0.01, 1, 3}

// excite paints images for the units of layer i, and keeps those that excite their unit more than what it has.
func (p *painter) excite(ctx context.Context, s *subject, i int, l similarity.Layer, units []Unit, try int, noise float64) error {
	images, err := p.paint(ctx, s, l, units, try, noise)
	if err != nil {
		return err
	}
	after, err := p.read(ctx, s, pixels(slices.Concat(images...)))
	if err != nil {
		return err
	}
	for k := range units {
		u := &units[k]
		if reached := float64(rowOf(after[i].Values, k, len(units))[u.Index]); u.Image == nil || reached > u.Reached {
			u.Image, u.Reached = images[k], reached
		}
	}
	return nil
}

// lastOfStage says whether layer i is the last block before the channels change, or the logits.
func lastOfStage(layers []similarity.Layer, i int) bool {
	if i == len(layers)-1 {
		return true
	}
	next := layers[i+1]
	return layers[i].Name != "stem" && (next.Width != layers[i].Width || next.Name == "logits")
}

// choose are all logits, or the channels that real images move most, in their order.
func (p *painter) choose(l similarity.Layer, set *data.Set) []Unit {
	units := make([]Unit, l.Width)
	n := len(l.Values) / l.Width
	for c := range units {
		u := Unit{Index: c, Most: math.Inf(-1)}
		var squares float64
		for i := range n {
			a := float64(l.Values[i*l.Width+c])
			u.Mean += a / float64(n)
			squares += a * a / float64(n)
			u.Most = math.Max(u.Most, a)
		}
		u.Deviation = math.Sqrt(math.Max(0, squares-u.Mean*u.Mean))
		units[c] = u
	}
	if l.Name == "logits" {
		for c := range units {
			if c < len(set.Classes) {
				units[c].Name = set.Classes[c]
			}
		}
		return units
	}
	slices.SortStableFunc(units, func(a, b Unit) int { return cmp.Compare(b.Deviation, a.Deviation) })
	units = units[:min(p.Channels, len(units))]
	slices.SortFunc(units, func(a, b Unit) int { return cmp.Compare(a.Index, b.Index) })
	return units
}

// paint optimises one image for each unit of a layer, all at once, from noise of a deviation; try numbers its random numbers.
func (p *painter) paint(ctx context.Context, s *subject, l similarity.Layer, units []Unit, try int, noise float64) ([][]uint8, error) {
	step := p.layers[l.Name]
	if step == nil {
		step = p.towards(func(s *subject, weights []*Node, x *Node) *Node {
			out, _ := tapped(s.net(weights), l.Name, x)
			if out.Rank() == 4 {
				out = ReduceMean(out, 1, 2)
			}
			return out
		})
		p.layers[l.Name] = step
	}
	weigh := make([]float32, len(units)*l.Width)
	for k, u := range units {
		weigh[k*l.Width+u.Index] = float32(1 / math.Max(u.Deviation, smallestDeviation))
	}
	w := tensors.FromFlatDataAndDimensions(weigh, len(units), l.Width)
	defer free(w)
	key := "paint/" + l.Name
	if try > 0 {
		key += fmt.Sprintf("/%d", try)
	}
	return p.optimise(ctx, s, len(units), key, noise, step, w)
}

// towards is a step of Adam towards units of images x, [B, C], which further inputs weigh, [B, C]. It takes the spectrum,
// Adam's moments, the number of the step, the matrices of a glance and the weights; it returns the first three anew.
func (p *painter) towards(units func(s *subject, weights []*Node, x *Node) *Node) *program {
	return newProgram(func(s *subject, weights, in []*Node) []*Node {
		spectrum, m, v, t, rows, cols, weigh := in[0], in[1], in[2], in[3], in[4], in[5], in[6]
		_, grad := slopeOf(spectrum, func(spectrum *Node) *Node {
			x := painted(spectrum)
			scores := ReduceSum(Mul(units(s, weights, warped(x, rows, cols)), weigh), 1)
			return Sub(scores, MulScalar(variation(x), p.Variation))
		})
		spectrum, m, v = adam(spectrum, m, v, grad, t, ConstAsDType(t.Graph(), t.DType(), p.Rate))
		return []*Node{spectrum, m, v}
	})
}

// optimise runs the steps on n images, whose spectra start as noise of a deviation; key names their random numbers.
func (p *painter) optimise(ctx context.Context, s *subject, n int, key string, noise float64, step *program, weigh *tensors.Tensor) ([][]uint8, error) {
	rng := data.Stream(p.Seed, key)
	start := make([]float32, n*imageValues)
	for i := range start {
		start[i] = float32(noise * rng.NormFloat64())
	}
	var state []*tensors.Tensor
	for _, v := range [][]float32{start, make([]float32, len(start)), make([]float32, len(start))} {
		state = append(state, tensors.FromFlatDataAndDimensions(v, n, side32, side32, data.Channels))
	}
	defer func() { free(state...) }()
	for t := range p.Steps {
		rows, cols := glance(rng, p.Jitter, p.Zoom)
		more := []*tensors.Tensor{scalar(float64(t + 1)),
			tensors.FromFlatDataAndDimensions(rows, side32, side32), tensors.FromFlatDataAndDimensions(cols, side32, side32)}
		next, err := step.run(ctx, s, append(slices.Concat(state, more), weigh)...)
		free(more...)
		if err != nil {
			return nil, err
		}
		free(state...)
		state = next
	}
	out, err := p.final.run(ctx, s, state[0])
	if err != nil {
		return nil, err
	}
	values, err := take[float32](out[0])
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		if math.IsNaN(float64(v)) {
			return nil, fmt.Errorf("%s: pixel value %d of the image of unit %d is NaN", key, i%imageValues, i/imageValues)
		}
	}
	return slices.Collect(slices.Chunk(toBytes(values), imageValues)), nil
}
