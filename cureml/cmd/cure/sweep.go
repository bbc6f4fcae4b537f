package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"cure/cureml"
	"cure/cureml/benchmark"
	"cure/cureml/recipes"
	"cure/cureml/sweep"
)

func newSweep() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Spread a benchmark over processes and machines",
		Long: `Spread a benchmark over processes and machines. A sweep is a folder with a list of tasks: trainings, and attacks on
some of the images of an evaluation. Tasks are independent processes that find each other's results as files, are resumable,
and may be killed and started again in any order:

  cure sweep plan --preset mini --methods table --seeds 0,1,2 --shard 256 --out table
  cure sweep run --jobs 2 --out table           here, or by a cluster: cure sweep slurm, cure sweep kubernetes
  cure sweep merge --out table

The merged reports, cards and tables are those that 'cure benchmark' makes in one process, bit for bit but for times.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep status --out sweep`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("unknown command %q: accepted are plan, task, run, status, merge, slurm, kubernetes", args[0])
		}
		return nil
	}
	cmd.AddCommand(newSweepPlan(), newSweepTask(), newSweepRun(), newSweepStatus(), newSweepMerge(), newSweepSlurm(), newSweepKubernetes())
	return cmd
}

// asUsage marks an error as one of usage.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// sweepEnv is what sweeps compute with. Paths of data sets are those of the machine that planned; moved is "" or
// FROM=TO, which say that what lay below FROM there lies below TO here.
func sweepEnv(backend, moved string, log io.Writer) sweep.Env {
	from, to, _ := strings.Cut(moved, "=")
	return sweep.Env{
		Log: log,
		OpenSets: func(preset, ref string) (cureml.Sets, error) {
			p, err := recipes.FindPreset(preset)
			switch {
			case err != nil:
				return cureml.Sets{}, err
			case ref != "":
				return openSets(sweep.Moved(ref, from, to))
			case p.Name == recipes.Paper.Name:
				return benchmark.SetsOf("CIFAR-10")()
			}
			return openSets(p.Data)
		},
		OpenDevice: func(preset string) (compute.Backend, error) {
			p, err := recipes.FindPreset(preset)
			if err == nil && backend == "" {
				backend = p.Backend
			}
			if err != nil {
				return nil, err
			}
			return openBackend(backend)
		},
	}
}

// openSweep reads the sweep of --out.
func openSweep(out, backend, moved string, log io.Writer) (*sweep.Sweep, error) {
	if out == "" {
		return nil, usage("--out is missing: the folder of the sweep")
	}
	s, err := sweep.Open(filepath.Clean(out), sweepEnv(backend, moved, log))
	if errors.Is(err, sweep.ErrNone) {
		return nil, usageError{err}
	}
	return s, err // of a file system, say, that another attempt finds well
}

func newSweepRun() *cobra.Command {
	var out, backend string
	var jobs int
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Do all tasks of a sweep as processes on this machine",
		Long: `Do all tasks of a sweep as processes on this machine, and merge them. Tasks start when those that they need are done;
what they print goes to files in the folder logs. Interrupted, the same command goes on.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep run --jobs 2 --out sweep`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&out, "out", "", "folder of the sweep")
	fs.IntVar(&jobs, "jobs", 1, "processes at a time")
	fs.StringVar(&backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if jobs < 1 {
			return usage("--jobs %d: want at least 1", jobs)
		}
		s, err := openSweep(out, backend, "", os.Stderr)
		if err != nil {
			return err
		}
		err = s.Run(cmd.Context(), sweep.Local{Jobs: jobs, Worker: func(ctx context.Context, t sweep.Task) *exec.Cmd {
			args := []string{"sweep", "task", "--index", strconv.Itoa(t.Index), "--out", s.Dir}
			if backend != "" {
				args = append(args, "--backend", backend)
			}
			return exec.CommandContext(ctx, itself(), args...)
		}})
		if err != nil && !errors.Is(err, sweep.ErrFailed) {
			return err
		}
		return errors.Join(err, mergeSweep(cmd, s))
	}
	return cmd
}

func newSweepStatus() *cobra.Command {
	var out string
	var all bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how far a sweep is",
		Long: `Say how far a sweep is: how many tasks are done, in work, ready, waiting for others or failed, and which failed and are
in work. --all lists all of them.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep status --all --out sweep`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&out, "out", "", "folder of the sweep")
	cmd.Flags().BoolVar(&all, "all", false, "list all tasks")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := openSweep(out, "", "", nil)
		if err != nil {
			return err
		}
		states, err := s.States()
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		count := map[sweep.Phase]int{}
		for i, state := range states {
			count[state.Phase]++
			if all || state.Phase == sweep.Work || state.Phase == sweep.Failed {
				fmt.Fprintf(w, "%d %s: %s\n", i, s.Tasks[i].Name, state)
			}
		}
		var parts []string
		for _, phase := range []sweep.Phase{sweep.Done, sweep.Work, sweep.Ready, sweep.Waits, sweep.Failed} {
			if count[phase] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", count[phase], phase))
			}
		}
		fmt.Fprintf(w, "%d tasks: %s\n", len(states), strings.Join(parts, ", "))
		return nil
	}
	return cmd
}

func newSweepMerge() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "merge",
		Short: "Merge the shards of a sweep into reports, cards and tables",
		Long: `Merge the shards of a sweep into one report for each evaluation, and into cards and a table for each data set, of the
rows whose tasks are done. It may be called while tasks are in work; the exit code is 1 while some are missing, and where a
shard is damaged or of other weights, which is named and keeps the other rows from nothing.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep run --out sweep
  cure sweep merge --out sweep`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&out, "out", "", "folder of the sweep")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := openSweep(out, "", "", nil)
		if err != nil {
			return err
		}
		return mergeSweep(cmd, s)
	}
	return cmd
}

// mergeSweep merges and prints the tables.
func mergeSweep(cmd *cobra.Command, s *sweep.Sweep) error {
	m, failed := s.Merge(cmd.Context())
	if m == nil {
		return failed
	}
	for _, dir := range m.Tables {
		text, err := os.ReadFile(filepath.Join(dir, "table.txt"))
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s", dir, text)
	}
	if failed != nil {
		return failed
	}
	if n := len(m.Missing); n > 0 {
		return fmt.Errorf("%d of %d rows are not whole: %s", n, n+len(m.Cards), strings.Join(m.Missing, ", "))
	}
	return nil
}
