package analysis

import (
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
	for _, err := range []error{within("eps", o.Eps, 1), within("step size", o.StepSize, 1)} {
		if err != nil {
			return fmt.Errorf("analysis: lipschitz: %w", err)
		}
	}
	if o.Steps < 1 {
		return fmt.Errorf("analysis: lipschitz: %d steps: want at least 1", o.Steps)
	}
	return nil
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
// (robust-local-lipschitz, lolip/utils.py, whose f are the logits). Two things differ, and only raise this lower bound: of
// each image the largest ratio on the way counts, where that code takes the last one; and the gradient takes the distance
// as constant, because at the wall of the ball it would push all values back whose part in the change is below average.
func MeasureLipschitz(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o LipschitzOptions) (*Lipschitz, error) {
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	l := &Lipschitz{LipschitzOptions: o, Images: set.Len(), Networks: make([]NetworkLipschitz, len(nets))}
	open := func(m attacks.Model) (*stretcher, error) { return newStretcher(m, o) }
	err := perForm(device, nets, open, func(i int, p *stretcher, m attacks.Model) (err error) {
		l.Networks[i], err = p.measure(ctx, m, pixels(set.Images), set.Labels)
		l.Networks[i].Name = nets[i].Name
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// stretcher has the programs of [MeasureLipschitz]: of each output, its value at the images and a step of ascent.
type stretcher struct {
	LipschitzOptions
	programs
}

func newStretcher(m attacks.Model, o LipschitzOptions) (s *stretcher, err error) {
	s = &stretcher{LipschitzOptions: o}
	var graphs []programGraph
	for _, of := range []func(logits *Node) *Node{func(logits *Node) *Node { return logits }, func(logits *Node) *Node { return Softmax(logits, -1) }} {
		f := func(weights []*Node, x *Node) *Node { return of(m.Logits(weights, x)) }
		graphs = append(graphs,
			programGraph{1, func(in, weights []*Node) []*Node { return []*Node{f(weights, in[0])} }},
			programGraph{4, func(in, weights []*Node) []*Node {
				x, f0, adv, best := in[0], in[1], Identity(in[2]), in[3]
				change := ReduceSum(Abs(Sub(f(weights, adv), f0)), -1)
				ratio := Div(change, MaxScalar(ReduceMax(Abs(StopGradient(Sub(adv, x))), 1, 2, 3), 1e-6))
				next := Add(adv, MulScalar(Sign(Gradient(ReduceAllSum(ratio), adv)[0]), o.StepSize))
				next = Min(Max(next, AddScalar(x, -o.Eps)), AddScalar(x, o.Eps))
				return []*Node{ClipScalar(next, 0, 1), Max(best, ratio)}
			}})
	}
	s.programs, err = makePrograms(m.Backend, graphs...)
	return s, err
}

func (s *stretcher) measure(ctx context.Context, m attacks.Model, images []float32, labels []int32) (n NetworkLipschitz, err error) {
	err = parts(images, labels, m.Image, func(p part) error {
		for k, values := range []*[]float64{&n.Logits, &n.Probabilities} {
			best, err := s.ascend(ctx, m, p, s.programs[2*k], s.programs[2*k+1])
			if err != nil {
				return err
			}
			found, err := read(best, p.n)
			if err != nil {
				return err
			}
			*values = append(*values, found...)
		}
		return nil
	})
	for _, values := range [][]float64{n.Logits, n.Probabilities} {
		if err == nil {
			err = allFinite("the ratio of image", values)
		}
	}
	return n, err
}

// ascend climbs the ratio of a batch.
func (s *stretcher) ascend(ctx context.Context, m attacks.Model, p part, output, step *program) (*tensors.Tensor, error) {
	at, err := output.call(ctx, m.Weights, p.x)
	if err != nil {
		return nil, err
	}
	defer release(at[0])
	start := noisy(p, "lipschitz", s.Seed, attacks.PGD{Start: attacks.Normal})
	adv, best := p.like(start), p.rows(0)
	for range s.Steps + 1 { // the last pass only looks at where the last step led
		out, err := step.call(ctx, m.Weights, p.x, at[0], adv, best)
		release(adv, best)
		if err != nil {
			return nil, err
		}
		adv, best = out[0], out[1]
	}
	release(adv)
	return best, nil
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
				row = append(row, fmt.Sprintf("%.3g", v))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return []*viz.Table{t}
}

// Pictures are the distributions over the images.
func (l *Lipschitz) Pictures() ([]Picture, error) {
	var logits, probabilities []viz.Series
	for _, n := range l.Networks {
		logits = append(logits, viz.ECDF(n.Name, logarithms(n.Logits)))
		probabilities = append(probabilities, viz.ECDF(n.Name, logarithms(n.Probabilities)))
	}
	left, err := distributions("Local Lipschitz value of the logits", "log10 of the ratio", logits)
	if err != nil {
		return nil, err
	}
	right, err := distributions("Local Lipschitz value of the probabilities", "log10 of the ratio", probabilities)
	if err != nil {
		return nil, err
	}
	return []Picture{{"logits", left}, {"probabilities", right}}, nil
}
