package study

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/analysis"
	"cure/cureml/nn"
	"cure/data"
)

// Traces are trainings that keep their networks as they go, and what is found by following them: how CURE chooses and
// revises, and how gradients change. Its runs are natural, trades, cure and cure-released (CURE's face of that name).
type Traces struct {
	*Study
	size traceSize
}

// traceSize is how large the trainings and the analyses of a preset are.
type traceSize struct {
	arch        nn.Arch
	trainImages int            // 0 is all
	epochs      map[string]int // by method; others as in the preset
	every       int            // epochs from snapshot to snapshot
	// batch and batches are of training images, on which gradients are taken; images are those that are attacked.
	batch, batches, images int
}

// traceSizes by the preset's name. In ci and mini, CURE starts from the shipped natural network, which has their form.
var traceSizes = map[string]traceSize{
	"ci":    {arch: resnet18(16), trainImages: 128, epochs: map[string]int{"natural": 2, "trades": 2, "cure": 2}, every: 1, batch: 16, batches: 2, images: 16},
	"mini":  {arch: resnet18(16), trainImages: 2048, epochs: map[string]int{"natural": 6, "trades": 4, "cure": 4}, every: 1, batch: 128, batches: 2, images: 256},
	"paper": {arch: resnet18(64), every: 20, batch: 128, batches: 4, images: 1024},
}

// OpenTraces is the study in the folder traces of the preset's, below root.
func OpenTraces(root string) (*Traces, error) {
	s, err := Open(root)
	if err != nil {
		return nil, err
	}
	size, ok := traceSizes[s.Name]
	if !ok {
		return nil, fmt.Errorf("study: preset %s has no size for traces", s.Name)
	}
	s.Dir = filepath.Join(s.Dir, "traces")
	s.Arch, s.TrainImages = size.arch, size.trainImages
	return &Traces{s, size}, nil
}

// traced are the runs.
var traced = map[string]struct{ method, face string }{
	"natural": {"natural", ""}, "trades": {"trades", ""}, "cure": {"cure", "paper"}, "cure-released": {"cure", "released"},
}

// Config is the recipe of a run.
func (t *Traces) Config(run string) (cureml.Config, error) {
	r, ok := traced[run]
	if !ok {
		return cureml.Config{}, fmt.Errorf("study: unknown run %q: accepted are natural, trades, cure, cure-released", run)
	}
	c := t.Study.Config(r.method)
	if n := t.size.epochs[r.method]; n > 0 {
		c.Epochs = n
	}
	c.SaveEvery = t.size.every
	if r.face != "" {
		c.Cure.Face = r.face
		if c.Init = t.Natural(); c.Init == "natural" {
			c.Init = t.Final("natural")
		}
	}
	return c, nil
}

// Natural names the network that CURE starts from, as [Study.Attack] takes it: the shipped one where it has the form of the
// study's, else the run natural, which is then trained first.
func (t *Traces) Natural() string {
	if t.size.arch.Width == 16 {
		return cureml.ZooPrefix + "natural"
	}
	return "natural"
}

// Train makes sure that a run is finished; see [Study.Train].
func (t *Traces) Train(run string, each func(Line)) (Metrics, error) {
	c, err := t.Config(run)
	if err != nil {
		return nil, err
	}
	if c.Init != "" && c.Init == t.Final("natural") {
		if _, err := t.Train("natural", nil); err != nil {
			return nil, err
		}
	}
	return t.Study.Train(run, c, each)
}

// Moments are the snapshots of a run.
func (t *Traces) Moments(run string) ([]analysis.Moment, error) {
	return analysis.Moments(t.Run(run), run)
}

// Last is the last of them alone.
func (t *Traces) Last(run string) ([]analysis.Moment, error) {
	all, err := t.Moments(run)
	if err != nil {
		return nil, err
	}
	return all[len(all)-1:], nil
}

// Still are shipped networks and finished runs, named as for [Study.Attack], as moments.
func (t *Traces) Still(names ...string) ([]analysis.Moment, error) {
	var nets []analysis.Network
	for _, name := range names {
		n, err := t.Network(name)
		if err != nil {
			return nil, err
		}
		nets = append(nets, n)
	}
	return analysis.Still(nets), nil
}

// Rule is CURE with settings changed (face, alpha, percentile ...), as 'cure analyze masks --rules' takes it: a face, such as
// released, or settings such as alpha=1, several of them with + between.
func (t *Traces) Rule(name string) (analysis.MaskRule, error) {
	c := cureml.Defaults("cure")
	for _, part := range strings.Split(name, "+") {
		key, value, set := strings.Cut(part, "=")
		if !set {
			key, value = "face", part
		}
		if err := c.Set("cure."+key, value); err != nil {
			return analysis.MaskRule{}, fmt.Errorf("study: rule %q: %w", name, err)
		}
	}
	c.Arch = t.Arch
	if err := c.Validate(); err != nil {
		return analysis.MaskRule{}, fmt.Errorf("study: rule %q: %w", name, err)
	}
	return analysis.MaskRule{Name: name, Cure: c.Cure}, nil
}

// batches are the training images on which gradients are taken.
func (t *Traces) batches() (*data.Set, error) {
	sets, err := t.Sets()
	if err != nil {
		return nil, err
	}
	return first(sets.Train, t.size.batch*t.size.batches)
}

// weightsOf stands for networks in a key of [Remember].
func weightsOf(moments []analysis.Moment) (sums []string) {
	for _, m := range moments {
		sums = append(sums, m.Name, m.Sum())
		if m.Revision != nil {
			sums = append(sums, analysis.Network{State: m.Revision}.Sum())
		}
	}
	return sums
}

// Masks are what rules conserve on batches of training images, or what was found before.
func (t *Traces) Masks(moments []analysis.Moment, rules ...analysis.MaskRule) (*analysis.Masks, error) {
	set, err := t.batches()
	if err != nil {
		return nil, err
	}
	o := analysis.MaskOptions{Attack: t.Study.Config("cure").Attack, Rules: rules, Batch: t.size.batch}
	key := []any{weightsOf(moments), set.Name, set.Len(), o}
	return Remember(t.Study, "masks", key, func(ctx context.Context) (*analysis.Masks, error) {
		device, err := t.Backend()
		if err != nil {
			return nil, err
		}
		return analysis.MeasureMasks(ctx, device, moments, set, o)
	})
}

// Revision sets students beside their revision models on test images, or returns what was found before.
func (t *Traces) Revision(moments []analysis.Moment) (*analysis.Revision, error) {
	sets, err := t.Sets()
	if err != nil {
		return nil, err
	}
	set, err := first(sets.Test, t.size.images)
	if err != nil {
		return nil, err
	}
	pgd, err := attacks.Preset("pgd20")
	if err != nil {
		return nil, err
	}
	o := analysis.RevisionOptions{Attack: pgd}
	return Remember(t.Study, "revision", []any{weightsOf(moments), set.Name, set.Len(), o}, func(ctx context.Context) (*analysis.Revision, error) {
		device, err := t.Backend()
		if err != nil {
			return nil, err
		}
		return analysis.CompareRevision(ctx, device, moments, set, o)
	})
}

// Gradients compares the gradients on clean and on attacked training images, or returns what was found before. The attack
// is that of training, on the cross-entropy.
func (t *Traces) Gradients(moments []analysis.Moment) (*analysis.Gradients, error) {
	set, err := t.batches()
	if err != nil {
		return nil, err
	}
	c := t.Study.Config("cure")
	pgd := attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: c.Attack.Eps}, Steps: c.Attack.Steps, StepSize: c.Attack.StepSize,
		Start: attacks.Uniform, Loss: "ce"}
	o := analysis.GradientOptions{PGD: pgd, Cure: c.Cure, Batch: t.size.batch}
	return Remember(t.Study, "gradients", []any{weightsOf(moments), set.Name, set.Len(), o}, func(ctx context.Context) (*analysis.Gradients, error) {
		device, err := t.Backend()
		if err != nil {
			return nil, err
		}
		return analysis.MeasureGradients(ctx, device, moments, set, o)
	})
}
