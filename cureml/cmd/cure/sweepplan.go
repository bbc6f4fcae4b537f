package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml/recipes"
	"cure/cureml/sweep"
)

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
` + fmt.Sprint(sweep.DefaultGFLOPS) + ` was measured for two cores of a Xeon. For another device, time such steps with 'cure bench --only trades-step', and
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
		if g, err = g.Anchor(); err != nil {
			return err
		}
		s, err := sweep.Create(filepath.Clean(out), g, sweepEnv("", "", nil))
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
