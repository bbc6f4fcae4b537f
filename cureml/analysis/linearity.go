package analysis

import (
	"cmp"
	"context"

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
	return settings("linearity", within("eps", o.Eps, 1), within("step size", o.StepSize, 1), within("h", o.H, 1000), atLeast("steps", o.Steps, 1),
		atLeast("points of the profile", o.Profile, 2))
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
//     by projected sign-gradient ascent from a uniform start and from the corners x ± eps·sign ∇ℓ(x), of which the best
//     point counts: a lower bound. From the first start alone, images of which a network is sure stay where it is surer
//     still, far from where its prediction turns;
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
	if err := cmp.Or(checkInput(nets, set), o.Validate()); err != nil {
		return nil, err
	}
	l := newLineariser(o, attacks.CrossEntropy)
	defer l.Close()
	networks, err := measureEach(device, nets, func(_ int, s *subject) (NetworkLinearity, error) {
		return l.measure(ctx, s, pixels(set.Images), set.Labels)
	})
	if err != nil {
		return nil, err
	}
	return &Linearity{o, set.Len(), networks}, nil
}

// lineariser has the programs of [MeasureLinearity].
type lineariser struct {
	LinearityOptions
	uphill   *program // x, y -> x + eps·sign ∇ℓ
	downhill *program // x, y -> x - eps·sign ∇ℓ
	slope    *program // x, y -> the losses ℓ [B], ∇ℓ, ‖∇ℓ‖₁, bend and along
	climb    *program // x, y, ℓ, ∇ℓ, x', the largest error so far -> the last two, a step on
	along    *program // x, y, ∇ℓ, t -> the losses at x + t·sign ∇ℓ
}

// newLineariser measures a loss of logits [B, C] and labels [B].
func newLineariser(o LinearityOptions, loss func(logits, y *Node) *Node) *lineariser {
	return &lineariser{
		LinearityOptions: o,
		uphill:           newCorner(o.Eps, false, loss),
		downhill:         newCorner(-o.Eps, false, loss),
		slope: newProgram(func(s *subject, weights, in []*Node) []*Node {
			at := func(x *Node) *Node { return loss(s.Logits(weights, x), in[1]) }
			losses, grad := slopeOf(in[0], at)
			sign := Sign(grad)
			z := Div(sign, wideRows(MaxScalar(imageLength(sign), 1e-12), in[0]))
			_, beyond := slopeOf(Add(in[0], MulScalar(z, o.H)), at)
			change := DivScalar(Sub(beyond, grad), o.H)
			return []*Node{losses, grad, imageSum(Abs(grad)), imageLength(change), imageSum(Mul(z, change))}
		}),
		climb: newProgram(func(s *subject, weights, in []*Node) []*Node {
			x, y, loss0, grad, adv, best := in[0], in[1], in[2], in[3], in[4], in[5]
			gap, uphill := slopeOf(adv, func(adv *Node) *Node {
				return Abs(Sub(loss(s.Logits(weights, adv), y), Add(loss0, imageSum(Mul(Sub(adv, x), grad)))))
			})
			return []*Node{stepWithin(x, adv, uphill, o.StepSize, o.Eps), Max(best, gap)}
		}),
		along: newProgram(func(s *subject, weights, in []*Node) []*Node {
			x, y, grad, t := in[0], in[1], in[2], in[3]
			return []*Node{loss(s.Logits(weights, Add(x, Mul(Sign(grad), t))), y)}
		}),
	}
}

// Close frees the programs.
func (l *lineariser) Close() { closeAll(l.uphill, l.downhill, l.slope, l.climb, l.along) }

func (l *lineariser) measure(ctx context.Context, s *subject, images []float32, labels []int32) (n NetworkLinearity, err error) {
	n = NetworkLinearity{Name: s.Name, Real: make([]float64, l.Profile), Linear: make([]float64, l.Profile)}
	total := float64(len(labels))
	err = eachBatch(s.Image, images, labels, attacks.DefaultBatch, func(b *batch) error {
		out, err := l.slope.run(ctx, s, b.x, b.y)
		if err != nil {
			return err
		}
		losses, grad := out[0], out[1]
		defer free(grad)
		start := b.start(attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: l.Eps}, Start: attacks.Uniform}, false, streams(l.Seed, "linearity"))
		starts := []*tensors.Tensor{b.like(start)}
		for _, p := range []*program{l.uphill, l.downhill} {
			corner, err := p.run(ctx, s, b.x, b.y)
			if err != nil {
				free(starts...)
				return err
			}
			starts = append(starts, corner...)
		}
		gaps, err := largest(b, l.Steps, starts, func(adv, best *tensors.Tensor) ([]*tensors.Tensor, error) {
			return l.climb.run(ctx, s, b.x, b.y, losses, grad, adv, best)
		})
		if err != nil {
			return err
		}
		rows := make([][]float64, 5)
		for k, t := range []*tensors.Tensor{losses, out[2], out[3], out[4], gaps} {
			if rows[k], err = read(t, b.n); err != nil {
				return err
			}
		}
		for i := range l.Profile {
			t := scalar(l.at(i))
			out, err := l.along.run(ctx, s, b.x, b.y, grad, t)
			free(t)
			if err != nil {
				return err
			}
			there, err := read(out[0], b.n)
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
		err = cmp.Or(err, allFinite("the measure of image", values))
	}
	return n, err
}

// at is the i-th position of the profile.
func (o LinearityOptions) at(i int) float64 { return o.Eps * float64(i) / float64(o.Profile-1) }
