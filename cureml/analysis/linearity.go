package analysis

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// LinearityOptions are the settings of [MeasureLinearity].
type LinearityOptions struct {
	Eps      float64 `json:"eps"`       // radius of the linearity error and of the profile, in pixels of [0, 1]
	Steps    int     `json:"steps"`     // of the search for the error
	StepSize float64 `json:"step_size"` // in pixels of [0, 1]
	H        float64 `json:"h"`         // Euclidean length of the step that the curvature is measured over
	Profile  int     `json:"profile"`   // points of the profile
	Seed     uint64  `json:"seed"`
}

// DefaultLinearity has eps 8/255. H moves each of 3072 values by 0.0271, about 7/255.
func DefaultLinearity() LinearityOptions {
	return LinearityOptions{Eps: 8. / 255, Steps: 10, StepSize: 2. / 255, H: 1.5, Profile: 9}
}

// Validate says what is wrong with the settings.
func (o LinearityOptions) Validate() error {
	for _, err := range []error{within("eps", o.Eps, 1), within("step size", o.StepSize, 1), within("h", o.H, 1000)} {
		if err != nil {
			return fmt.Errorf("analysis: linearity: %w", err)
		}
	}
	if o.Steps < 1 || o.Profile < 2 {
		return fmt.Errorf("analysis: linearity: %d steps and a profile of %d points: want at least 1 step and 2 points", o.Steps, o.Profile)
	}
	return nil
}

// Linearity says how far the losses of networks are from linear functions of the image.
type Linearity struct {
	LinearityOptions
	Images   int                `json:"images"`
	Networks []NetworkLinearity `json:"networks"`
}

// NetworkLinearity holds one value for each image, but for the profile. ℓ is the cross-entropy of the image, in nats.
type NetworkLinearity struct {
	Name  string    `json:"name"`
	Loss  []float64 `json:"loss"`  // ℓ(x)
	Slope []float64 `json:"slope"` // eps·‖∇ℓ(x)‖₁: what the loss would gain within eps if it were linear
	Error []float64 `json:"error"` // the local linearity error γ(eps, x)
	Bend  []float64 `json:"bend"`  // ‖∇ℓ(x + h·z) - ∇ℓ(x)‖₂/h
	Along []float64 `json:"along"` // zᵀ(∇ℓ(x + h·z) - ∇ℓ(x))/h
	// Real and Linear are means over the images of ℓ(x + t·sign ∇ℓ(x)) and of ℓ(x) + t·‖∇ℓ(x)‖₁, at t from 0 to eps.
	Real   []float64 `json:"real"`
	Linear []float64 `json:"linear"`
}

// MeasureLinearity measures on the images of a set
//
//   - the local linearity error of Qin et al. (2019, arXiv 1907.02610, section 3), which linear losses do not have,
//
//     γ(eps, x) = max over ‖δ‖∞ <= eps of |ℓ(x + δ) - ℓ(x) - δᵀ∇ℓ(x)|
//
//     by projected sign-gradient ascent from a uniform start, of which the best point counts: a lower bound;
//
//   - the curvature along the gradient that curvature regularisation (Moosavi-Dezfooli et al. 2019, arXiv 1811.09716,
//     section 4, also called CURE) keeps small,
//
//     ‖∇ℓ(x + h·z) - ∇ℓ(x)‖₂/h,  z = sign(∇ℓ(x))/‖sign(∇ℓ(x))‖₂
//
//     which tends to ‖H·z‖ with the Hessian H as h goes to 0, and its part along z, which tends to zᵀHz;
//
//   - the loss on the way of a gradient-sign attack next to its linear continuation.
//
// Points may leave the pixel box, as these definitions have none.
func MeasureLinearity(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o LinearityOptions) (*Linearity, error) {
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	l := &Linearity{LinearityOptions: o, Images: set.Len(), Networks: make([]NetworkLinearity, len(nets))}
	open := func(m attacks.Model) (*lineariser, error) { return newLineariser(m, o, attacks.CrossEntropy) }
	err := perForm(device, nets, open, func(i int, p *lineariser, m attacks.Model) error {
		found, err := p.measure(ctx, m, pixels(set.Images), set.Labels)
		found.Name = nets[i].Name
		l.Networks[i] = found
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// lineariser has the programs of [MeasureLinearity].
type lineariser struct {
	LinearityOptions
	programs
	slope, climb, along *program // of programs
}

// newLineariser measures a loss of logits [B, C] and labels [B].
func newLineariser(m attacks.Model, o LinearityOptions, loss func(logits, y *Node) *Node) (*lineariser, error) {
	l := &lineariser{LinearityOptions: o}
	at := func(weights []*Node, x, y *Node) *Node { return loss(m.Logits(weights, x), y) }
	gradient := func(weights []*Node, x, y *Node) (losses, grad *Node) {
		leaf := Identity(StopGradient(x))
		losses = at(weights, leaf, y)
		return losses, Gradient(ReduceAllSum(losses), leaf)[0]
	}
	var err error
	l.programs, err = makePrograms(m.Backend,
		programGraph{2, func(in, weights []*Node) []*Node {
			x, y := in[0], in[1]
			losses, grad := gradient(weights, x, y)
			sign := Sign(grad)
			z := Div(sign, wideRows(MaxScalar(imageLength(sign), 1e-12), x))
			_, beyond := gradient(weights, Add(x, MulScalar(z, o.H)), y)
			change := DivScalar(Sub(beyond, grad), o.H)
			return []*Node{losses, grad, imageSum(Abs(grad)), imageLength(change), imageSum(Mul(z, change))}
		}},
		programGraph{6, func(in, weights []*Node) []*Node {
			x, y, loss0, grad, adv, best := in[0], in[1], in[2], in[3], Identity(in[4]), in[5]
			gap := Abs(Sub(at(weights, adv, y), Add(loss0, imageSum(Mul(Sub(adv, x), grad)))))
			next := Add(adv, MulScalar(Sign(Gradient(ReduceAllSum(gap), adv)[0]), o.StepSize))
			next = Min(Max(next, AddScalar(x, -o.Eps)), AddScalar(x, o.Eps))
			return []*Node{next, Max(best, gap)}
		}},
		programGraph{4, func(in, weights []*Node) []*Node {
			x, y, grad, t := in[0], in[1], in[2], in[3]
			return []*Node{at(weights, Add(x, Mul(Sign(grad), t)), y)}
		}},
	)
	if err != nil {
		return nil, err
	}
	l.slope, l.climb, l.along = l.programs[0], l.programs[1], l.programs[2]
	return l, nil
}

func (l *lineariser) measure(ctx context.Context, m attacks.Model, images []float32, labels []int32) (n NetworkLinearity, err error) {
	n.Real, n.Linear = make([]float64, l.Profile), make([]float64, l.Profile)
	total := float64(len(labels))
	err = parts(images, labels, m.Image, func(p part) error {
		out, err := l.slope.call(ctx, m.Weights, p.x, p.y)
		if err != nil {
			return err
		}
		losses, grad := out[0], out[1]
		defer release(grad)
		gaps, err := l.search(ctx, m, p, losses, grad)
		if err != nil {
			return err
		}
		rows := make([][]float64, 5)
		for k, t := range []*tensors.Tensor{losses, out[2], out[3], out[4], gaps} {
			if rows[k], err = read(t, p.n); err != nil {
				return err
			}
		}
		for i := range l.Profile {
			t := scalar(l.at(i))
			out, err := l.along.call(ctx, m.Weights, p.x, p.y, grad, t)
			release(t)
			if err != nil {
				return err
			}
			there, err := read(out[0], p.n)
			if err != nil {
				return err
			}
			for k := range there {
				n.Real[i] += there[k] / total
				n.Linear[i] += (rows[0][k] + l.at(i)*rows[1][k]) / total
			}
		}
		for k := range rows[1] {
			rows[1][k] *= l.Eps
		}
		n.Loss, n.Slope, n.Bend = append(n.Loss, rows[0]...), append(n.Slope, rows[1]...), append(n.Bend, rows[2]...)
		n.Along, n.Error = append(n.Along, rows[3]...), append(n.Error, rows[4]...)
		return nil
	})
	for _, values := range [][]float64{n.Loss, n.Slope, n.Bend, n.Along, n.Error, n.Real} {
		if err == nil {
			err = allFinite("the measure of image", values)
		}
	}
	return n, err
}

// at is the i-th position of the profile.
func (o LinearityOptions) at(i int) float64 { return o.Eps * float64(i) / float64(o.Profile-1) }

// search climbs the linearity error of a batch and returns the largest that each image showed.
func (l *lineariser) search(ctx context.Context, m attacks.Model, p part, losses, grad *tensors.Tensor) (*tensors.Tensor, error) {
	d := len(p.host) / p.x.Shape().Dim(0)
	start, noise := make([]float32, len(p.host)), make([]float32, d)
	copy(start, p.host)
	ball := attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: l.Eps}, Start: attacks.Uniform}
	for row := range p.n {
		ball.Noise(noise, data.Stream(l.Seed, "linearity", uint64(p.first+row)))
		for k, v := range noise {
			start[row*d+k] += v
		}
	}
	adv, best := p.like(start), p.rows(0)
	for range l.Steps + 1 { // the last pass only looks at where the last step led
		out, err := l.climb.call(ctx, m.Weights, p.x, p.y, losses, grad, adv, best)
		release(adv, best)
		if err != nil {
			return nil, err
		}
		adv, best = out[0], out[1]
	}
	release(adv)
	return best, nil
}

// imageSum is the sum over each image of x [B, H, W, C]: [B].
func imageSum(x *Node) *Node { return ReduceSum(x, 1, 2, 3) }

// imageLength is the Euclidean length of each image of x [B, H, W, C]: [B].
func imageLength(x *Node) *Node { return Sqrt(imageSum(Square(x))) }

// wideRows shapes one value for each image, [B], for arithmetic with x [B, H, W, C].
func wideRows(v, x *Node) *Node { return Reshape(v, x.Shape().Dim(0), 1, 1, 1) }
