package attacks

import (
	"fmt"
	"slices"
	"strings"
)

// Override holds settings given explicitly, which take precedence over a preset's. Nil and empty fields change nothing.
type Override struct {
	Norm     *Norm
	Eps      *float64 // pixel units of [0, 1]
	StepSize *float64 // pixel units of [0, 1]
	Steps    *int     // of attacks by gradients, and of SPSA
	Queries  *int     // of SquareAttack, which passes over Steps
	Restarts *int
	EOT      *int    // of PGD, RFGSM, Momentum and APGD
	Start    *Start  // of PGD
	Loss     string  // of PGD, RFGSM, Momentum, and APGD without Targets
	Best     *bool   // of PGD
	Target   *Target // of PGD, RFGSM and Momentum
}

// With returns the attack with the settings of o, and an error where they make no sense together. The settings
// themselves are for Validate to judge.
//
// A preset's step size that is a fraction of eps follows a changed eps. A preset that changes norm needs an eps in that
// norm, and takes steps of 2.5 eps/steps (the rule of Madry et al.) unless o has a step size. FGSM stays one step of eps
// from the clean image, and FGSM-RS one step from a uniform start.
//
// So that one Override fits a list, an attack passes over numbers that it has no use for: steps, queries, restarts, EOT
// and the step size. Start, loss, best and target are for those named there alone (of FGSM, loss and target), and for Bisection
// around them; other attacks, and AutoAttack's versions, whose stages have losses of their own, refuse them.
func (a Attack) With(o Override) (Attack, error) {
	if a.Method == nil {
		return a, nil
	}
	if err := a.refuses(o); err != nil {
		return a, err
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
		o = Override{Norm: o.Norm, Eps: o.Eps, Loss: o.Loss, Target: o.Target, EOT: o.EOT}
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
	set(&p.EOT, o.EOT)
	if o.Loss != "" {
		p.Loss = o.Loss
	}
	a.Method = p
	return a, nil
}

// overridable is a Method other than PGD that some settings can be given to.
type overridable interface {
	Method
	takes() []string                   // settings beside norm and eps
	with(ball Ball, o Override) Method // o without norm and eps
}

// Takes are the settings of an Override beside norm and eps that the attack heeds: step size, steps, queries, restarts, EOT,
// start, loss, best, target.
func (a Attack) Takes() []string {
	switch m := a.Method.(type) {
	case PGD:
		switch {
		case a.oneStep && m.Start != None:
			return []string{"step size", "restarts", "loss", "target", "EOT"}
		case a.oneStep:
			return []string{"loss", "target", "EOT"}
		}
		return m.takes()
	case overridable:
		return m.takes()
	case Ensemble:
		var all []string
		for _, stage := range m.Stages {
			all = append(all, stage.Takes()...)
		}
		if m.inBall != nil { // a version has losses of its own
			all = slices.DeleteFunc(all, func(name string) bool { return name == "loss" })
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	return nil
}

// refuses names the first setting of o that would change what kind of attack this is, in a way that it has not.
func (a Attack) refuses(o Override) error {
	if e, ok := a.Method.(Ensemble); ok && e.inBall == nil {
		return nil // its stages say
	}
	takes := a.Takes()
	for _, given := range []struct {
		name string
		is   bool
	}{
		{"start", o.Start != nil}, {"loss", o.Loss != ""}, {"best", o.Best != nil}, {"target", o.Target != nil && *o.Target != Untargeted},
	} {
		if given.is && !slices.Contains(takes, given.name) {
			return fmt.Errorf("attacks: %s takes no %s: want norm, eps, %s", a.Name, given.name, strings.Join(takes, ", "))
		}
	}
	return nil
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
