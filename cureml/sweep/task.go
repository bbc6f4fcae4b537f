package sweep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cure/cureml"
	"cure/cureml/benchmark"
	"cure/cureml/recipes"
	"cure/cureml/study"
)

// Do carries out a task, or goes on with it; one that is done costs nothing. It may be called for any task at any time, by
// any number of processes: where another process is at work on the task, or trains a network that it needs, Do waits for
// that, and takes over if that process dies. An evaluation whose network is not trained yet trains it, which every process
// that waits for the same network then profits from. So no order of tasks is wrong, only slower.
//
// A failure is noted in the folder, for [Sweep.States], until the task succeeds.
func (s *Sweep) Do(ctx context.Context, t Task) (err error) {
	done, err := s.done(t)
	if done || err != nil {
		return err
	}
	held, err := s.claim(ctx, t)
	if err != nil {
		return err
	}
	defer held.release()
	if done, err = s.done(t); done || err != nil { // by whom this process waited for
		return err
	}
	err = s.carryOut(ctx, t)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("sweep: interrupted at %s; the same task goes on from there: %w", t.Name, ctx.Err())
	case err != nil:
		line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
		return errors.Join(fmt.Errorf("sweep: %s: %w", t.Name, err), write(s.failure(t), []byte(line+"\n")))
	}
	if err := os.Remove(s.failure(t)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// carryOut trains and, for an evaluation, attacks. A panic, which only a defect can cause, is the task's failure.
func (s *Sweep) carryOut(ctx context.Context, t Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	b, row, err := s.of(t)
	if err != nil {
		return err
	}
	err = s.wait(ctx, "a network that "+t.Name+" needs is trained by another process", func() error {
		_, err := b.Train(ctx, row, t.Arch, t.Seed)
		return err
	}, cureml.ErrInUse)
	if err != nil || t.Kind == Train {
		return err
	}
	if t.Part.Checkpoint == "last" && t.Part.Attacks == cardAttacks {
		same, err := s.sameAsBest(b, row, t)
		if err != nil {
			return err
		}
		if same {
			return s.save(t, &shard{SameAsBest: true})
		}
	}
	report, err := b.Shard(ctx, row, t.Arch, t.Seed, t.Part, t.From, t.To)
	if err != nil {
		return err
	}
	return s.save(t, &shard{Report: report})
}

// sameAsBest says whether the last network is the best one too, whose attacks a card does not repeat.
func (s *Sweep) sameAsBest(b *benchmark.Benchmark, row recipes.Row, t Task) (bool, error) {
	parts, err := b.Parts(row, t.Arch, t.Seed)
	if err != nil || parts[0].Checkpoint != "best" {
		return false, err
	}
	best, err := b.Weights(row, t.Arch, t.Seed, "best")
	if err != nil {
		return false, err
	}
	last, err := b.Weights(row, t.Arch, t.Seed, "last")
	return best == last, err
}

// of is the benchmark and the row of a task.
func (s *Sweep) of(t Task) (*benchmark.Benchmark, recipes.Row, error) {
	set, err := s.set(t.Data)
	if err != nil {
		return nil, recipes.Row{}, err
	}
	row, err := recipes.Find(t.Row)
	if err != nil {
		return nil, row, fmt.Errorf("sweep: %w", err)
	}
	b, err := s.benchmark(set)
	return b, row, err
}

// done says whether a task has left all that it is to leave.
func (s *Sweep) done(t Task) (bool, error) {
	if t.Kind == Eval {
		_, err := os.Stat(s.shardFile(t))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	dir := filepath.Join(s.Dir, t.Data, "runs", t.Run)
	if !cureml.IsRun(dir) {
		return false, nil
	}
	c, err := cureml.ReadConfig(dir)
	return err == nil && study.Finished(dir, c), err
}

// failure is the file that says why a task failed.
func (s *Sweep) failure(t Task) string { return filepath.Join(s.Dir, "failed", t.Name+".txt") }
