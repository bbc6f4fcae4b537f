package analysis

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
	"cure/cureml/similarity"
	"cure/data"
)

// VisualOptions are the settings of [Visualise].
type VisualOptions struct {
	Channels int     // of the last block of every stage, those that the images move most; 0 is 6
	Steps    int     // of ascent; 0 is 256
	Rate     float64 // of Adam on the spectrum; 0 is 0.05
	// Jitter, in pixels, and Zoom, a share, are how far the image is moved and scaled at random before every step; 0 is 2 and
	// 0.1, a negative value none.
	Jitter, Zoom float64
	// Variation weighs the total variation, the mean absolute difference of neighbouring pixel values in [0, 1], against
	// the activation in standard deviations; 0 is 20, a negative value none.
	Variation float64
	Seed      uint64
}

func (o VisualOptions) check() (VisualOptions, error) {
	if o.Channels == 0 {
		o.Channels = 6
	}
	if o.Steps == 0 {
		o.Steps = 256
	}
	for _, f := range []struct {
		value *float64
		zero  float64
	}{{&o.Rate, 0.05}, {&o.Jitter, 2}, {&o.Zoom, 0.1}, {&o.Variation, 20}} {
		if *f.value == 0 {
			*f.value = f.zero
		}
		*f.value = math.Max(*f.value, 0)
	}
	switch {
	case o.Channels < 1 || o.Channels > 1024:
		return o, fmt.Errorf("analysis: %d channels: want 1 to 1024", o.Channels)
	case o.Steps < 1 || o.Steps > 1e6:
		return o, fmt.Errorf("analysis: %d steps: want 1 or more", o.Steps)
	case !(o.Rate > 0 && o.Rate < 1e3) || !(o.Jitter < side32) || !(o.Zoom < 1) || !(o.Variation < 1e9):
		return o, fmt.Errorf("analysis: rate %v, jitter %v, zoom %v, variation %v: want a rate above 0, a jitter below %d, a zoom below 1",
			o.Rate, o.Jitter, o.Zoom, o.Variation, side32)
	}
	return o, nil
}

// Visuals are images that excite single units of networks.
type Visuals struct {
	Images   string          `json:"images"` // that activations are compared with
	N        int             `json:"n"`
	Steps    int             `json:"steps"`
	Networks []VisualNetwork `json:"networks"`
}

// VisualNetwork are the units of one network: channels of the last block of every stage, and the classes.
type VisualNetwork struct {
	Name   string        `json:"name"`
	Layers []VisualLayer `json:"layers"`
}

// VisualLayer are units of one layer.
type VisualLayer struct {
	Layer string `json:"layer"` // as nn.Net.Tap names it
	Units []Unit `json:"units"`
}

// Unit is a channel, averaged over space, or a logit.
type Unit struct {
	Index int     `json:"index"`
	Name  string  `json:"name"`  // of a class
	Image []uint8 `json:"image"` // [32, 32, 3], RGB
	// Reached is the activation on Image; Mean, Deviation and Most are those on the images of the set.
	Reached   float64 `json:"reached"`
	Mean      float64 `json:"mean"`
	Deviation float64 `json:"deviation"`
	Most      float64 `json:"most"`
}

// Score is how many standard deviations above the mean of real images the unit is on its own image.
func (u Unit) Score() float64 { return (u.Reached - u.Mean) / math.Max(u.Deviation, smallestDeviation) }

// smallestDeviation keeps units that no image moves finite.
const smallestDeviation = 1e-6

// Visualise makes, for units u of each network, the image that maximises
//
//	(u(glance(x)) - mean) / deviation - Variation · TV(x)
//
// where mean and deviation are those of u on the images of set: Adam on the spectrum of x, seen through random glances.
func Visualise(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, opt VisualOptions) (*Visuals, error) {
	opt, err := opt.check()
	if err != nil {
		return nil, err
	}
	v := &Visuals{Images: set.Name, N: set.Len(), Steps: opt.Steps}
	painter := newPainter(device, opt)
	defer painter.close()
	for _, net := range nets {
		n, err := painter.network(ctx, net, set)
		if err != nil {
			return nil, err
		}
		v.Networks = append(v.Networks, n)
	}
	return v, nil
}

// painter holds the programs of [Visualise].
type painter struct {
	opt    VisualOptions
	device compute.Backend
	layers map[string]*lens
	final  *Exec
	reader *similarity.Reader
	arch   string // of reader
}

func newPainter(device compute.Backend, opt VisualOptions) *painter {
	return &painter{opt: opt, device: device, layers: map[string]*lens{}}
}

func (p *painter) close() {
	for _, l := range p.layers {
		l.close()
	}
	if p.final != nil {
		p.final.Finalize()
	}
	if p.reader != nil {
		p.reader.Close()
	}
}

// read returns the layers of a network, averaged over space.
func (p *painter) read(ctx context.Context, net Network, images []float32) ([]similarity.Layer, error) {
	if form := formOf(net.Arch); p.reader == nil || p.arch != form {
		if p.reader != nil {
			p.reader.Close()
		}
		r, err := similarity.NewReader(p.device, net.Arch, 32, true)
		if err != nil {
			return nil, err
		}
		p.reader, p.arch = r, form
	}
	return p.reader.Read(ctx, net.State, images)
}

func (p *painter) network(ctx context.Context, net Network, set *data.Set) (v VisualNetwork, err error) {
	v.Name = net.Name
	real, err := p.read(ctx, net, unitPixels(set))
	if err != nil {
		return v, err
	}
	s := newSubject(net)
	defer s.free()
	for i, l := range real {
		if !lastOfStage(real, i) {
			continue
		}
		units := p.choose(l, set)
		images, err := p.paint(ctx, s, l, units)
		if err != nil {
			return v, err
		}
		after, err := p.read(ctx, net, fromBytes(slices.Concat(images...)))
		if err != nil {
			return v, err
		}
		for k := range units {
			units[k].Image = images[k]
			units[k].Reached = float64(rowOf(after[i].Values, k, len(units))[units[k].Index])
		}
		v.Layers = append(v.Layers, VisualLayer{l.Name, units})
	}
	return v, nil
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
	units = units[:min(p.opt.Channels, len(units))]
	slices.SortFunc(units, func(a, b Unit) int { return cmp.Compare(a.Index, b.Index) })
	return units
}

// paint optimises one image for each unit of a layer, all at once.
func (p *painter) paint(ctx context.Context, s *subject, l similarity.Layer, units []Unit) ([][]uint8, error) {
	look := p.layers[l.Name]
	if look == nil {
		look = newLens(p.device, func(net *nn.Net, in []*Node) []*Node {
			weigh := in[6] // [B, C]
			return p.ascend(in[:6], func(x *Node) *Node {
				out, _ := tapped(net, l.Name, x)
				if out.Rank() == 4 {
					out = ReduceMean(out, 1, 2)
				}
				return ReduceSum(Mul(out, weigh), 1)
			})
		})
		p.layers[l.Name] = look
	}
	weigh := make([]float32, len(units)*l.Width)
	for k, u := range units {
		weigh[k*l.Width+u.Index] = float32(1 / math.Max(u.Deviation, smallestDeviation))
	}
	w := tensors.FromFlatDataAndDimensions(weigh, len(units), l.Width)
	defer freeAll(w)
	return p.optimise(len(units), "paint/"+l.Name, func(state []*tensors.Tensor) ([]*tensors.Tensor, error) {
		return look.look(ctx, s, append(state, w)...)
	})
}

// ascend is a step of the objective with scores [B] as the unit: in are the spectrum, Adam's moments, the number of the
// step and the matrices of a glance; out are the first three anew.
func (p *painter) ascend(in []*Node, scores func(x *Node) *Node) []*Node {
	spectrum, m, v, t, rows, cols := in[0], in[1], in[2], in[3], in[4], in[5]
	leaf := Identity(StopGradient(spectrum))
	x := painted(leaf)
	goal := Sub(scores(warped(x, rows, cols)), MulScalar(variation(x), p.opt.Variation))
	grad := Gradient(ReduceAllSum(goal), leaf)[0]
	spectrum, m, v = adam(spectrum, m, v, grad, t, ConstAsDType(t.Graph(), t.DType(), p.opt.Rate))
	return []*Node{spectrum, m, v}
}

// optimise runs the steps on n images; key names their random numbers.
func (p *painter) optimise(n int, key string, step func(state []*tensors.Tensor) ([]*tensors.Tensor, error)) ([][]uint8, error) {
	rng := data.Stream(p.opt.Seed, key)
	start := make([]float32, n*imageValues)
	for i := range start {
		start[i] = float32(0.01 * rng.NormFloat64()) // lucid's
	}
	zeros := make([]float32, len(start))
	state := []*tensors.Tensor{imageBatch(start, 0, n), imageBatch(zeros, 0, n), imageBatch(zeros, 0, n)}
	defer func() { freeAll(state...) }()
	for t := range p.opt.Steps {
		rows, cols := glance(rng, p.opt.Jitter, p.opt.Zoom)
		more := []*tensors.Tensor{tensors.FromScalar(float32(t + 1)),
			tensors.FromFlatDataAndDimensions(rows, side32, side32), tensors.FromFlatDataAndDimensions(cols, side32, side32)}
		next, err := step(slices.Concat(state, more))
		freeAll(more...)
		if err != nil {
			return nil, err
		}
		freeAll(state...)
		state = next
	}
	if p.final == nil {
		var err error
		if p.final, err = NewExec(p.device, painted); err != nil {
			return nil, fmt.Errorf("analysis: %w", err)
		}
	}
	out, err := p.final.Exec(state[0])
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	pixels, err := take(out[0])
	if err != nil {
		return nil, err
	}
	for i, v := range pixels {
		if math.IsNaN(float64(v)) {
			return nil, fmt.Errorf("analysis: %s: pixel value %d of the image of unit %d is NaN", key, i%imageValues, i/imageValues)
		}
	}
	return slices.Collect(slices.Chunk(toBytes(pixels), imageValues)), nil
}
