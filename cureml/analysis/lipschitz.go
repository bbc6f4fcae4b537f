package analysis

import (
	"cmp"
	"context"
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
	"cure/viz"
)

// LipschitzOptions are the settings of [MeasureLipschitz].
type LipschitzOptions struct {
	Eps      float64 `json:"eps"` // radius around each image, in pixels of [0, 1]
	Steps    int     `json:"steps"`
	StepSize float64 `json:"step_size"` // in pixels of [0, 1]
	Seed     uint64  `json:"seed"`
}

// DefaultLipschitz has eps 8/255, and as many steps, of the same size, as the authors' code.
func DefaultLipschitz() LipschitzOptions {
	return LipschitzOptions{Eps: 8. / 255, Steps: 10, StepSize: .003}
}

// Validate says what is wrong with the settings.
func (o LipschitzOptions) Validate() error {
	return settings("lipschitz", within("eps", o.Eps, 1), within("step size", o.StepSize, 1), atLeast("steps", o.Steps, 1))
}

// Lipschitz holds empirical local Lipschitz values of networks.
type Lipschitz struct {
	LipschitzOptions
	Images   int                `json:"images"`
	Networks []NetworkLipschitz `json:"networks"`
}

// NetworkLipschitz has a value for each image: of the logits, and of the probabilities, which do not depend on the scale
// of logits alone.
type NetworkLipschitz struct {
	Name          string    `json:"name"`
	Logits        []float64 `json:"logits"`
	Probabilities []float64 `json:"probabilities"`
}

// MeasureLipschitz estimates, for every image x of a set, the local Lipschitz value of Yang et al. (2020, arXiv
// 2003.02460, section 3.3, eq. 3)
//
//	max over ‖x' - x‖∞ <= eps of ‖f(x) - f(x')‖₁ / ‖x - x'‖∞
//
// by sign-gradient ascent of the ratio, within the pixel box and from x + 0.001·N(0, 1), as the authors' code does
// (robust-local-lipschitz, lolip/utils.py, whose f are the logits). Three things differ, and only raise this lower bound: of
// each image the largest ratio on the way counts, where that code takes the last one; the gradient takes the distance
// as constant, because at the wall of the ball it would push all values back whose part in the change is below average; and
// the ascent is repeated from x + eps·sign ∇CE(f(x), y), because from x many images only become surer of what they are.
func MeasureLipschitz(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o LipschitzOptions) (*Lipschitz, error) {
	if err := cmp.Or(checkInput(nets, set), o.Validate()); err != nil {
		return nil, err
	}
	l := newStretcher(o)
	defer l.Close()
	networks, err := measureEach(device, nets, func(_ int, s *subject) (NetworkLipschitz, error) {
		return l.measure(ctx, s, pixels(set.Images), set.Labels)
	})
	if err != nil {
		return nil, err
	}
	return &Lipschitz{o, set.Len(), networks}, nil
}

// stretcher has the programs of [MeasureLipschitz], of the logits and of the probabilities.
type stretcher struct {
	LipschitzOptions
	corner *program    // x, y -> x + eps·sign ∇CE
	output [2]*program // x -> f(x)
	climb  [2]*program // x, f(x), x', the largest ratio so far -> the last two, a step on
}

func newStretcher(o LipschitzOptions) *stretcher {
	l := &stretcher{LipschitzOptions: o, corner: newCorner(o.Eps, true, attacks.CrossEntropy)}
	for k, of := range []func(logits *Node) *Node{func(logits *Node) *Node { return logits }, func(logits *Node) *Node { return Softmax(logits, -1) }} {
		l.output[k] = newProgram(func(s *subject, weights, in []*Node) []*Node { return []*Node{of(s.Logits(weights, in[0]))} })
		l.climb[k] = newProgram(func(s *subject, weights, in []*Node) []*Node {
			x, f0, adv, best := in[0], in[1], in[2], in[3]
			ratio, uphill := slopeOf(adv, func(adv *Node) *Node {
				change := ReduceSum(Abs(Sub(of(s.Logits(weights, adv)), f0)), -1)
				return Div(change, MaxScalar(ReduceMax(Abs(StopGradient(Sub(adv, x))), 1, 2, 3), 1e-6))
			})
			return []*Node{ClipScalar(stepWithin(x, adv, uphill, o.StepSize, o.Eps), 0, 1), Max(best, ratio)}
		})
	}
	return l
}

// Close frees the programs.
func (l *stretcher) Close() { closeAll(l.corner, l.output[0], l.output[1], l.climb[0], l.climb[1]) }

func (l *stretcher) measure(ctx context.Context, s *subject, images []float32, labels []int32) (n NetworkLipschitz, err error) {
	n.Name = s.Name
	err = eachBatch(s.Image, images, labels, attacks.DefaultBatch, func(b *batch) error {
		start := b.start(attacks.PGD{Start: attacks.Normal}, true, streams(l.Seed, "lipschitz"))
		for k, values := range []*[]float64{&n.Logits, &n.Probabilities} {
			f0, err := l.output[k].run(ctx, s, b.x)
			if err != nil {
				return err
			}
			defer free(f0...)
			corner, err := l.corner.run(ctx, s, b.x, b.y)
			if err != nil {
				return err
			}
			best, err := largest(b, l.Steps, []*tensors.Tensor{b.like(start), corner[0]}, func(adv, best *tensors.Tensor) ([]*tensors.Tensor, error) {
				return l.climb[k].run(ctx, s, b.x, f0[0], adv, best)
			})
			if err != nil {
				return err
			}
			found, err := read(best, b.n)
			if err != nil {
				return err
			}
			*values = append(*values, found...)
		}
		return nil
	})
	return n, cmp.Or(err, allFinite("the ratio of image", n.Logits), allFinite("the ratio of image", n.Probabilities))
}

// Tables has means and quantiles over the images.
func (l *Lipschitz) Tables() []*viz.Table {
	t := &viz.Table{
		Title:  fmt.Sprintf("Local Lipschitz values of %d images, ε = %.3g/255", l.Images, 255*l.Eps),
		Header: []string{"network", "logits: mean", "median", "95 %", "probabilities: mean", "median", "95 %"},
		Notes:  []string{fmt.Sprintf("‖f(x) - f(x')‖₁ / ‖x - x'‖∞ for pixels in [0, 1], by %d steps of ascent: lower bounds", l.Steps)},
	}
	for _, n := range l.Networks {
		row := []string{n.Name}
		for _, values := range [][]float64{n.Logits, n.Probabilities} {
			for _, v := range []float64{average(values), quantile(values, .5), quantile(values, .95)} {
				row = append(row, threeDigits(v))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return []*viz.Table{t}
}

// Pictures are the distributions over the images.
func (l *Lipschitz) Pictures() ([]Picture, error) {
	var names []string
	var logits, probabilities [][]float64
	for _, n := range l.Networks {
		names, logits, probabilities = append(names, n.Name), append(logits, n.Logits), append(probabilities, n.Probabilities)
	}
	left, err := distributions("Local Lipschitz value of the logits", "ratio, logarithmic", names, logits)
	if err != nil {
		return nil, err
	}
	right, err := distributions("Local Lipschitz value of the probabilities", "ratio, logarithmic", names, probabilities)
	if err != nil {
		return nil, err
	}
	return []Picture{{"logits", left}, {"probabilities", right}}, nil
}
