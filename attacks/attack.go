package attacks

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Attack is a method under the name that reports show and that keys its random numbers.
type Attack struct {
	Name   string
	Method Method // nil adds nothing to the clean accuracy, which every report has ("natural")

	// relativeStep, where not zero, ties the step size to eps when an Override changes eps.
	relativeStep float64
	// oneStep marks FGSM and FGSM-RS: one step from their own start, whatever an Override says about steps and starts.
	oneStep bool
}

// Method is how an attack searches for adversarial images. PGD is one.
type Method interface {
	// Budget is the set of images that a success must come from.
	Budget() Ball
	// Validate says what is wrong with the settings for a model of so many classes.
	Validate(classes int) error

	runs() int                                             // runs from different starts, the worst of which counts
	passes() int                                           // steps of one run, for progress
	goal() goal                                            // the loss that reports average
	prepare(e *engine) error                               // compiles, so that attack does not
	attack(ctx context.Context, e *engine, b *batch) error // one run: writes b.adv, or-s into b.marks
}

// Override holds settings given explicitly, which take precedence over a preset's. Nil and empty fields change nothing.
type Override struct {
	Norm     *Norm
	Eps      *float64 // pixel units of [0, 1]
	StepSize *float64 // pixel units of [0, 1]
	Steps    *int     // of attacks by gradients, and of SPSA
	Queries  *int     // of SquareAttack, which passes over Steps
	Restarts *int
	Start    *Start
	Loss     string
	Best     *bool
	Target   *Target
}

// With returns the attack with the settings of o, and an error where they make no sense together. The settings
// themselves are for Validate to judge.
//
// A preset's step size that is a fraction of eps follows a changed eps. A preset that changes norm needs an eps in that
// norm, and takes steps of 2.5 eps/steps (the rule of Madry et al.) unless o has a step size. FGSM stays one step of eps
// from the clean image: it heeds norm, eps, loss and target alone, and FGSM-RS step size and restarts too. Attacks that
// choose their own starts and step sizes, such as APGD, pass over settings of these.
func (a Attack) With(o Override) (Attack, error) {
	if a.Method == nil {
		return a, nil
	}
	switch m := a.Method.(type) {
	case Ensemble:
		e, err := m.with(o)
		a.Method = e
		return a, err
	case overridable:
		return a.withSearch(m, o)
	}
	p, ok := a.Method.(PGD)
	if !ok {
		return a, fmt.Errorf("attacks: %s: settings of %T cannot be overridden", a.Name, a.Method)
	}
	if a.oneStep {
		given := o
		o = Override{Norm: o.Norm, Eps: o.Eps, Loss: o.Loss, Target: o.Target}
		if p.Start != None {
			o.StepSize, o.Restarts = given.StepSize, given.Restarts
		}
	}
	set(&p.Steps, o.Steps)
	if o.Norm != nil && *o.Norm != p.Ball.Norm {
		if o.Eps == nil {
			return a, fmt.Errorf("attacks: %s: its eps %g is for %s, so norm %s needs an eps too", a.Name, p.Ball.Eps, p.Ball.Norm, *o.Norm)
		}
		p.Ball.Norm = *o.Norm
		if !a.oneStep {
			a.relativeStep = 2.5 / float64(max(p.Steps, 1))
		}
	}
	set(&p.Ball.Eps, o.Eps)
	if o.Eps != nil && a.relativeStep != 0 {
		p.StepSize = a.relativeStep * p.Ball.Eps
	}
	set(&p.StepSize, o.StepSize)
	set(&p.Restarts, o.Restarts)
	set(&p.Start, o.Start)
	set(&p.Best, o.Best)
	set(&p.Target, o.Target)
	if o.Loss != "" {
		p.Loss = o.Loss
	}
	a.Method = p
	return a, nil
}

// overridable is a Method other than PGD that some settings can be given to.
type overridable interface {
	Method
	with(ball Ball, o Override) Method // o without norm and eps
}

// withSearch is With for such a method.
func (a Attack) withSearch(m overridable, o Override) (Attack, error) {
	ball := m.Budget()
	if o.Norm != nil && *o.Norm != ball.Norm && o.Eps == nil {
		return a, fmt.Errorf("attacks: %s: its eps %g is for %s, so norm %s needs an eps too", a.Name, ball.Eps, ball.Norm, *o.Norm)
	}
	set(&ball.Norm, o.Norm)
	set(&ball.Eps, o.Eps)
	a.Method = m.with(ball, o)
	return a, nil
}

// set copies a value that was given.
func set[T any](field, given *T) {
	if given != nil {
		*field = *given
	}
}

// Validate says what is wrong with the attack's settings for a model of so many classes.
func (a Attack) Validate(classes int) error {
	if a.Name == "" {
		return fmt.Errorf("attacks: an attack has no name")
	}
	if a.Method == nil {
		return nil
	}
	if err := a.Method.Validate(classes); err != nil {
		return fmt.Errorf("attacks: %s: %w", a.Name, err)
	}
	return nil
}

// Validate says whether the ball is one that images in [0, 1] can be attacked in.
func (b Ball) Validate() error {
	if b.Norm == L0 {
		return fmt.Errorf("norm l0: want %s; only FMN takes l0", strings.Join(normNames[:L0], " or "))
	}
	if b.Norm < 0 || int(b.Norm) >= len(normNames) {
		return fmt.Errorf("norm %s: want %s", b.Norm, strings.Join(normNames, " or "))
	}
	if !finiteAtLeast(b.Eps, 0) || b.Norm == Linf && b.Eps > 1 {
		limits := "at least 0"
		if b.Norm == Linf {
			limits = "from 0 to 1"
		}
		return fmt.Errorf("eps %g for %s: want %s, in pixel units of [0, 1] (8/255, not 8)", b.Eps, b.Norm, limits)
	}
	return nil
}

// Minimizes says whether the attack looks for the smallest perturbation of each image, so that its Result has Distances.
func (a Attack) Minimizes() bool { return a.Method != nil && minimizes(a.Method) }

var lossNames = []string{"ce", "kl", "cw", "dlr"}

// Budget is the ball.
func (p PGD) Budget() Ball { return p.Ball }

// Validate says what is wrong with the settings for a model of so many classes.
func (p PGD) Validate(classes int) error {
	if err := p.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case p.Steps < 1:
		return fmt.Errorf("steps %d: want at least 1", p.Steps)
	case !finiteAtLeast(p.StepSize, 0) || p.Ball.Norm == Linf && p.StepSize > 1:
		return fmt.Errorf("step size %g: want at least 0, in pixel units of [0, 1] (2/255, not 2)", p.StepSize)
	case p.Restarts < 0:
		return fmt.Errorf("restarts %d: want at least 1", p.Restarts)
	case p.Start < 0 || int(p.Start) >= len(startNames):
		return fmt.Errorf("start %s: want one of %s", p.Start, strings.Join(startNames, ", "))
	case !slices.Contains(lossNames, p.Loss):
		return fmt.Errorf("loss %q: want one of %s", p.Loss, strings.Join(lossNames, ", "))
	case p.Loss == "dlr" && classes < 3:
		return fmt.Errorf("loss dlr: %d classes, want at least 3", classes)
	case p.Loss == "kl" && p.Start == None:
		return fmt.Errorf("loss kl: its gradient is zero at the clean image, so start none goes nowhere: want start normal or uniform")
	case !finiteAtLeast(p.Kappa, 0):
		return fmt.Errorf("kappa %g: want at least 0", p.Kappa)
	case p.EOT < 0 || p.EOT > mostEOT:
		return fmt.Errorf("EOT %d: want from 1 to %d", p.EOT, mostEOT)
	}
	return p.Target.validate(p.Loss, classes)
}

func finiteAtLeast(v, least float64) bool {
	return v >= least && !math.IsInf(v, 0)
}
