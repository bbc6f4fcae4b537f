package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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

// gridFlags make a grid.
type gridFlags struct {
	file                 string
	preset, methods      string
	archs, widths        string
	data, seeds, attacks string
	epochs, autoattack   int
	shard, rows          int
}

func (f *gridFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "grid", "", "JSON file with the grid, instead of the flags below")
	fs.StringVar(&f.preset, "preset", recipes.Mini.Name, "size: ci, mini or paper")
	fs.StringVar(&f.methods, "methods", "table", "rows and groups, with commas between, as 'cure benchmark' takes them")
	fs.StringVar(&f.archs, "arch", "", "networks, with commas between (default the preset's)")
	fs.StringVar(&f.widths, "width", "", "base widths, with commas between (default the preset's for its network, else as published)")
	fs.StringVar(&f.data, "data", "", "data sets, with commas between: "+dataHelp+" (default the preset's)")
	fs.StringVar(&f.seeds, "seeds", "0", "seeds, with commas between")
	fs.IntVar(&f.epochs, "epochs", 0, "epochs instead of the recipes' (0: theirs)")
	fs.IntVar(&f.autoattack, "autoattack", 0, "test images for AutoAttack: 0 for none, -1 for all (default the preset's)")
	fs.StringVar(&f.attacks, "attack", "", "further attacks on the last checkpoints, with commas between; stages of ensembles have + between")
	fs.IntVar(&f.shard, "shard", 0, "images that a task attacks, at most (0: all)")
	fs.IntVar(&f.rows, "rows", 0, "rows of the compiled programs of attacks; more suit a GPU")
}

// grid is that of the file or of the flags.
func (f *gridFlags) grid(typed *pflag.FlagSet) (g sweep.Grid, err error) {
	if f.file != "" {
		var others []string
		typed.Visit(func(flag *pflag.Flag) {
			if flag.Name != "grid" && flag.Name != "out" && flag.Name != "gflops" {
				others = append(others, "--"+flag.Name)
			}
		})
		if others != nil {
			return g, usage("--grid and %s: want one or the other, the file says all of it", strings.Join(others, ", "))
		}
		if err := exists("--grid", f.file); err != nil {
			return g, err
		}
		g, err = sweep.ReadGrid(f.file)
		return g, asUsage(err)
	}
	g = sweep.Grid{Preset: f.preset, Methods: words(f.methods), Archs: words(f.archs), Data: words(f.data), Epochs: f.epochs,
		Attacks: words(f.attacks), Shard: f.shard, Rows: f.rows}
	if f.widths != "" {
		if g.Widths, err = parseCounts("width", f.widths); err != nil {
			return g, err
		}
	}
	if g.Seeds, err = parseSeeds(f.seeds); err != nil {
		return g, err
	}
	if typed.Changed("autoattack") {
		g.AutoAttack = &f.autoattack
	}
	return g, nil
}

// words are the parts of a list with commas between, none of an empty text.
func words(list string) (parts []string) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// asUsage marks an error as one of usage.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// sweepEnv is what sweeps compute with.
func sweepEnv(backend string, log io.Writer) sweep.Env {
	return sweep.Env{
		Log: log,
		OpenSets: func(preset, ref string) (cureml.Sets, error) {
			p, err := recipes.FindPreset(preset)
			switch {
			case err != nil:
				return cureml.Sets{}, err
			case ref != "":
				return openSets(ref)
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
func openSweep(out, backend string, log io.Writer) (*sweep.Sweep, error) {
	if out == "" {
		return nil, usage("--out is missing: the folder of the sweep")
	}
	s, err := sweep.Open(filepath.Clean(out), sweepEnv(backend, log))
	return s, asUsage(err)
}

func newSweepPlan() *cobra.Command {
	var f gridFlags
	var out string
	var rate float64
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Write the list of tasks of a grid, and what they will cost",
		Long: `Write the list of tasks of a grid into a folder, and print it with estimates of their time. The same grid again leaves
the folder as it is; another grid is refused.

Estimates are operations of convolutions divided by --gflops, what the device gets through in steps of adversarial training:
135 was measured for two cores of a Xeon. For another device, time such steps with 'cure bench --only trades-step', and
multiply the images a second by 1.89 at width 16 and by 30.0 at width 64. Attacks take less where they break images.`,
		Example: `  cure sweep plan --preset ci --methods natural,trades --epochs 1 --seeds 0,1 --shard 4 --out sweep
  cure sweep plan --preset ci --methods natural,trades --epochs 1 --seeds 0,1 --shard 4 --gflops 30 --out sweep`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	f.add(fs)
	fs.StringVar(&out, "out", "", "folder")
	fs.Float64Var(&rate, "gflops", sweep.DefaultGFLOPS, "operations a second of one task's device, in 10⁹, for the estimates")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if out == "" {
			return usage("--out is missing: the folder of the sweep")
		}
		if info, err := os.Stat(out); err == nil && !info.IsDir() {
			return usage("--out: %s is a file: want a folder", out)
		}
		if !(rate > 0) || math.IsInf(rate, 0) {
			return usage("--gflops %v: want a number above 0", rate)
		}
		g, err := f.grid(fs)
		if err != nil {
			return err
		}
		s, err := sweep.Create(filepath.Clean(out), g, sweepEnv("", nil))
		if err != nil {
			return asUsage(err)
		}
		return printPlan(cmd.OutOrStdout(), s, rate)
	}
	return cmd
}

// printPlan lists the tasks with their time, and sums.
func printPlan(w io.Writer, s *sweep.Sweep, rate float64) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "task\tname\tneeds\t10¹² operations\tminutes")
	sum := map[sweep.Kind]float64{}
	count := map[sweep.Kind]int{}
	for _, task := range s.Tasks {
		cost, err := s.Cost(task)
		if err != nil {
			return err
		}
		var needs []string
		for _, n := range task.Needs {
			needs = append(needs, strconv.Itoa(n))
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", task.Index, task.Name, strings.Join(needs, " "), orUnknown(cost/1e12), orUnknown(cost/rate/6e10))
		count[task.Kind]++
		if !math.IsNaN(cost) {
			sum[task.Kind] += cost
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d trainings: %.2f hours; %d evaluations: at most %.2f hours; at %g·10⁹ operations a second\n", count[sweep.Train],
		sum[sweep.Train]/rate/3.6e12, count[sweep.Eval], sum[sweep.Eval]/rate/3.6e12, rate)
	return nil
}

// orUnknown is a number, a dash where there is none.
func orUnknown(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.3g", v)
}

// Variables in which engines say which task of an array a process is.
var indexVariables = []string{"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"}

func newSweepTask() *cobra.Command {
	var out, backend string
	var index int
	cmd := &cobra.Command{
		Use:   "task",
		Short: "Do one task of a sweep, or go on with it",
		Long: `Do one task of a sweep, or go on with it. Its index comes from --index or from ` + strings.Join(indexVariables, " or ") + `. A
task that is done ends at once. One that another process is at work on waits for that, and so does one that needs a network
which is being trained; where that process dies, this one takes over. An evaluation whose network nobody trains trains it.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep task --index 0 --out sweep`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&out, "out", "", "folder of the sweep")
	fs.IntVar(&index, "index", -1, "number of the task")
	fs.StringVar(&backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := openSweep(out, backend, os.Stderr)
		if err != nil {
			return err
		}
		if !fs.Changed("index") {
			if index, err = indexFromEnv(); err != nil {
				return err
			}
		}
		t, err := s.Task(index)
		if err != nil {
			return asUsage(err)
		}
		show := newProgress(os.Stderr)
		s.Progress = show.attack
		err = s.Do(cmd.Context(), t)
		show.end()
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: done\n", t.Name)
		}
		return err
	}
	return cmd
}

func indexFromEnv() (int, error) {
	for _, name := range indexVariables {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, usage("%s %q: want the number of a task", name, text)
		}
		return n, nil
	}
	return 0, usage("--index is missing, and so are %s: which task?", strings.Join(indexVariables, " and "))
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
		s, err := openSweep(out, backend, os.Stderr)
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
		s, err := openSweep(out, "", nil)
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
rows whose tasks are done. It may be called while tasks are in work; the exit code is 1 while some are missing.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep run --out sweep
  cure sweep merge --out sweep`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&out, "out", "", "folder of the sweep")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := openSweep(out, "", nil)
		if err != nil {
			return err
		}
		return mergeSweep(cmd, s)
	}
	return cmd
}

// mergeSweep merges and prints the tables.
func mergeSweep(cmd *cobra.Command, s *sweep.Sweep) error {
	m, err := s.Merge(cmd.Context())
	if err != nil {
		return err
	}
	for _, dir := range m.Tables {
		text, err := os.ReadFile(filepath.Join(dir, "table.txt"))
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s", dir, text)
	}
	if n := len(m.Missing); n > 0 {
		return fmt.Errorf("%d of %d rows are not whole: %s", n, n+len(m.Cards), strings.Join(m.Missing, ", "))
	}
	return nil
}
