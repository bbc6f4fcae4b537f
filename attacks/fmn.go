package attacks

import (
	"cmp"
	"fmt"
)

// FMN looks for the smallest adversarial perturbation in L0, L1, L2 or Linf by steps along the L2-normalised gradient of
// the margin, projected to a ball whose eps closes in on the decision boundary (Pintor et al. 2021, algorithm 1). Where an
// image has not been adversarial yet, eps is the distance that the linearised margin says, ||delta|| + |margin|/||grad|| in
// the dual norm; then it shrinks by the factor 1-gamma where the point before the step was adversarial, but at most to the
// smallest distance found, and grows by 1+gamma where it was not. In L0 eps is a whole number that starts at 1 and changes by
// at least 1. Step size and gamma fall to their last values along a cosine.
//
// The settings' zero values stand for the paper's. Three things are as the paper has them, and not as in one or the other
// code: the L2 projection shortens perturbations and never lengthens them (adversarial-library's, fast_minimum_norm.py,
// lengthens too; foolbox 3.3.4 does not project at all), L1 projects to ball and pixel box at once, and L0 keeps no more
// pixel values than eps among equals. An iterate counts as adversarial where the margin is below zero by 1e-5 of the range
// of the clean logits: the linear estimate leads to where it is zero up to rounding, and there a fresh pass may disagree.
type FMN struct {
	Ball         Ball    // eps says only which distances leave an image robust; in L0 it counts pixel values (channels one by one)
	Steps        int     // passes; 0 means 100
	StepSize     float64 // L2 length of the first step, in pixel units of [0, 1]; 0 means 1
	LastStepSize float64 // that the steps fall to; 0 means StepSize/100
	Gamma        float64 // relative change of eps in the first step; 0 means 0.05
	LastGamma    float64 // that the changes fall to; 0 means 0.001
}

// filled has the defaults in place of zeros.
func (f FMN) filled() FMN {
	f.Steps, f.StepSize = cmp.Or(f.Steps, 100), cmp.Or(f.StepSize, 1)
	f.LastStepSize = cmp.Or(f.LastStepSize, f.StepSize/100)
	f.Gamma, f.LastGamma = cmp.Or(f.Gamma, .05), cmp.Or(f.LastGamma, .001)
	return f
}

// Budget is the ball.
func (f FMN) Budget() Ball { return f.Ball }

func (FMN) takes() []string { return []string{"steps", "step size"} }

func (f FMN) with(ball Ball, o Override) Method {
	f.Ball = ball
	set(&f.Steps, o.Steps)
	set(&f.StepSize, o.StepSize)
	return f
}

// Validate says what is wrong with the settings for a model of so many classes.
func (f FMN) Validate(int) error {
	if err := f.Ball.validateDistance(); err != nil {
		return err
	}
	switch {
	case f.Steps < 0:
		return fmt.Errorf("steps %d: want at least 1, or 0 for 100", f.Steps)
	case !finiteAtLeast(f.StepSize, 0):
		return fmt.Errorf("step size %g: want more than 0, or 0 for 1", f.StepSize)
	case !finiteAtLeast(f.LastStepSize, 0):
		return fmt.Errorf("last step size %g: want more than 0, or 0 for a hundredth of the first", f.LastStepSize)
	case !(f.Gamma >= 0 && f.Gamma < 1):
		return fmt.Errorf("gamma %g: want between 0 and 1, or 0 for 0.05", f.Gamma)
	case !(f.LastGamma >= 0 && f.LastGamma < 1):
		return fmt.Errorf("last gamma %g: want between 0 and 1, or 0 for 0.001", f.LastGamma)
	}
	return nil
}

// validateDistance is Validate for attacks that measure distances in L0 too.
func (b Ball) validateDistance() error {
	if b.Norm != L0 {
		return b.Validate()
	}
	if !finiteAtLeast(b.Eps, 0) {
		return fmt.Errorf("eps %g for l0: want at least 0, a number of pixel values", b.Eps)
	}
	return nil
}

func (f FMN) runs() int                   { return 1 }
func (f FMN) passes() int                 { return f.filled().Steps }
func (f FMN) goal() goal                  { return goal{loss: lossMargin} }
func (f FMN) minimizes() bool             { return true }
func (f FMN) target(int, []float32) int   { return -1 }
func (f FMN) prepare(e *engine) error     { return prepareApproach(f, e) }
func (f FMN) walk(l *lanes) walker        { return walkApproach(f, l) }
func (f FMN) state() (images, number int) { return 0, 1 }
func (f FMN) program() any                { return FMN{Ball: Ball{Norm: f.Ball.Norm}} }

// schedule is the step size and gamma.
func (f FMN) schedule(step int) [2]float64 {
	f = f.filled()
	return [2]float64{cosine(f.StepSize, f.LastStepSize, step, f.Steps), cosine(f.Gamma, f.LastGamma, step, f.Steps)}
}
