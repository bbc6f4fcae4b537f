package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// DiagnoseOptions are the settings of Diagnose.
type DiagnoseOptions struct {
	Ball   Ball  // that attacks and random starts are in; with Eps 0 it is Linf 8/255
	Images int   // how many images, from the first on, are looked at; 0 means 32
	Seed   int64 // root of the random numbers
	Index  []int // as in Options
	// Random says that the evaluation to come averages over a random model's passes, so that FlagRandom is no news.
	Random bool
	// Quick leaves the attacks out. What remains costs about 15 forward and backward passes over the images, all of it about 350.
	Quick bool
}

// DiagnoseOptionsFor is the diagnosis that goes before an evaluation: in the ball of the first attack, with the seed and
// the numbers of the images. A random model is no news where all attacks average over its passes.
func DiagnoseOptionsFor(list []Attack, opt Options) DiagnoseOptions {
	list = slices.DeleteFunc(slices.Clone(list), func(a Attack) bool { return a.Method == nil })
	o := DiagnoseOptions{Seed: opt.Seed, Index: opt.Index}
	o.Random = len(list) > 0 && averages(list)
	for _, a := range list {
		if ball := a.Method.Budget(); ball.Validate() == nil { // not L0, which the checks' attacks do not take
			o.Ball = ball
			break
		}
	}
	return o
}

// averages says whether all attacks average gradients over passes.
func averages(list []Attack) bool {
	for _, a := range list {
		var several bool
		switch m := a.Method.(type) {
		case PGD:
			several = m.EOT > 1
		case APGD:
			several = m.EOT > 1
		case Ensemble:
			several = averages(m.Stages)
		}
		if !several {
			return false
		}
	}
	return true
}

// diagnosed is how many images are looked at where DiagnoseOptions has no number.
const diagnosed = 32

// Diagnose looks for what makes attacks fail, or their numbers worthless, before an evaluation: the flags documented with
// FlagRandom to FlagBlackBox. Arguments are as for Evaluate; labels may be more than options.Images. A model without
// findings gets an empty list.
func Diagnose(ctx context.Context, model Model, images []uint8, labels []int32, opt DiagnoseOptions) ([]Flag, error) {
	if err := checkModel(model); err != nil {
		return nil, err
	}
	if err := checkDiagnosis(model, images, labels, opt); err != nil {
		return nil, err
	}
	ev, err := NewEvaluator(model, min(opt.images(), len(labels)))
	if err != nil {
		return nil, err
	}
	defer ev.Close()
	return ev.Diagnose(ctx, images, labels, opt)
}

// Diagnose is the function Diagnose for the evaluator's model, with its compiled programs; it looks at no more images
// than its batch has.
func (ev *Evaluator) Diagnose(ctx context.Context, images []uint8, labels []int32, opt DiagnoseOptions) ([]Flag, error) {
	model := ev.engine.model
	if err := checkDiagnosis(model, images, labels, opt); err != nil {
		return nil, err
	}
	n := min(opt.images(), len(labels), ev.engine.size)
	if opt.Index != nil {
		opt.Index = opt.Index[:n]
	}
	if opt.Ball.Eps == 0 {
		opt.Ball = standardBall
	}
	p := &diagnosis{
		opt: opt, n: n, classes: model.Classes,
		evaluation: &evaluation{
			engine: ev.engine, images: images[:n*model.pixels()], labels: labels[:n],
			opt: Options{Seed: opt.Seed, Index: opt.Index, Progress: func(Progress) {}},
		},
	}
	if err := p.diagnose(ctx); err != nil {
		return nil, fmt.Errorf("attacks: diagnosis: %w", err)
	}
	return p.flags, nil
}

func (o DiagnoseOptions) images() int {
	if o.Images == 0 {
		return diagnosed
	}
	return o.Images
}

// checkDiagnosis names the first thing that is wrong about what a diagnosis is asked to do.
func checkDiagnosis(model Model, images []uint8, labels []int32, opt DiagnoseOptions) error {
	if opt.Images < 0 {
		return fmt.Errorf("attacks: diagnosis of %d images, want at least 1", opt.Images)
	}
	if err := opt.Ball.Validate(); err != nil {
		return fmt.Errorf("attacks: diagnosis: %w", err)
	}
	return checkRequest(model, images, labels, nil, Options{Index: opt.Index})
}

// diagnosis is a diagnosis under way.
type diagnosis struct {
	*evaluation
	opt        DiagnoseOptions
	n, classes int
	b          *batch
	flags      []Flag
}

// raise adds a flag if its value is beyond the threshold.
func (p *diagnosis) raise(name string, severity Severity, value, threshold float64, format string, args ...any) {
	if value > threshold {
		p.flags = append(p.flags, Flag{name, severity, Number(value), Number(threshold), fmt.Sprintf(format, args...)})
	}
}

// diagnose makes the checks, cheap ones first.
func (p *diagnosis) diagnose(ctx context.Context) error {
	if err := p.measureClean(ctx); err != nil {
		return err
	}
	p.b = p.batch(p.all())
	for _, check := range []func(context.Context) error{p.declared, p.outputs, p.repeated, p.batches, p.flatness, p.gradients} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	if err := p.b.free(); err != nil || p.opt.Quick {
		return err
	}
	return p.attacks(ctx)
}

// declared are the checks without a pass.
func (p *diagnosis) declared(context.Context) error {
	p.raise(FlagClasses, SeverityNote, float64(4-p.classes), 0,
		"%d classes: DLR needs 3 and its targeted form 4, so that parts of AutoAttack cannot run", p.classes)
	if p.n*p.model.pixels() > 1 && slices.Max(p.images) <= 1 {
		p.raise(FlagRange, SeverityError, 1, 0, "no pixel of the first %d images is above 1 of 255: were they scaled to [0, 1] already?", p.n)
	}
	made, err := gradientsInForward(p.engine)
	if err != nil {
		return err
	}
	if p.model.Adaptive {
		made = max(made, 1)
	}
	p.raise(FlagAdaptive, SeverityWarning, float64(made), 0,
		"the model optimises something when it predicts: a robust accuracy needs attacks made for this defence")
	return nil
}

// logits are those of images in the first rows, with keys that depend on the purpose alone.
func (p *diagnosis) logits(ctx context.Context, purpose string, images []float32) ([]float32, error) {
	defer p.reseed(p.n, func(row int) *rand.Rand { return p.source("diagnosis", purpose, row, 0) })()
	x := p.upload(images)
	out, err := p.scores(ctx, p.b, x)
	if err != nil {
		return nil, err
	}
	scores, err := tensors.CopyFlatData[float32](out)
	if err != nil {
		return nil, fmt.Errorf("reading logits: %w", err)
	}
	return scores[:p.n*p.classes], free(x, out)
}
