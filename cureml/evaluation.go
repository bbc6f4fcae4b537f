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

// evaluation measures the student between epochs: clean accuracy and robust accuracy under PGD-10 of the training
// budget, on the first images of the test set, which select nothing, and of the validation split, which does.
type evaluation struct {
	backend compute.Backend
	cfg     Config
	list    []nn.Tensor
	sets    map[string]*data.Set
	attack  attacks.Attack
}

func newEvaluation(backend compute.Backend, cfg Config, list []nn.Tensor, test, validation *data.Set) (*evaluation, error) {
	e := &evaluation{backend: backend, cfg: cfg, list: list, sets: map[string]*data.Set{}}
	for prefix, set := range map[string]*data.Set{"test": test, "val": validation} {
		if set == nil || cfg.EvalImages == 0 {
			continue
		}
		part, err := set.Slice(0, min(cfg.EvalImages, set.Len()))
		if err != nil {
			return nil, err
		}
		e.sets[prefix] = part
	}
	pgd := cfg.Attack.pgd("ce", attacks.Uniform)
	pgd.Steps, pgd.StepSize = 10, pgd.Ball.Eps/4
	e.attack = attacks.Attack{Name: "pgd10", Method: pgd}
	return e, nil
}

// measure returns a line of metrics.jsonl with <prefix>_clean and <prefix>_robust, nil where there is nothing to measure.
func (e *evaluation) measure(ctx context.Context, m *Memory) (map[string]any, error) {
	var line map[string]any
	values := make([]*tensors.Tensor, len(e.list))
	for i, t := range e.list {
		values[i] = m.values[roleStudent+t.Name]
	}
	for prefix, set := range e.sets {
		report, err := attacks.Evaluate(ctx, Model(e.backend, e.cfg.Arch, e.list, values), set.Images, set.Labels,
			[]attacks.Attack{e.attack}, attacks.Options{Seed: int64(e.cfg.Seed)})
		if err != nil {
			return nil, err
		}
		if line == nil {
			line = map[string]any{}
		}
		line[prefix+"_clean"], line[prefix+"_robust"] = report.Clean.Accuracy, report.RobustAccuracy
	}
	return line, nil
}
