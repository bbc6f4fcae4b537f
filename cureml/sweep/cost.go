package sweep

import (
	"fmt"
	"math"

	"cure/attacks"
	"cure/cureml/recipes"
)

// DefaultGFLOPS is what two cores of a Xeon get through, in 10⁹ floating-point operations a second: measured are TRADES
// PGD-10 steps of a ResNet-18 of width 16, batches of 64, 82.2 images a second (results/bench/steps.json), of 27 forward
// passes each ([cureml.Config.MACs]), which makes 156. At width 64 it is 243.
const DefaultGFLOPS = 156

// Cost is what a task computes, in floating-point operations; NaN where it is not known. For an evaluation it is an upper
// bound: every image counts as one that is classified correctly and that no attack breaks.
func (s *Sweep) Cost(t Task) (float64, error) {
	if t.Kind == Eval {
		return evaluationCost(t)
	}
	set, err := s.set(t.Data)
	if err != nil {
		return 0, err
	}
	b, row, err := s.of(t)
	if err != nil {
		return 0, err
	}
	c, err := b.Preset.Config(row, t.Arch, t.Seed, "")
	if err != nil {
		return 0, err
	}
	if s.Grid.Epochs > 0 {
		recipes.Shorten(&c, s.Grid.Epochs)
	}
	image, err := c.MACs()
	if err != nil {
		return 0, err
	}
	forward, err := t.Arch.MACs()
	if err != nil {
		return 0, err
	}
	held := math.Round(c.Validation * float64(set.Train))
	// After an epoch PGD-10 attacks validation images.
	measured := math.Min(held, float64(c.EvalImages)) * pgdPasses(10) * float64(forward)
	return 2 * float64(c.Epochs) * (image*(float64(set.Train)-held) + measured), nil
}

// evaluationCost is that of a shard.
func evaluationCost(t Task) (float64, error) {
	list, err := attacks.ParseList(t.Part.Attacks)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	forward, err := t.Arch.MACs()
	if err != nil {
		return 0, err
	}
	passes := 1.
	for _, a := range list {
		passes += mostPasses(a.Method, t.Arch.Classes)
	}
	return 2 * float64(forward) * passes * float64(t.To-t.From), nil
}

// pgdPasses are those of PGD on one image, its verification included.
func pgdPasses(steps int) float64 { return 2*float64(steps) + 2 }

// mostPasses are passes forward and back over an image that nothing breaks, as [attacks.OfficialPasses] counts them; NaN for
// searches for smallest perturbations and others whose cost nobody asked for yet.
func mostPasses(m attacks.Method, classes int) float64 {
	switch m := m.(type) {
	case attacks.PGD:
		return pgdPasses(m.Steps) * float64(max(1, m.Restarts))
	case attacks.APGD:
		run := 2 * float64(m.Steps+1)
		if m.Targets > 0 {
			run++ // the logits that say which class is aimed at
		}
		return 2 + run*float64(max(1, m.Restarts)*max(1, m.Targets))
	case attacks.FAB:
		run := float64((2+classes)*m.Steps + 2)
		if m.Targets > 0 {
			run = float64(3*m.Steps + 3)
		}
		return 2 + run*float64(max(1, m.Restarts)*max(1, m.Targets))
	case attacks.SquareAttack:
		return 2 + float64((2+m.Queries)*max(1, m.Restarts))
	case attacks.Ensemble:
		var sum float64
		for _, stage := range m.Stages {
			sum += mostPasses(stage.Method, classes)
		}
		return sum
	}
	return math.NaN()
}
