package attacks

import (
	"fmt"
	"math"
)

// Bisection finds the smallest eps at which a fixed-budget attack succeeds, image by image: it runs Attack at the middle of
// an interval, which begins as [0, 2 Max]. After a success the interval ends at the distance of the image found, which is
// kept; after a failure it begins at the eps that failed (minimal_apgd of adversarial-library). An image that no round
// breaks has the distance +Inf.
//
// Within a round the attack leaves an image at its first misclassified iterate in ball and box. Each round draws a new
// random start; restarts and targets of Attack are bisections of their own, the smallest result of which counts. Eps of
// Attack's ball only says which images count as broken, and is what its step size is relative to.
type Bisection struct {
	Attack Method // PGD or APGD
	// Max is the first eps, in pixel units of [0, 1]; 0 means, for d pixel values, 32/255 in Linf, sqrt(d)/16 in L2 (3.5 for
	// CIFAR-10) and d/64 in L1 (48). Beyond what breaks every image it does harm: attacks are weak in balls that reach
	// far, and a failure there sets the search on the wrong track.
	Max    float64
	Rounds int // at most; 20 in adversarial-library
	// Tolerance ends the search of an image once the interval is as short as this share of its upper end; 0 makes all
	// rounds.
	Tolerance float64
}

// bisectionPresets end at a tenth of a percent. Both ascend the margin or a ratio of it: cross entropy, whose gradient is
// drawn to classes out of reach as well, fails more often in balls little larger than the smallest.
var bisectionPresets = []Attack{
	{Name: "min-pgd", Method: Bisection{
		Attack: PGD{Ball: standardBall, Steps: 40, StepSize: 2.5 / 40 * standardBall.Eps, Start: Uniform, Restarts: 1, Loss: "cw", Kappa: literatureKappa},
		Rounds: 20, Tolerance: 1e-3}},
	{Name: "min-apgd", Method: Bisection{
		Attack: APGD{Ball: standardBall, Steps: 50, Restarts: 1, Loss: "dlr"}, Rounds: 20, Tolerance: 1e-3}},
}

// rowwise is a fixed-budget method that lanes can run in balls of different sizes.
type rowwise interface {
	Method
	prepareRows(e *engine) error
	within(l *lanes) rowWalker
}

// Budget is that of the attack; distances beyond its eps leave an image robust.
func (b Bisection) Budget() Ball {
	if b.Attack == nil {
		return Ball{}
	}
	return b.Attack.Budget()
}

func (b Bisection) takes() []string {
	switch m := b.Attack.(type) {
	case PGD:
		return m.takes()
	case overridable:
		return m.takes()
	}
	return nil
}

// with hands over to the attack. Its step size stays the same share of eps.
func (b Bisection) with(ball Ball, o Override) Method {
	o.Norm, o.Eps = &ball.Norm, &ball.Eps
	inner := Attack{Method: b.Attack}
	if p, ok := b.Attack.(PGD); ok && p.Ball.Eps > 0 {
		inner.relativeStep = p.StepSize / p.Ball.Eps
	}
	if changed, err := inner.With(o); err == nil { // else Validate says what is wrong
		b.Attack = changed.Method
	}
	return b
}

// Validate says what is wrong with the settings for a model of so many classes.
func (b Bisection) Validate(classes int) error {
	if _, ok := b.Attack.(rowwise); !ok {
		return fmt.Errorf("bisection around %T: want PGD or APGD, which can search each image with an eps of its own", b.Attack)
	}
	if target := targetOf(b.Attack); target != Untargeted {
		return fmt.Errorf("bisection around an attack with target %s: want an untargeted one", target)
	}
	if err := b.Attack.Validate(classes); err != nil {
		return err
	}
	ball := b.Budget()
	switch {
	case ball.Eps == 0:
		return fmt.Errorf("eps 0: want more than 0, for steps are relative to it")
	case !finiteAtLeast(b.Max, 0) || ball.Norm == Linf && b.Max > 1:
		return fmt.Errorf("largest eps %g: want at least 0, in pixel units of [0, 1] (8/255, not 8)", b.Max)
	case b.Rounds < 1:
		return fmt.Errorf("rounds %d: want at least 1", b.Rounds)
	case !(b.Tolerance >= 0 && b.Tolerance < 1):
		return fmt.Errorf("tolerance %g: want from 0 to less than 1", b.Tolerance)
	}
	return nil
}

// most is the first eps for images of d pixel values.
func (b Bisection) most(d int) float64 {
	if b.Max > 0 {
		return b.Max
	}
	switch b.Budget().Norm {
	case L2:
		return math.Sqrt(float64(d)) / 16
	case L1:
		return float64(d) / 64
	}
	return 32. / 255
}

func (b Bisection) minimizes() bool { return true }

func (b Bisection) runs() int { return b.Attack.runs() }

func (b Bisection) passes() int { return b.Rounds * b.Attack.passes() }

func (b Bisection) goal() goal { return b.Attack.goal() }

func (b Bisection) target(run int, clean []float32) int {
	if s, ok := b.Attack.(search); ok {
		return s.target(run, clean)
	}
	return -1
}

func (b Bisection) prepare(e *engine) error { return b.Attack.(rowwise).prepareRows(e) }
