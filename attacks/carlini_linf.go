package attacks

import (
	"fmt"
	"math"
)

// CarliniLinf is the Linf attack of Carlini and Wagner (2017, section VI.C). With x as in Carlini, Adam minimises
//
//	sum_i max(|x_i - x0_i| - tau, 0) + c max(z_y - max_{k != y} z_k + Kappa, 0)
//
// until the image is adversarial and the loss below 1e-4 c. Then tau becomes Factor times the largest change of the image
// found, or of tau itself if that is less; it begins at 1 and the search ends once it is below Tau. An attempt that does
// not succeed is repeated with the double c, up to Largest. Attempts start from where the last one ended. The smallest
// adversarial image of all passes counts.
//
// Two things differ from the authors' code. An attempt ends early as in Carlini, by the loss of its image. And where no c
// succeeds, the search goes on with tau halfway (in logarithm) to the smallest change found, Finer times over, for the
// steps of Factor alone leave results up to 10% too large: Finer = 0 ends there as they do.
//
// The eps of Ball only says which images count as broken.
type CarliniLinf struct {
	Ball    Ball    // Linf
	Inner   int     // steps of an attempt, at most
	LR      float64 // learning rate of Adam, in units of w
	C       float64 // first c
	Largest float64 // largest c
	Factor  float64 // by which tau shrinks
	Tau     float64 // smallest tau, in pixel units; 0 means 1/255
	Finer   int     // attempts at smaller steps of tau
	Kappa   float64 // margin, in logits, by which an image must be misclassified to count
}

// Budget is the ball; distances beyond its eps leave an image robust.
func (c CarliniLinf) Budget() Ball { return c.Ball }

func (CarliniLinf) takes() []string { return []string{"steps"} }

// with has no other norm to offer: Validate refuses one.
func (c CarliniLinf) with(ball Ball, o Override) Method {
	c.Ball = ball
	set(&c.Inner, o.Steps)
	return c
}

// Validate says what is wrong with the settings for a model of so many classes.
func (c CarliniLinf) Validate(int) error {
	if err := c.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case c.Ball.Norm != Linf:
		return fmt.Errorf("norm %s: this attack of Carlini and Wagner takes linf (Carlini takes l2)", c.Ball.Norm)
	case !(c.C > 0):
		return fmt.Errorf("c %g: want more than 0", c.C)
	case !finiteAtLeast(c.Largest, c.C):
		return fmt.Errorf("largest c %g: want at least the first, %g", c.Largest, c.C)
	case !(c.Factor > 0 && c.Factor < 1):
		return fmt.Errorf("factor %g: want more than 0 and less than 1", c.Factor)
	case !(c.Tau >= 0 && c.Tau < 1):
		return fmt.Errorf("tau %g: want from 0 to less than 1, in pixel units of [0, 1]", c.Tau)
	case c.Finer < 0:
		return fmt.Errorf("finer %d: want at least 0", c.Finer)
	}
	return c.adam().validate()
}

func (c CarliniLinf) adam() adam { return adam{Linf, c.Inner, c.LR, c.Kappa} }

func (c CarliniLinf) minimizes() bool { return true }

func (c CarliniLinf) runs() int { return 1 }

// passes is a guess, as the number of attempts is not known before: one for each c, and for each tau down to eps.
func (c CarliniLinf) passes() int {
	attempts := math.Log2(c.Largest/c.C) + math.Log(max(c.Ball.Eps, c.smallestTau()))/math.Log(c.Factor)
	return c.Inner * max(int(attempts), 1)
}

func (c CarliniLinf) goal() goal { return c.adam().goal() }

func (c CarliniLinf) target(int, []float32) int { return -1 }

func (c CarliniLinf) prepare(e *engine) error { return c.adam().prepare(e) }

func (c CarliniLinf) walk(l *lanes) walker { return newAdamWalk(l, c.adam(), c) }

func (c CarliniLinf) smallestTau() float64 {
	if c.Tau == 0 {
		return 1. / 255
	}
	return c.Tau
}

// carliniSolved is the loss, in units of c, below which an attempt has succeeded.
const carliniSolved = 1e-4

func (c CarliniLinf) first() attempt {
	return attempt{c: c.C, solvedC: c.C, tau: 1, factor: c.Factor, last: math.Inf(1), smallest: math.Inf(1)}
}

// after takes one pass into account.
func (c CarliniLinf) after(a *attempt, p passed) sequel {
	if p.success {
		a.smallest = min(a.smallest, p.distance)
	}
	switch solved := p.success && p.loss < carliniSolved*a.c; {
	case solved:
		a.tau, a.solvedC = a.factor*min(a.tau, p.distance), a.c
	case !a.idle(p.loss, c.Inner):
		return goOn
	case 2*a.c <= c.Largest:
		a.c *= 2
	case a.number < c.Finer && !math.IsInf(a.smallest, 1):
		a.number++
		a.factor = math.Sqrt(a.factor)
		a.tau, a.c = a.factor*a.smallest, a.solvedC
	default:
		return finished
	}
	if a.tau < c.smallestTau() {
		return finished
	}
	a.step, a.last = 0, math.Inf(1)
	return freshMoments
}
