package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cure/attacks"
	"cure/cureml/benchmark"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// Merged says what Merge has made.
type Merged struct {
	Reports []string // files with the reports of whole evaluations
	Cards   []string // of rows, new or there already
	Tables  []string // folders with a table
	// Missing are rows that wait for tasks, with the first of these and its state.
	Missing []string
}

// Merge makes one report of the shards of each evaluation, and cards and tables of the rows whose evaluations are whole,
// as Benchmark.Run makes them on one machine: the numbers are the same to the last bit. It computes nothing and may be
// called while tasks are in work. A row that cannot be merged, such as one with a damaged shard, keeps the others from
// nothing: the error comes at the end, with what was merged.
func (s *Sweep) Merge(ctx context.Context) (*Merged, error) {
	out := &Merged{}
	var failures []error
	states, err := s.States()
	if err != nil {
		return nil, err
	}
	for _, set := range s.Sets {
		whole := map[string][]Task{} // evaluations by run
		var runs []Task              // one task of each run that is evaluated
		missing := map[string]bool{}
		for _, t := range s.Tasks {
			if t.Data != set.Folder || t.Kind != Eval {
				continue
			}
			if whole[t.Run] == nil {
				runs = append(runs, t)
			}
			whole[t.Run] = append(whole[t.Run], t)
			if state := states[t.Index]; state.Phase != Done && !missing[t.Run] {
				missing[t.Run] = true
				out.Missing = append(out.Missing, fmt.Sprintf("%s/%s (task %d is %s)", t.Data, t.Run, t.Index, state))
			}
		}
		runs = slices.DeleteFunc(runs, func(t Task) bool { return missing[t.Run] })
		failures = append(failures, s.mergeSet(ctx, set, runs, whole, out))
		if err := ctx.Err(); err != nil {
			return out, fmt.Errorf("sweep: interrupted: %w", err)
		}
	}
	return out, inOneLine(failures)
}

// inOneLine is errors.Join with semicolons.
func inOneLine(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	var texts []string
	for _, err := range errs {
		texts = append(texts, strings.TrimPrefix(err.Error(), "sweep: "))
	}
	return fmt.Errorf("sweep: %d failures: %s", len(errs), strings.Join(texts, "; "))
}

// mergeSet makes reports, cards and the table of one data set.
func (s *Sweep) mergeSet(ctx context.Context, set Set, runs []Task, whole map[string][]Task, out *Merged) error {
	b, err := s.benchmark(set)
	if err != nil {
		return err
	}
	b.Reports = func(run string, p benchmark.Part, weights string) (*attacks.Report, error) {
		return s.mergePart(whole[run], p, weights, out)
	}
	if len(runs) == 0 {
		return nil
	}
	var failures []error
	for _, t := range runs {
		if err := s.mergeRun(ctx, b, t, whole[t.Run], set.Test, out); err != nil {
			failures = append(failures, fmt.Errorf("sweep: %s/%s: %s", t.Data, t.Run, strings.TrimPrefix(err.Error(), "sweep: ")))
		}
	}
	if err := b.WriteTable(); err != nil {
		return inOneLine(append(failures, err))
	}
	out.Tables = append(out.Tables, b.Dir)
	return inOneLine(failures)
}

// mergeRun makes the reports and the card of one row; t is one of its tasks, whole all of its evaluations.
func (s *Sweep) mergeRun(ctx context.Context, b *benchmark.Benchmark, t Task, whole []Task, images int, out *Merged) error {
	b.Archs, b.Seeds = []nn.Arch{t.Arch}, []uint64{t.Seed}
	row, err := recipes.Find(t.Row)
	if err != nil {
		return err
	}
	result, err := b.Run(ctx, []recipes.Row{row})
	if err != nil {
		return err
	}
	if len(result.Failed) > 0 {
		cards, err := b.Cards()
		if err != nil {
			return err
		}
		for _, c := range cards {
			if c.Name == t.Run {
				return errors.New(c.Failed)
			}
		}
	}
	out.Cards = append(out.Cards, filepath.Join(b.Dir, "cards", t.Run+".json"))
	for _, more := range s.Grid.Attacks {
		weights, err := b.Weights(row, t.Arch, t.Seed, "last")
		if err != nil {
			return err
		}
		if _, err := s.mergePart(whole, benchmark.Part{Checkpoint: "last", Attacks: more, Images: images}, weights, out); err != nil {
			return err
		}
	}
	return nil
}

// mergePart merges the shards of one evaluation and leaves its report as a file, as `cure eval --json` does.
func (s *Sweep) mergePart(of []Task, p benchmark.Part, weights string, out *Merged) (*attacks.Report, error) {
	of = slices.DeleteFunc(slices.Clone(of), func(t Task) bool { return t.Part != p })
	if len(of) == 0 {
		return nil, fmt.Errorf("sweep: no task attacks the %s network by %s", p.Checkpoint, p.Attacks)
	}
	r, err := s.gather(of, weights)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	path := filepath.Join(s.Dir, of[0].Data, "reports", of[0].Run, fmt.Sprintf("%s-%s.json", p.Checkpoint, p.Attacks))
	out.Reports = append(out.Reports, path)
	return r, write(path, append(text, '\n'))
}
