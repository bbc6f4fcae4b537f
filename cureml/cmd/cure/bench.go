package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cure/cureml/bench"
)

// benchWorker is the hidden command that `cure bench` starts itself with.
const benchWorker = "bench-worker"

func newBench() *cobra.Command {
	var only, arch, widths, batches, json, backend string
	var steps int
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Time training steps",
		Long: `Time training steps: median seconds and images/s of a step, seconds of the first one, which compiles, and peak
memory (resident, of a process of its own; 0 on a GPU). Steps that are compared take turns, so that a machine that slows
down slows all of them down. --width and --batch take several values with commas between.

Steps: ` + strings.Join(bench.Names(), ", ") + `.`,
		Example: `  cure bench --only natural-step,trades-step --arch resnet18 --width 4 --batch 16 --steps 3 --json bench.json`,
		Args:    noArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&only, "only", "natural-step,trades-step,cure-step", "steps to time, with commas between")
	fs.StringVar(&arch, "arch", "resnet18", "architecture")
	fs.StringVar(&widths, "width", "16", "base widths (0: as published)")
	fs.StringVar(&batches, "batch", "64", "batch sizes")
	fs.IntVar(&steps, "steps", 10, "timed steps of each")
	fs.StringVar(&json, "json", "", "file for the figures")
	fs.StringVar(&backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if steps < 1 {
			return usage("--steps %d: want at least 1", steps)
		}
		if err := checkOutput("json", json); err != nil {
			return err
		}
		w, err := parseCounts("width", widths)
		if err != nil {
			return err
		}
		b, err := parseCounts("batch", batches)
		if err != nil {
			return err
		}
		jobs, err := bench.Plan(strings.Split(only, ","), arch, w, b, backend)
		if err != nil {
			return usageError{err}
		}
		result, err := bench.Run(cmd.Context(), jobs, bench.Options{Steps: steps, Worker: worker, Log: os.Stderr})
		if err != nil {
			return err
		}
		if json != "" {
			if err := writeJSON(json, result); err != nil {
				return fmt.Errorf("--json: %w", err)
			}
		}
		printBench(cmd.OutOrStdout(), result)
		return nil
	}
	cmd.AddCommand(newBenchAutoAttack())
	return cmd
}

// parseCounts reads numbers with commas between.
func parseCounts(flag, text string) (list []int, err error) {
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return nil, usage("--%s %q: want whole numbers with commas between", flag, text)
		}
		list = append(list, n)
	}
	return list, nil
}

// worker is this program once more.
func worker(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, itself(), benchWorker) }

// itself is the path of this program.
func itself() string {
	self := "/proc/self/exe" // still the same program when the file was replaced meanwhile
	if runtime.GOOS != "linux" {
		if path, err := os.Executable(); err == nil {
			self = path
		}
	}
	return self
}

func newBenchWorker() *cobra.Command {
	return &cobra.Command{Use: benchWorker, Hidden: true, Args: noArgs, RunE: func(*cobra.Command, []string) error {
		replies := os.NewFile(3, "replies")
		if info, err := replies.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			return usage("this command is for 'cure bench' to start")
		}
		return bench.Work(os.Stdin, replies)
	}}
}

func printBench(w io.Writer, r *bench.Result) {
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "step\tarch\twidth\tbatch\tseconds\timages/s\tfirst step s\tpeak MiB\t")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.4f\t%.1f\t%.1f\t%d\t\n", row.Name, row.Arch, row.Width, row.Batch, row.SecondsMedian,
			row.ImagesPerS, row.CompileSeconds, row.PeakBytes>>20)
	}
	t.Flush()
}
