package attacks

import (
	"cmp"
	"fmt"
)

// ALMA looks for the smallest adversarial perturbation in L2 by an augmented Lagrangian method (Rony et al. 2021,
// algorithm 1): RMSProp with momentum on ||delta|| + P(v; mu, rho), where v = (margin + Tolerance) / (z_(1) - z_(3) + 1e-8)
// is negative at adversarial points, z_(k) is the k-th largest logit, and the penalty P has the slope
//
//	mu + 2 mu rho v + rho^2 v^2 / 2 for v >= 0,   mu / (1 - rho v)^2 for v < 0.
//
// From the second step on, mu follows that slope as a moving average, within [1e-6, 1e12], and every Check steps rho grows
// by the factor Growth unless an adversarial point was found or v fell below Tau times its value at the last check. Before
// the first adversarial point the learning rate is constant; from there it falls exponentially to Decay times that. The
// first step descends the penalty alone.
//
// The settings' zero values stand for the defaults of the authors' code (adversarial-library, augmented_lagrangian.py).
// Three details are our own: the line search of FirstDistance is along the step that is taken, which RMSProp scales; where the
// gradient of the first step is shorter than 1e-12, that step goes in a random direction; and rho stays below 1e8, which
// the default steps do not reach.
type ALMA struct {
	Ball          Ball    // in L2; eps says only which distances leave an image robust
	Steps         int     // passes; 0 means 1000
	StepSize      float64 // learning rate; 0 means 0.1
	Decay         float64 // of the learning rate in all; 0 means 0.01
	FirstDistance float64 // if not 0, the learning rate is what moves the first step so far, in pixel units of [0, 1]
	Mu, Rho       float64 // first penalty multiplier and parameter; 0 means 1
	Check         int     // steps between checks of rho; 0 means 10
	Growth        float64 // of rho; 0 means 1.2
	Tau           float64 // share of v that counts as progress; 0 means 0.95
	Smoothing     float64 // of mu and of RMSProp, and the momentum; 0 means 0.9
	Tolerance     float64 // margin that adversarial points are wrong by, in logits; 0 means 1e-4
}

// filled has the defaults in place of zeros.
func (a ALMA) filled() ALMA {
	a.Steps, a.Check = cmp.Or(a.Steps, 1000), cmp.Or(a.Check, 10)
	a.StepSize, a.Decay = cmp.Or(a.StepSize, .1), cmp.Or(a.Decay, .01)
	a.Mu, a.Rho, a.Growth, a.Tau = cmp.Or(a.Mu, 1), cmp.Or(a.Rho, 1), cmp.Or(a.Growth, 1.2), cmp.Or(a.Tau, .95)
	a.Smoothing, a.Tolerance = cmp.Or(a.Smoothing, .9), cmp.Or(a.Tolerance, 1e-4)
	return a
}

// Budget is the ball.
func (a ALMA) Budget() Ball { return a.Ball }

func (ALMA) takes() []string { return []string{"steps", "step size"} }

func (a ALMA) with(ball Ball, o Override) Method {
	a.Ball = ball
	set(&a.Steps, o.Steps)
	set(&a.StepSize, o.StepSize)
	return a
}

// Validate says what is wrong with the settings for a model of so many classes.
func (a ALMA) Validate(classes int) error {
	if a.Ball.Norm != L2 {
		return fmt.Errorf("norm %s: ALMA minimises l2 alone", a.Ball.Norm)
	}
	if err := a.Ball.Validate(); err != nil {
		return err
	}
	if classes < 3 {
		return fmt.Errorf("ALMA: %d classes, want at least 3", classes)
	}
	if a.Steps < 0 {
		return fmt.Errorf("steps %d: want at least 1, or 0 for 1000", a.Steps)
	}
	if a.Check < 0 {
		return fmt.Errorf("check %d: want at least 1 step, or 0 for 10", a.Check)
	}
	for _, s := range []struct {
		name  string
		value float64
		zero  string
	}{
		{"step size", a.StepSize, "0.1"}, {"first distance", a.FirstDistance, "no line search"}, {"mu", a.Mu, "1"}, {"rho", a.Rho, "1"},
		{"tolerance", a.Tolerance, "0.0001"},
	} {
		if !finiteAtLeast(s.value, 0) {
			return fmt.Errorf("%s %g: want more than 0, or 0 for %s", s.name, s.value, s.zero)
		}
	}
	switch {
	case a.Growth != 0 && !finiteAtLeast(a.Growth, 1):
		return fmt.Errorf("growth %g: want at least 1, or 0 for 1.2", a.Growth)
	case !(a.Decay >= 0 && a.Decay <= 1):
		return fmt.Errorf("decay %g: want more than 0 and at most 1, or 0 for 0.01", a.Decay)
	case !(a.Tau >= 0 && a.Tau <= 1):
		return fmt.Errorf("tau %g: want more than 0 and at most 1, or 0 for 0.95", a.Tau)
	case !(a.Smoothing >= 0 && a.Smoothing < 1):
		return fmt.Errorf("smoothing %g: want between 0 and 1, or 0 for 0.9", a.Smoothing)
	}
	return nil
}

func (a ALMA) runs() int                   { return 1 }
func (a ALMA) passes() int                 { return a.filled().Steps }
func (a ALMA) goal() goal                  { return goal{lossExcess, a.filled().Tolerance} }
func (a ALMA) minimizes() bool             { return true }
func (a ALMA) target(int, []float32) int   { return -1 }
func (a ALMA) prepare(e *engine) error     { return prepareApproach(a, e) }
func (a ALMA) walk(l *lanes) walker        { return walkApproach(a, l) }
func (a ALMA) state() (images, number int) { return 2, 5 }

func (a ALMA) program() any {
	a = a.filled()
	a.Ball, a.Steps, a.Check, a.Tolerance = Ball{}, 0, 0, 0
	return a
}

// schedule is the share of the steps that are done, and 1 where rho is checked.
func (a ALMA) schedule(step int) [2]float64 {
	a = a.filled()
	return [2]float64{float64(step) / float64(a.Steps), float64(one(step > 0 && (step+1)%a.Check == 0))}
}
