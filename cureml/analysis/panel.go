package analysis

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/cureml"
	"cure/data"
)

// panel is networks on the device, to be measured on the same images. Those of one form share their programs.
type panel struct {
	names, sums []string
	forms       []string
	models      []attacks.Model
	batch       int
	evaluators  map[string]*attacks.Evaluator // by form
}

// newPanel puts networks on the device. Batches have at most as many rows as there are images.
func newPanel(device compute.Backend, nets []Network, images int) (*panel, error) {
	if len(nets) == 0 || images < 1 {
		return nil, fmt.Errorf("analysis: %d networks and %d images: want at least one of each", len(nets), images)
	}
	p := &panel{batch: min(attacks.DefaultBatch, images), evaluators: map[string]*attacks.Evaluator{}}
	for i, n := range nets {
		if n.State == nil {
			return nil, fmt.Errorf("analysis: network %d, %q, has no weights", i, n.Name)
		}
		if slices.Contains(p.names, n.Name) {
			return nil, fmt.Errorf("analysis: two networks are called %q: want different names", n.Name)
		}
		p.names = append(p.names, n.Name)
	}
	for _, n := range nets {
		p.sums = append(p.sums, n.Sum())
		p.forms = append(p.forms, fmt.Sprintf("%+v", n.Arch))
		p.models = append(p.models, cureml.HostModel(device, n.State))
	}
	return p, nil
}

// evaluate attacks network i.
func (p *panel) evaluate(ctx context.Context, i int, set *data.Set, list []attacks.Attack, o attacks.Options) (*attacks.Report, error) {
	e := p.evaluators[p.forms[i]]
	if e == nil {
		var err error
		if e, err = attacks.NewEvaluator(p.models[i], p.batch); err != nil {
			return nil, fmt.Errorf("analysis: network %s: %w", p.names[i], err)
		}
		p.evaluators[p.forms[i]] = e
	}
	r, err := e.Evaluate(ctx, p.models[i].Weights, set.Images, set.Labels, list, o)
	if err != nil {
		return nil, fmt.Errorf("analysis: network %s: %w", p.names[i], err)
	}
	return r, nil
}

// close frees programs and weights.
func (p *panel) close() {
	for _, e := range p.evaluators {
		e.Close()
	}
	for _, m := range p.models {
		for _, w := range m.Weights {
			_ = w.FinalizeAll() // there is nothing to do about a buffer that does not go
		}
	}
}
