package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

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
// called while tasks are in work.
func (s *Sweep) Merge(ctx context.Context) (*Merged, error) {
	out := &Merged{}
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
		if err := s.mergeSet(ctx, set, runs, whole, out); err != nil {
			return nil, err
		}
	}
	return out, nil
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
	for _, t := range runs {
		b.Archs, b.Seeds = []nn.Arch{t.Arch}, []uint64{t.Seed}
		row, err := recipes.Find(t.Row)
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		for _, more := range s.Grid.Attacks {
			weights, err := b.Weights(row, t.Arch, t.Seed, "last")
			if err != nil {
				return err
			}
			if _, err := s.mergePart(whole[t.Run], benchmark.Part{Checkpoint: "last", Attacks: more, Images: set.Test}, weights, out); err != nil {
				return err
			}
		}
		result, err := b.Run(ctx, []recipes.Row{row})
		if err != nil {
			return err
		}
		if len(result.Failed) > 0 {
			return fmt.Errorf("sweep: %w", b.Failures())
		}
		out.Cards = append(out.Cards, filepath.Join(b.Dir, "cards", t.Run+".json"))
	}
	if len(runs) == 0 {
		return nil
	}
	out.Tables = append(out.Tables, b.Dir)
	return b.WriteTable()
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
