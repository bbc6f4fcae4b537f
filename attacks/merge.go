package attacks

import (
	"fmt"
	"slices"
)

// Merge is the report of the evaluation whose parts, in the order of their images, had reports of their own: that of
// Evaluate on all images at once, verdict for verdict and bit for bit, but for Seconds, which are added up. For that the
// parts must have had programs of the same batch size (an Evaluator's), one seed, and in Options.Index the numbers that
// the images have in the whole. list is what all of them were evaluated with.
//
// The reports must be whole: their JSON alone lacks the losses of single images (encoding/gob keeps all). The error names
// the first part that does not fit the list or the first one.
func Merge(list []Attack, parts ...*Report) (*Report, error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("attacks: no reports to merge")
	}
	if i := slices.Index(parts, nil); i >= 0 {
		return nil, fmt.Errorf("attacks: part %d of %d: there is no report", i+1, len(parts))
	}
	first := parts[0]
	whole := &Report{Arch: first.Arch, Weights: first.Weights, Data: first.Data, Seed: first.Seed}
	whole.Records = [2]int{first.Records[0], parts[len(parts)-1].Records[1]}
	for i, p := range parts {
		if err := p.whole(list, first); err != nil {
			return nil, fmt.Errorf("attacks: part %d of %d: %w", i+1, len(parts), err)
		}
		whole.N += p.N
		whole.Clean.Flags = append(whole.Clean.Flags, p.Clean.Flags...)
		whole.Clean.NaN += p.Clean.NaN
	}
	for k := range first.Attacks {
		whole.Attacks = append(whole.Attacks, mergeResults(whole.Clean.Flags, of(parts, func(p *Report) *Result { return p.Attacks[k] })))
	}
	whole.conclude(list)
	return whole, nil
}

// whole says why a report does not belong to the evaluation that first is a part of.
func (r *Report) whole(list []Attack, first *Report) error {
	list = slices.DeleteFunc(slices.Clone(list), func(a Attack) bool { return a.Method == nil })
	got, want := names(r.Attacks), of(list, func(a Attack) string { return a.Name })
	switch {
	case !slices.Equal(got, want):
		return fmt.Errorf("it has the attacks %q, want %q", got, want)
	case r.Seed != first.Seed:
		return fmt.Errorf("it is of seed %d, the first of %d", r.Seed, first.Seed)
	case r.Weights != first.Weights:
		return fmt.Errorf("it is of the weights %s, the first of %s", r.Weights, first.Weights)
	case len(r.Clean.Flags) != r.N:
		return fmt.Errorf("it has %d verdicts on clean images, want %d", len(r.Clean.Flags), r.N)
	}
	for k, a := range list {
		if err := r.Attacks[k].whole(a, r.N); err != nil {
			return err
		}
		if had, has := len(first.Attacks[k].Adv) > 0, len(r.Attacks[k].Adv) > 0; had != has {
			return fmt.Errorf("%s: that it has adversarial images is %v, and of the first part %v", a.Name, has, had)
		}
	}
	return nil
}

// names of results, "" for one that is missing.
func names(list []*Result) []string {
	return of(list, func(r *Result) string {
		if r == nil {
			return ""
		}
		return r.Name
	})
}

// whole says what of the outcome of an attack on n images is missing.
func (r *Result) whole(a Attack, n int) error {
	ensemble, stages := a.Method.(Ensemble)
	count := func(wanted bool) int {
		if wanted {
			return n
		}
		return 0
	}
	for _, part := range []struct {
		name      string
		has, want int
	}{
		{"verdicts", len(r.RobustFlags), n},
		{"numbers of runs that broke an image", len(r.BrokenIn), n},
		{"losses", len(r.Losses), count(!stages)},
		{"distances", len(r.Distances), count(minimizes(a.Method))},
		{"targets", len(r.Targets), count(targetOf(a.Method) != Untargeted)},
	} {
		if part.has != part.want {
			return fmt.Errorf("%s: it has %d %s, want %d", r.Name, part.has, part.name, part.want)
		}
	}
	if got, want := names(r.Stages), of(ensemble.Stages, func(a Attack) string { return a.Name }); !slices.Equal(got, want) {
		return fmt.Errorf("%s: it has the stages %q, want %q", r.Name, got, want)
	}
	for k, stage := range ensemble.Stages {
		if err := r.Stages[k].whole(stage, n); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

// mergeResults is what one attack came to on all parts.
func mergeResults(clean Flags, parts []*Result) *Result {
	r, reached := &Result{Name: parts[0].Name}, 0
	for _, p := range parts {
		r.RobustFlags, r.BrokenIn = append(r.RobustFlags, p.RobustFlags...), append(r.BrokenIn, p.BrokenIn...)
		r.Losses, r.Adv = append(r.Losses, p.Losses...), append(r.Adv, p.Adv...)
		r.Targets, r.Distances = append(r.Targets, p.Targets...), append(r.Distances, p.Distances...)
		r.Seconds, r.Forwards, r.Backwards, r.Skipped = r.Seconds+p.Seconds, r.Forwards+p.Forwards, r.Backwards+p.Backwards, r.Skipped+p.Skipped
		r.NaN, r.ZeroGrad = r.NaN+p.NaN, r.ZeroGrad+p.ZeroGrad
		r.Strays, r.Refuted = r.Strays+p.Strays, r.Refuted+p.Refuted
		if p.TargetedSuccess != nil { // gob leaves out numbers that are 0
			reached += *p.TargetedSuccess
		}
	}
	if r.Targets != nil {
		r.TargetedSuccess = &reached
	}
	for k := range parts[0].Stages {
		r.Stages = append(r.Stages, mergeResults(clean, of(parts, func(p *Result) *Result { return p.Stages[k] })))
	}
	r.sum(clean)
	return r
}

// of applies f to each of a list.
func of[A, B any](list []A, f func(A) B) (out []B) {
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}
