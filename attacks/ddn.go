package attacks

import (
	"cmp"
	"fmt"
)

// DDN looks for the smallest adversarial perturbation in L2 by decoupling its direction from its norm (Rony et al. 2019,
// algorithm 1): each step goes along the gradient of the cross-entropy, with lengths that fall from 1 to 0.01, and then
// rescales the perturbation, up or down, to a length eps that shrinks by Gamma where the point before the step was
// adversarial and grows by Gamma where it was not.
//
// A gradient shorter than 1e-12 is replaced by a random direction. The settings' zero values stand for the defaults of the
// paper's code. Given those, results are comparable with foolbox's DDNAttack (foolbox/attacks/ddn.py).
type DDN struct {
	Ball    Ball    // in L2; eps says only which distances leave an image robust
	Steps   int     // passes; 0 means 100
	InitEps float64 // first length of the perturbation, in pixel units of [0, 1]; 0 means 1
	Gamma   float64 // relative change of the length in one step; 0 means 0.05
	Levels  int     // round the pixels of all iterates to so many levels (256 for 8 bits); 0 means no rounding
}

// filled has the defaults in place of zeros.
func (d DDN) filled() DDN {
	d.Steps, d.InitEps, d.Gamma = cmp.Or(d.Steps, 100), cmp.Or(d.InitEps, 1), cmp.Or(d.Gamma, .05)
	return d
}

// Budget is the ball.
func (d DDN) Budget() Ball { return d.Ball }

func (DDN) takes() []string { return []string{"steps"} }

func (d DDN) with(ball Ball, o Override) Method {
	d.Ball = ball
	set(&d.Steps, o.Steps)
	return d
}

// Validate says what is wrong with the settings for a model of so many classes.
func (d DDN) Validate(int) error {
	if d.Ball.Norm != L2 {
		return fmt.Errorf("norm %s: DDN minimises l2 alone", d.Ball.Norm)
	}
	if err := d.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case d.Steps < 0:
		return fmt.Errorf("steps %d: want at least 1, or 0 for 100", d.Steps)
	case !finiteAtLeast(d.InitEps, 0):
		return fmt.Errorf("initial eps %g: want more than 0, or 0 for 1", d.InitEps)
	case !(d.Gamma >= 0 && d.Gamma < 1):
		return fmt.Errorf("gamma %g: want between 0 and 1, or 0 for 0.05", d.Gamma)
	case d.Levels < 0 || d.Levels == 1:
		return fmt.Errorf("levels %d: want at least 2, or 0 for no rounding", d.Levels)
	}
	return nil
}

func (d DDN) runs() int                   { return 1 }
func (d DDN) passes() int                 { return d.filled().Steps }
func (d DDN) goal() goal                  { return goal{loss: "ce"} }
func (d DDN) minimizes() bool             { return true }
func (d DDN) target(int, []float32) int   { return -1 }
func (d DDN) prepare(e *engine) error     { return prepareApproach(d, e) }
func (d DDN) walk(l *lanes) walker        { return walkApproach(d, l) }
func (d DDN) state() (images, number int) { return 0, 1 }

func (d DDN) program() any {
	d = d.filled()
	return DDN{InitEps: d.InitEps, Gamma: d.Gamma, Levels: d.Levels}
}

// schedule is the length of a step.
func (d DDN) schedule(step int) [2]float64 {
	return [2]float64{cosine(1, .01, step, d.passes())}
}
