package attacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
)

// Evaluator evaluates one architecture again and again, as a training run does, and compiles its programs once. It is
// for one goroutine at a time.
type Evaluator struct {
	engine *engine
}

// NewEvaluator compiles the forward pass of a model for batches of the given size; attacks are compiled when first used.
// Close frees what was compiled.
func NewEvaluator(model Model, batch int) (*Evaluator, error) {
	if err := checkModel(model); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, fmt.Errorf("attacks: batch size %d, want at least 1", batch)
	}
	e, err := newEngine(model, batch)
	if err != nil {
		return nil, fmt.Errorf("attacks: %w", err)
	}
	return &Evaluator{e}, nil
}

// Evaluate is the function Evaluate for the evaluator's model and batch size (opt.Batch is not looked at), with the given
// weights, whose number and shapes must be those of the model; nil means the model's own.
func (ev *Evaluator) Evaluate(ctx context.Context, weights []*tensors.Tensor, images []uint8, labels []int32, list []Attack, opt Options) (*Report, error) {
	if err := checkRequest(ev.engine.model, images, labels, list, opt); err != nil {
		return nil, err
	}
	if weights != nil {
		if err := ev.engine.replaceWeights(weights); err != nil {
			return nil, err
		}
	}
	if opt.Progress == nil {
		opt.Progress = func(Progress) {}
	}
	v := &evaluation{engine: ev.engine, images: images, labels: labels, opt: opt}
	var err error
	if v.state, err = v.openState(list); err != nil {
		return nil, fmt.Errorf("attacks: state file %s: %w", opt.State, err)
	}
	report, err := v.carryOut(ctx, list)
	return report, errors.Join(err, v.state.close())
}

// carryOut measures the clean images and runs the attacks.
func (v *evaluation) carryOut(ctx context.Context, list []Attack) (*Report, error) {
	if err := v.measureClean(ctx); err != nil {
		return nil, fmt.Errorf("attacks: clean images: %w", err)
	}
	if err := v.recognise(); err != nil {
		return nil, fmt.Errorf("attacks: state file %s: %w", v.opt.State, err)
	}
	for _, a := range list {
		if a.Method == nil {
			continue
		}
		if err := v.run(ctx, a); err != nil {
			return nil, fmt.Errorf("attacks: %s: %w", a.Name, err)
		}
	}
	return v.report(list), nil
}

// Close frees the compiled programs. Weights stay with the caller.
func (ev *Evaluator) Close() { ev.engine.finalize() }

// replaceWeights takes other weights for the programs as they were compiled.
func (e *engine) replaceWeights(weights []*tensors.Tensor) error {
	if len(weights) != len(e.model.Weights) {
		return fmt.Errorf("attacks: %d weights, want %d", len(weights), len(e.model.Weights))
	}
	for i, w := range weights {
		if want := e.shapes[i]; !w.Shape().Equal(want) {
			return fmt.Errorf("attacks: weight %d has shape %s, want %s", i, w.Shape(), want)
		}
	}
	e.model.Weights = weights
	return nil
}
