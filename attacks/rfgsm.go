package attacks

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
)

// RFGSM is FGSM after a random step, R+FGSM of Tramèr et al. (2018, "Ensemble adversarial training"):
//
//	x' = clip(x + Alpha sign(N(0, 1)))
//	adv = clip(x' + (eps - Alpha) sign(d loss / d x'))
//
// It leaves the neighbourhood where single-step training has flattened the gradient. Where the two steps disagree about a
// pixel they cancel, so that only part of the budget is used. torchattacks' RFGSM is another attack: ten steps of 2/255
// from such a start. FGSM with a uniform start and a longer step (Wong et al. 2020) is PGD: the preset fgsm-rs.
type RFGSM struct {
	Ball     Ball    // Linf, the norm of the attack's two steps
	Alpha    float64 // length of the random step in pixel units, at most eps; eps/2 in the paper; 0 makes it FGSM
	Restarts int     // runs with fresh random steps, the worst of which counts; 0 means 1
	Loss     string  // what is maximised: "ce", "kl", "cw" or "dlr"
	Kappa    float64 // of "cw" only
	Target   Target  // with LeastLikely it is the paper's R+Step-LL
	EOT      int     // passes averaged for the gradient of a random model; 0 means 1
}

// Budget is the ball.
func (r RFGSM) Budget() Ball { return r.Ball }

// Validate says what is wrong with the settings for a model of so many classes.
func (r RFGSM) Validate(classes int) error {
	switch {
	case r.Ball.Norm != Linf:
		return fmt.Errorf("norm %s: want linf, in which a step of signs is one", r.Ball.Norm)
	case !(r.Alpha >= 0 && r.Alpha <= r.Ball.Eps):
		return fmt.Errorf("alpha %g: want from 0 to eps, %g", r.Alpha, r.Ball.Eps)
	}
	return r.step().Validate(classes)
}

func (RFGSM) takes() []string { return []string{"restarts", "loss", "target", "EOT"} }

func (r RFGSM) with(ball Ball, o Override) Method {
	if r.Ball.Eps > 0 {
		r.Alpha = min(r.Alpha*ball.Eps/r.Ball.Eps, ball.Eps)
	}
	r.Ball = ball
	set(&r.Restarts, o.Restarts)
	set(&r.Target, o.Target)
	set(&r.EOT, o.EOT)
	if o.Loss != "" {
		r.Loss = o.Loss
	}
	return r
}

// step is the second step.
func (r RFGSM) step() PGD {
	p := PGD{
		Ball: r.Ball, Steps: 1, StepSize: r.Ball.Eps - r.Alpha, Start: Uniform,
		Restarts: r.Restarts, Loss: r.Loss, Kappa: r.Kappa, Target: r.Target, EOT: r.EOT,
	}
	if r.Alpha == 0 {
		p.Start = None
	}
	return p
}

func (r RFGSM) runs() int { return max(r.Restarts, 1) }

func (r RFGSM) passes() int { return 1 }

func (r RFGSM) goal() goal { return r.step().goal() }

func (r RFGSM) aim() Target { return r.Target }

func (r RFGSM) prepare(e *engine) error { return r.step().prepare(e) }

func (r RFGSM) attack(ctx context.Context, e *engine, b *batch) error {
	from, d := append([]float32(nil), b.x...), e.model.pixels()
	for row := range b.images {
		r.jump(from[row*d:(row+1)*d], b.random(row))
	}
	return r.step().climb(ctx, e, b, from)
}

// jump takes the random step.
func (r RFGSM) jump(image []float32, rng *rand.Rand) {
	for i, v := range image {
		image[i] = min(max(v+float32(math.Copysign(r.Alpha, rng.NormFloat64())), 0), 1)
	}
}
