package study

import (
	"context"
	"fmt"
	"time"

	"cure/attacks"
	"cure/cureml/analysis"
)

// perturbationSizes are the sizes of [Study.Perturbations], by the preset.
var perturbationSizes = map[string]struct {
	images, examples int
	steps            int // of each search; 0 leaves its own
}{
	"ci":    {8, 2, 6},
	"mini":  {200, 5, 0},
	"paper": {1000, 5, 500},
}

// Searches are the attacks that look for smallest perturbations in a norm, linf or l2, with the preset's steps.
func (s *Study) Searches(norm attacks.Norm) ([]attacks.Attack, error) {
	names, ok := map[attacks.Norm]string{attacks.Linf: "fmn-linf,deepfool-linf", attacks.L2: "ddn,fmn-l2"}[norm]
	if !ok {
		return nil, fmt.Errorf("study: norm %s: want linf or l2", norm)
	}
	list, err := attacks.ParseList(names)
	if err != nil {
		return nil, err
	}
	if steps := perturbationSizes[s.Name].steps; steps > 0 {
		for i := range list {
			if list[i], err = list[i].With(attacks.Override{Steps: &steps}); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// Perturbations looks for the smallest perturbations in a norm that fool networks, named as for [Study.Attack], on the first
// test images. What was found before is read from its file, and an interrupted measurement goes on where it was. tell, which
// may be nil, gets a line when a search is done.
func (s *Study) Perturbations(networks []string, norm attacks.Norm, tell func(line string)) (*analysis.Perturbations, error) {
	nets, sums, err := s.analysed(networks)
	if err != nil {
		return nil, err
	}
	sets, err := s.Sets()
	if err != nil {
		return nil, err
	}
	size := perturbationSizes[s.Name]
	set, err := first(sets.Test, size.images)
	if err != nil {
		return nil, err
	}
	o := analysis.PerturbationOptions{Examples: size.examples, Progress: saySearches(tell)}
	if o.Attacks, err = s.Searches(norm); err != nil {
		return nil, err
	}
	key := []any{sums, set.Name, set.Len(), o.Attacks, o.Examples}
	r, err := Remember(s, "perturbations", key, func(ctx context.Context) (*analysis.Perturbations, error) {
		device, err := s.Backend()
		if err != nil {
			return nil, err
		}
		if o.State, err = s.state("perturbations", key); err != nil {
			return nil, err
		}
		r, err := analysis.MeasurePerturbations(ctx, device, nets, set, o)
		return r, stopped(err)
	})
	return r, s.tidy(err, "perturbations", key)
}

// saySearches makes lines of progress.
func saySearches(tell func(line string)) func(network string, p attacks.Progress) {
	if tell == nil {
		return nil
	}
	began := time.Now()
	return func(network string, p attacks.Progress) {
		if p.Attack != "clean" && p.Done == p.Total {
			tell(fmt.Sprintf("%s, %s: done after %.0f s", network, p.Attack, time.Since(began).Seconds()))
		}
	}
}
