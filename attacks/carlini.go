package attacks

import (
	"fmt"
	"math"
)

// Carlini is the L2 attack of Carlini and Wagner (2017, section V): Adam on w, with x = (tanh(w) + 1)/2 inside the box,
// minimises
//
//	|x - x0|_2^2 + c max(z_y - max_{k != y} z_k + Kappa, 0)
//
// for a c that each image searches for: Outer times, from C on, by tens until one attempt has succeeded, then by bisection
// between the largest c that failed and the smallest that succeeded. An attempt starts at x0 (w = atanh((1-1e-6)(2 x0-1)):
// black and white pixels could not move otherwise) and takes Inner steps; it ends early where, after some tenth of Inner,
// the loss is not below 0.9999 of what it was after the tenth before. With 10 attempts or more, the last one repeats the
// smallest c that succeeded. The smallest adversarial image of all passes counts.
//
// The authors take 9 attempts of up to 10,000 steps; most of them end early. Their code gives up an attempt by the loss
// summed over the batch, which it first compares with that at x0, and later ports by the slowest image: here each image
// has its own attempts, ends and c, so that the result does not depend on the batch, and one that gives up starts its next
// attempt at once.
//
// As in their code, an attempt has succeeded if any of its images is adversarial, even one of Adam's first, long steps.
// Where a boundary is nearer than these (LR sqrt(d)/4 or so), the bisection may so end below the c it needs, and at a
// larger distance: a large first C does better there, as in cw-l2-fast, than a small one.
//
// The eps of Ball only says which images count as broken.
type Carlini struct {
	Ball  Ball    // L2
	Outer int     // attempts, each with another c
	Inner int     // steps of an attempt, at most
	LR    float64 // learning rate of Adam, in units of w
	C     float64 // first c
	Kappa float64 // margin, in logits, by which an image must be misclassified to count
}

// carliniPresets: cw-l2 has the authors' settings but 1,000 steps, as ports of their code do; cw-l2-fast comes down from a
// c that succeeds. cw-linf has the authors' settings too, and the finer steps of tau.
var carliniPresets = []Attack{
	{Name: "cw-l2", Method: Carlini{Ball: Ball{L2, .5}, Outer: 9, Inner: 1000, LR: .01, C: 1e-3}},
	{Name: "cw-l2-fast", Method: Carlini{Ball: Ball{L2, .5}, Outer: 5, Inner: 200, LR: .01, C: 1}},
	{Name: "cw-linf", Method: CarliniLinf{Ball: standardBall, Inner: 1000, LR: .01, C: 1e-5, Largest: 20, Factor: .9, Finer: 2}},
}

// largestC is the upper end of the search for c where no attempt has succeeded.
const largestC = 1e10

// Budget is the ball; distances beyond its eps leave an image robust.
func (c Carlini) Budget() Ball { return c.Ball }

func (Carlini) takes() []string { return []string{"steps"} }

// with has no other norm to offer: Validate refuses one.
func (c Carlini) with(ball Ball, o Override) Method {
	c.Ball = ball
	set(&c.Inner, o.Steps)
	return c
}

// Validate says what is wrong with the settings for a model of so many classes.
func (c Carlini) Validate(int) error {
	if err := c.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case c.Ball.Norm != L2:
		return fmt.Errorf("norm %s: this attack of Carlini and Wagner takes l2 (CarliniLinf takes linf)", c.Ball.Norm)
	case c.Outer < 1:
		return fmt.Errorf("outer %d: want at least 1 attempt", c.Outer)
	case !(c.C > 0 && c.C < largestC):
		return fmt.Errorf("c %g: want more than 0 and less than %g", c.C, largestC)
	}
	return c.adam().validate()
}

func (c Carlini) adam() adam { return adam{L2, c.Inner, c.LR, c.Kappa} }

func (c Carlini) minimizes() bool { return true }

func (c Carlini) runs() int { return 1 }

func (c Carlini) passes() int { return c.Outer * c.Inner }

func (c Carlini) goal() goal { return c.adam().goal() }

func (c Carlini) target(int, []float32) int { return -1 }

func (c Carlini) prepare(e *engine) error { return c.adam().prepare(e) }

func (c Carlini) walk(l *lanes) walker { return newAdamWalk(l, c.adam(), c) }

func (c Carlini) first() attempt {
	return attempt{c: c.C, low: 0, high: largestC, last: math.Inf(1)}
}

// after takes one pass into account.
func (c Carlini) after(a *attempt, p passed) sequel {
	a.found = a.found || p.success
	if !a.idle(p.loss, c.Inner) {
		return goOn
	}
	if a.found {
		a.high = min(a.high, a.c)
	} else {
		a.low = max(a.low, a.c)
	}
	switch {
	case a.high < largestC/10:
		a.c = (a.low + a.high) / 2
	case !a.found:
		a.c *= 10
	}
	a.number++
	if a.number == c.Outer {
		return finished
	}
	if c.Outer >= 10 && a.number == c.Outer-1 {
		a.c = a.high
	}
	a.found, a.step, a.last = false, 0, math.Inf(1)
	return startAgain
}
