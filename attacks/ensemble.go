package attacks

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Ensemble is a list of attacks that work one after the other on what the earlier ones have not broken, as AutoAttack's
// do (Croce and Hein 2020, section 6). Its robust accuracy is the share of images that no stage breaks; the order of the
// stages changes the cost alone.
//
// The random numbers of a stage are keyed by its own name, so that it finds what it would find on its own.
type Ensemble struct {
	Stages []Attack

	// inBall, of a named version, makes it for another norm, where its settings may be others.
	inBall func(Ball) Ensemble
}

// Budget is the ball of the stages.
func (s Ensemble) Budget() Ball {
	if len(s.Stages) == 0 {
		return Ball{}
	}
	return s.Stages[0].Method.Budget()
}

// Validate says what is wrong with the stages for a model of so many classes. They share one ball and no name.
func (s Ensemble) Validate(classes int) error {
	if err := s.checkStages(); err != nil {
		return err
	}
	for _, a := range s.Stages {
		err := runnable(a.Method)
		if err == nil {
			err = a.Method.Validate(classes)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	for _, a := range s.Stages {
		if ball := a.Method.Budget(); ball != s.Budget() {
			return fmt.Errorf("stages in different balls, %v and %v: want one", s.Budget(), ball)
		}
	}
	return nil
}

// checkStages says which stages cannot work together, whatever their settings.
func (s Ensemble) checkStages() error {
	if len(s.Stages) == 0 {
		return fmt.Errorf("an ensemble without attacks")
	}
	seen := map[string]bool{}
	for _, a := range s.Stages {
		if a.Method == nil {
			return fmt.Errorf("stage %q: want an attack", a.Name)
		}
		if _, nested := a.Method.(Ensemble); nested {
			return fmt.Errorf("stage %q: an ensemble within an ensemble", a.Name)
		}
		if target := targetOf(a.Method); target != Untargeted {
			return fmt.Errorf("stage %q aims at target %s: want untargeted attacks, which the next stage can go on from", a.Name, target)
		}
		if minimizes(a.Method) {
			return fmt.Errorf("stage %q looks for smallest perturbations: want attacks within the ball", a.Name)
		}
		if seen[a.Name] {
			return fmt.Errorf("two stages are called %s, want different names", a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}

// with applies settings to the stages, each of which takes those that it has: Steps go to the attacks by gradients, Queries
// to Square.
func (s Ensemble) with(o Override) (Ensemble, error) {
	stages := slices.Clone(s.Stages)
	if s.inBall != nil {
		ball := s.Budget()
		if o.Norm != nil && *o.Norm != ball.Norm && o.Eps != nil {
			stages = s.inBall(Ball{*o.Norm, *o.Eps}).Stages
		}
	}
	for i, stage := range stages {
		var err error
		if stages[i], err = stage.With(o); err != nil {
			return s, err
		}
	}
	return Ensemble{stages, s.inBall}, nil
}

func (s Ensemble) runs() int { return 1 }

func (s Ensemble) passes() (n int) {
	for _, a := range s.Stages {
		n += a.Method.passes() * a.Method.runs()
	}
	return n
}

// goal is that of the first stage.
func (s Ensemble) goal() goal { return s.Stages[0].Method.goal() }

func (s Ensemble) prepare(e *engine) error {
	for _, a := range s.Stages {
		if err := a.Method.prepare(e); err != nil {
			return err
		}
	}
	return nil
}

// ensemble carries out the stages; each starts from the flags that the earlier ones left.
func (t *trial) ensemble(ctx context.Context, s Ensemble) error {
	for _, a := range s.Stages {
		if err := t.prepareJudge(a.Method.goal()); err != nil {
			return err
		}
		stage := &trial{
			evaluation: t.evaluation, attack: a, key: t.key + "/" + a.Name, began: time.Now(),
			result: &Result{Name: a.Name, RobustFlags: slices.Clone(t.result.RobustFlags)},
		}
		forwards, backwards, skipped := t.forwards, t.backwards, t.skipped
		if err := stage.begin(ctx); err != nil {
			return err
		}
		if err := stage.carryOut(ctx); err != nil {
			return err
		}
		stage.finish()
		t.forwards, t.backwards, t.skipped = t.forwards+forwards, t.backwards+backwards, t.skipped+skipped
		t.takeOver(stage)
	}
	t.result.Losses = nil // the stages' losses have no common scale
	return nil
}

// takeOver merges the result of a stage.
func (t *trial) takeOver(stage *trial) {
	r, d := stage.result, t.model.pixels()
	for i, marks := range stage.marks {
		t.marks[i] |= marks
	}
	for i, robust := range r.RobustFlags {
		if t.opt.KeepAdv && t.result.RobustFlags[i] && !robust {
			copy(t.result.Adv[i*d:(i+1)*d], r.Adv[i*d:(i+1)*d])
		}
	}
	copy(t.result.RobustFlags, r.RobustFlags)
	t.result.Stages = append(t.result.Stages, r)
}
