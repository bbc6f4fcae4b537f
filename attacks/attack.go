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

	runs() int               // runs from different starts, the worst of which counts
	passes() int             // steps of one run, for progress
	goal() goal              // the loss that reports average
	prepare(e *engine) error // compiles its programs
}

// batchwise is a Method whose rows move together. Others are searches, in lanes, and ensembles.
type batchwise interface {
	Method
	attack(ctx context.Context, e *engine, b *batch) error // one run: writes b.adv, or-s into b.marks
}

// runnable says which methods an evaluation cannot carry out: pointers to ensembles, and those that stand outside of the
// three kinds.
func runnable(m Method) error {
	switch m.(type) {
	case Ensemble, search, batchwise:
		return nil
	}
	return fmt.Errorf("method of type %T: want one of this package's attacks by value, such as PGD{...} or Ensemble{...}", m)
}

// Validate says what is wrong with the attack's settings for a model of so many classes.
func (a Attack) Validate(classes int) error {
	if a.Name == "" {
		return fmt.Errorf("attacks: an attack has no name")
	}
	if a.Method == nil {
		return nil
	}
	err := runnable(a.Method)
	if err == nil {
		err = a.Method.Validate(classes)
	}
	if err != nil {
		return fmt.Errorf("attacks: %s: %w", a.Name, err)
	}
	return nil
}

// Validate says whether the ball is one that images in [0, 1] can be attacked in.
func (b Ball) Validate() error {
	if b.Norm < 0 || b.Norm >= L0 {
		return fmt.Errorf("norm %s: want %s; only FMN takes l0", b.Norm, strings.Join(normNames[:L0], " or "))
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
