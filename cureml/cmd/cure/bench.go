package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml/bench"
)

// benchWorker is the hidden command that `cure bench` starts itself with.
const benchWorker = "bench-worker"

// benchFlags are those of `cure bench`; the first part is shared with its subcommands.
type benchFlags struct {
	rounds  int
	most    time.Duration
	json    string
	backend string

	suite, only, arch, widths, batches, compute string
	peers, python                               string
}

// measuring adds the flags of every measurement.
func (f *benchFlags) measuring(fs *pflag.FlagSet) {
	fs.IntVar(&f.rounds, "steps", 10, "timed turns of each")
	fs.DurationVar(&f.most, "most", 0, "end the rounds of jobs that take turns after this time, such as 5m (0: never)")
	fs.StringVar(&f.json, "json", "", "file for the figures")
	fs.StringVar(&f.backend, "backend", "", backendHelp)
}

func (f *benchFlags) check() error {
	if f.rounds < 1 {
		return usage("--steps %d: want at least 1", f.rounds)
	}
	if f.most < 0 {
		return usage("--most %s: want 0 or more", f.most)
	}
	if err := checkBackend(f.backend); err != nil {
		return err
	}
	return checkOutput("json", f.json)
}

// run measures, writes the figures and prints them.
func (f *benchFlags) run(cmd *cobra.Command, groups [][]bench.Job) (*bench.Result, error) {
	r, err := f.measure(cmd, groups)
	if err == nil {
		printBench(cmd.OutOrStdout(), r)
	}
	return r, err
}

// measure measures and writes the figures.
func (f *benchFlags) measure(cmd *cobra.Command, groups [][]bench.Job) (*bench.Result, error) {
	r, err := bench.Run(cmd.Context(), groups, bench.Options{Rounds: f.rounds, Most: f.most, Worker: worker, Python: f.python, Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	if f.json != "" {
		if err := writeJSON(f.json, r); err != nil {
			return nil, fmt.Errorf("--json: %w", err)
		}
	}
	return r, nil
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Time training steps, attacks and what surrounds them, next to PyTorch and JAX",
		Long: `Time training steps, attacks, the data pipeline and analyses: median seconds and images/s of a turn, 10¹² operations
of a step's convolutions a second, seconds of the first turn, which compiles, and peak memory (resident, of a process of its
own; 0 on a GPU). What is compared takes turns, so that a machine that slows down for a while slows all of it down. --width
and --batch take several values with commas between.

Peers are programs in Python that take turns at the same work, where --python has their libraries: ` + strings.Join(bench.Peers(), ", ") + `
('go doc ./cureml/bench' says what they do); auto is all but compiled, as far as they can run. The columns behind the
memory are a peer's seconds divided by those here: above 1, this program is quicker.

Names: ` + wrap(strings.Join(bench.Names(), ", ")+"."),
		Example: `  cure bench --only natural-step,trades-step --arch resnet18 --width 4 --batch 16 --steps 3 --json bench.json`,
		Args:    noArgs,
	}
	fs := cmd.Flags()
	f.measuring(fs)
	fs.StringVar(&f.suite, "suite", "", "a list of measurements instead of --only, --arch, --width, --batch: "+strings.Join(bench.Suites(), " or "))
	fs.StringVar(&f.only, "only", "natural-step,trades-step,cure-step", "what to time, with commas between")
	fs.StringVar(&f.arch, "arch", "resnet18", "architecture")
	fs.StringVar(&f.widths, "width", "16", "base widths (0: as published)")
	fs.StringVar(&f.batches, "batch", "64", "batch sizes")
	fs.StringVar(&f.compute, "compute", "", "type of the convolutions in steps of training: float32, the default, or bfloat16")
	fs.StringVar(&f.peers, "peers", "none", "none, auto, or names with commas between")
	fs.StringVar(&f.python, "python", "python3", "Python of the peers")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		groups, err := f.plan(cmd)
		if err != nil {
			return err
		}
		_, err = f.run(cmd, groups)
		return err
	}
	cmd.AddCommand(newBenchAutoAttack(), newBenchScaling(), newBenchShapes())
	return cmd
}

// plan is what the flags ask for.
func (f *benchFlags) plan(cmd *cobra.Command) ([][]bench.Job, error) {
	if f.suite != "" {
		for _, name := range []string{"only", "arch", "width", "batch", "compute"} {
			if cmd.Flags().Changed(name) {
				return nil, usage("--suite and --%s: want one of them", name)
			}
		}
	}
	request := bench.Request{Names: strings.Split(f.only, ","), Arch: f.arch, Backend: f.backend, Compute: f.compute}
	var err error
	if request.Widths, err = parseCounts("width", f.widths); err != nil {
		return nil, err
	}
	if request.Batches, err = parseCounts("batch", f.batches); err != nil {
		return nil, err
	}
	if request.Peers, err = f.chosenPeers(cmd.Context()); err != nil {
		return nil, err
	}
	var groups [][]bench.Job
	if f.suite != "" {
		groups, err = bench.Suite(f.suite, f.backend, request.Peers)
	} else {
		groups, err = bench.Plan(request)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return groups, nil
}

// chosenPeers reads --peers. Those that were asked for by name must be able to run.
func (f *benchFlags) chosenPeers(ctx context.Context) ([]string, error) {
	switch f.peers {
	case "none":
		return nil, nil
	case "auto":
		have, missing := bench.Installed(ctx, f.python, []string{"pytorch", "official", "jax"})
		if missing != "" {
			fmt.Fprintf(os.Stderr, "peers: %s\n", missing)
		}
		return have, nil
	}
	names := strings.Split(f.peers, ",")
	if _, missing := bench.Installed(ctx, f.python, names); missing != "" {
		return nil, usage("--peers %s: %s", f.peers, missing)
	}
	return names, nil
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

func printBench(w io.Writer, r *bench.Result) {
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	var peers []string
	for _, p := range bench.Peers() {
		if slices.ContainsFunc(r.Rows, func(row bench.Row) bool { return row.Peer == p }) {
			peers = append(peers, p)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, strings.Join(append([]string{"what", "arch", "width", "batch", "seconds", "images/s", "TFLOP/s", "first s", "peak MiB"}, peers...), "\t")+"\t")
	for _, row := range r.Rows {
		if row.Peer != "" {
			continue
		}
		operations := "-"
		if row.TFLOPS > 0 {
			operations = fmt.Sprintf("%.3f", row.TFLOPS)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.4f\t%.1f\t%s\t%.1f\t%d\t", label(row), row.Arch, row.Width, row.Batch, row.SecondsMedian,
			row.ImagesPerS, operations, row.CompileSeconds, row.PeakBytes>>20)
		for _, p := range peers {
			text := "-"
			if speed, ok := row.Speed[p]; ok {
				text = fmt.Sprintf("%.2fx", speed)
			}
			fmt.Fprintf(t, "%s\t", text)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

// label is the row's name with what the other columns do not say.
func label(row bench.Row) string {
	text := row.Name
	if row.Attack > 0 {
		text += fmt.Sprintf(", %d attack steps", row.Attack)
	}
	if row.Devices > 1 {
		text += fmt.Sprintf(", %d devices", row.Devices)
	}
	if row.Compute != "" {
		text += ", " + row.Compute
	}
	return text
}
