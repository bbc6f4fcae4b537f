package cureml

import (
	"context"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// Model is a network in mode E as attacks see it; values holds its tensors in the order of list.
func Model(backend compute.Backend, arch nn.Arch, list []nn.Tensor, values []*tensors.Tensor) attacks.Model {
	return attacks.Model{
		Backend: backend, Weights: values, Classes: arch.Classes, Image: [3]int{data.Height, data.Width, data.Channels},
		Logits: func(weights []*Node, x *Node) *Node {
			net := &nn.Net{Arch: arch, Vars: make(map[string]*Node, len(list))}
			for i, t := range list {
				net.Vars[t.Name] = weights[i]
			}
			return net.Forward(nn.Eval, x)
		},
	}
}

// HostModel puts s on the device and returns it as attacks see it.
func HostModel(backend compute.Backend, s *nn.State) attacks.Model {
	values := make([]*tensors.Tensor, len(s.Tensors))
	for i, t := range s.Tensors {
		values[i] = tensors.FromFlatDataAndDimensions(s.Values[t.Name], t.Shape...)
	}
	return Model(backend, s.Arch, s.Tensors, values)
}

// evaluation measures the student, or its average where the run keeps one, between epochs: clean accuracy and robust
// accuracy under PGD-10 of the training budget, on the first images of the test set, which select nothing, of the
// validation split, which does, and, where the config asks for them, of the training images.
type evaluation struct {
	role      string // the network that is measured
	list      []nn.Tensor
	parts     map[string]*data.Set // by the prefix of their numbers
	attack    attacks.Attack
	seed      int64
	evaluator *attacks.Evaluator // compiled at the first measurement, kept to the end of the run
	model     func(values []*tensors.Tensor) attacks.Model
}

func newEvaluation(backend compute.Backend, cfg Config, m *Memory, sets Sets) (*evaluation, error) {
	e := &evaluation{role: student, list: m.roles[0].list, parts: map[string]*data.Set{}, seed: int64(cfg.Seed)}
	if cfg.Average.Decay > 0 {
		e.role = Averaged
	}
	e.model = func(values []*tensors.Tensor) attacks.Model { return Model(backend, cfg.Arch, e.list, values) }
	for _, p := range []struct {
		prefix string
		set    *data.Set
		most   int
	}{{"test", sets.Test, cfg.EvalImages}, {"val", sets.Validation, cfg.EvalImages}, {"train", sets.Train, cfg.EvalTrainImages}} {
		if p.set == nil || p.most == 0 {
			continue
		}
		part, err := p.set.Slice(0, min(p.most, p.set.Len()))
		if err != nil {
			return nil, err
		}
		e.parts[p.prefix] = part
	}
	pgd := cfg.Attack.pgd("ce", attacks.Uniform)
	pgd.Steps, pgd.StepSize = 10, pgd.Ball.Eps/4
	e.attack = attacks.Attack{Name: "pgd10", Method: pgd}
	return e, nil
}

// measure returns a line of metrics.jsonl with <prefix>_clean and <prefix>_robust, nil where there is nothing to measure.
func (e *evaluation) measure(ctx context.Context, m *Memory) (map[string]any, error) {
	if len(e.parts) == 0 {
		return nil, nil
	}
	values := make([]*tensors.Tensor, len(e.list))
	for i, t := range e.list {
		values[i] = m.values[e.role+"/"+t.Name]
	}
	if e.evaluator == nil {
		largest := 0
		for _, set := range e.parts {
			largest = max(largest, set.Len())
		}
		var err error
		if e.evaluator, err = attacks.NewEvaluator(e.model(values), min(largest, attacks.DefaultBatch)); err != nil {
			return nil, err
		}
	}
	line := map[string]any{}
	for prefix, set := range e.parts {
		report, err := e.evaluator.Evaluate(ctx, values, set.Images, set.Labels, []attacks.Attack{e.attack}, attacks.Options{Seed: e.seed})
		if err != nil {
			return nil, err
		}
		line[prefix+"_clean"], line[prefix+"_robust"] = report.Clean.Accuracy, report.RobustAccuracy
	}
	return line, nil
}

func (e *evaluation) close() {
	if e.evaluator != nil {
		e.evaluator.Close()
	}
}
