package main

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"cure/attacks"
	"cure/cureml/bench"
)

func newBenchAutoAttack() *cobra.Command {
	var network networkFlags
	var ref, records, norm, eps, json string
	job := bench.AutoAttackJob{}
	cmd := &cobra.Command{
		Use:   "autoattack",
		Short: "Time AutoAttack and compare its cost with the official code's",
		Long: `Run AutoAttack's standard version, and print its seconds, its forward plus backward passes next to what the official
code (github.com/fra31/auto-attack) would spend on the same verdicts, and, where a copy of that code is given, its own
seconds, passes and verdicts on the same images, with as many threads. 'go doc ./attacks OfficialPasses' has the formula.`,
		Example: `  cure bench autoattack --weights zoo:natural --records 0:4 --json autoattack.json`,
		Args:    noArgs,
	}
	fs := cmd.Flags()
	network.add(fs)
	fs.StringVar(&network.weights, "weights", "zoo:trades", "file with weights, run folder, or zoo:NAME for a shipped network")
	fs.StringVar(&ref, "data", "mini", "mini, or a file or folder")
	fs.StringVar(&records, "records", "0:256", "records a to b-1 of the test images as a:b")
	fs.StringVar(&norm, "norm", "linf", "linf, l2 or l1")
	fs.StringVar(&eps, "eps", "8/255", "budget in [0,1] pixels")
	fs.Int64Var(&job.Seed, "seed", 0, "root of all random numbers")
	fs.IntVar(&job.Rows, "rows", attacks.DefaultBatch, "rows of the compiled programs")
	fs.StringVar(&job.Official, "official", "", "folder with a copy of github.com/fra31/auto-attack, to run it too")
	fs.StringVar(&job.Python, "python", "python3", "Python with PyTorch for the official code")
	fs.IntVar(&job.Threads, "threads", runtime.NumCPU(), "threads of PyTorch")
	fs.StringVar(&json, "json", "", "file for the figures")
	fs.StringVar(&job.Backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if job.Ball.Norm, err = attacks.ParseNorm(norm); err != nil {
			return usage("--norm: %w", err)
		}
		if job.Ball.Eps, err = parsePixels("eps", eps); err != nil {
			return usageError{err}
		}
		if err := job.Ball.Validate(); err != nil {
			return usage("--eps: %w", err)
		}
		if err := checkOutput("json", json); err != nil {
			return err
		}
		if job.Rows < 1 {
			return usage("--rows %d: want at least 1", job.Rows)
		}
		if err := checkBackend(job.Backend); err != nil {
			return err
		}
		for _, name := range []string{"python", "threads"} {
			if job.Official == "" && fs.Changed(name) {
				return usage("--%s: it is for the official code: want --official too", name)
			}
		}
		if job.Official != "" {
			if err := exists("--official", job.Official); err != nil {
				return err
			}
		}
		if err := network.check("--weights", cmd.Flags()); err != nil {
			return err
		}
		set, err := openSplit(ref, "test")
		if err != nil {
			return err
		}
		a, b, err := parseRecords(records, set.Len())
		if err != nil {
			return err
		}
		if job.Set, err = set.Slice(a, b); err != nil {
			return usageError{err}
		}
		saved, err := network.load(len(set.Classes))
		if err != nil {
			return err
		}
		job.Network = saved.State
		if err := job.CheckOfficial(cmd.Context()); err != nil {
			return usage("--official: %w", err)
		}
		show := newProgress(os.Stderr)
		job.Progress = show.attack
		result, err := bench.AutoAttack(cmd.Context(), job)
		show.end()
		if result == nil {
			return err
		}
		result.Report.Weights, result.Report.Records = saved.Path, [2]int{a, b}
		if json != "" {
			if err := writeJSON(json, result); err != nil {
				return fmt.Errorf("--json: %w", err)
			}
		}
		printAutoAttack(cmd.OutOrStdout(), result)
		return err // of the official code
	}
	return cmd
}

func printAutoAttack(w io.Writer, r *bench.AutoAttackResult) {
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	fmt.Fprintf(w, "robust accuracy  %.2f %% of %d images (%s, eps %.4g)\n", 100*r.Report.RobustAccuracy, r.Report.N, r.Report.Norm, r.Report.Eps)
	fmt.Fprintf(w, "seconds          %.1f\n", r.Seconds)
	fmt.Fprintf(w, "passes           %d, the official code's formula %d: %.3fx\n", r.Passes, r.FormulaPasses, r.PassRatio)
	fmt.Fprintf(w, "                 with its %d passes back to the weights: %.3fx\n", r.WeightPasses, r.WeightRatio)
	for _, stage := range r.Report.Attacks[0].Stages {
		fmt.Fprintf(w, "  after %-10s %.2f %%, %d forwards, %d backwards, %.1f s\n", stage.Name, 100*stage.RobustAccuracy, stage.Forwards, stage.Backwards, stage.Seconds)
	}
	if o := r.Official; o != nil {
		fmt.Fprintf(w, "official code    %.1f s with PyTorch %s, %d passes counted, %d verdicts differ; speed here %.2fx\n",
			o.Seconds, o.Torch, o.Forwards+o.Backwards, o.Different, r.Speed)
	}
}
