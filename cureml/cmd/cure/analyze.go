package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml/analysis"
	"cure/data"
	"cure/viz"
)

// analyzeJob is what every analysis of networks gets from the command line.
type analyzeJob struct {
	Device   compute.Backend
	Networks []analysis.Network
	Set      *data.Set // the images of --records
	First    int       // record of the first of them
	Data     string    // where they are from
	Seed     uint64
}

// analyzeCommand describes a subcommand of cure analyze.
type analyzeCommand struct {
	name, short, long, example string
	weights, records           string // defaults; without weights there is no such flag
	// flags adds further ones, and may be nil; check finds what is wrong with them before anything is read, and may be nil.
	flags func(fs *pflag.FlagSet)
	check func(typed *pflag.FlagSet) error
	// own says that the networks are not those of --weights but the analysis finds them itself, and may be nil.
	own func() bool
	run func(ctx context.Context, job analyzeJob) (analysis.Result, error)
}

// analyses are the subcommands, in the order of their notebooks.
func analyses() []analyzeCommand {
	return []analyzeCommand{
		analyzeSimilarity(),
		analyzeFeatures(),
		analyzeMasks(),
		analyzeRevision(),
		analyzeCorruptions(),
		analyzeMinPerturbation(),
		analyzeGradients(),
		analyzeLandscape(),
		analyzeLinearity(),
		analyzeLipschitz(),
		analyzeCalibration(),
		analyzeBoundary(),
		analyzeTransfer(),
		analyzeFairness(),
		analyzeSparsity(),
	}
}

func newAnalyze() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "analyze",
		Short:   "Take trained networks apart: JSON, tables and pictures",
		Example: `  cure help analyze`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var names []string
	for _, a := range analyses() {
		cmd.AddCommand(a.command())
		names = append(names, a.name)
	}
	for _, c := range studies() {
		cmd.AddCommand(c.command())
		names = append(names, c.name)
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("unknown analysis %q: accepted are %s", args[0], strings.Join(names, ", "))
		}
		return nil
	}
	return cmd
}

func (a analyzeCommand) command() *cobra.Command {
	var weights, ref, records, name, out string
	var arch networkFlags
	var seed uint64
	cmd := &cobra.Command{Use: a.name, Short: a.short, Long: a.long, Example: a.example, Args: noArgs}
	fs := cmd.Flags()
	if a.weights != "" {
		arch.add(fs)
		fs.StringVar(&weights, "weights", a.weights, "networks with commas between: files, run folders, or zoo:NAME")
	}
	fs.StringVar(&ref, "data", "mini", dataHelp)
	fs.StringVar(&records, "records", a.records, "records a to b-1 of the test images as a:b; all of them if empty")
	fs.Uint64Var(&seed, "seed", 0, "root of all random numbers")
	fs.StringVar(&out, "out", "", "folder for "+a.name+".json and the pictures; tables alone are printed without it")
	fs.StringVar(&name, "backend", "", backendHelp)
	if a.flags != nil {
		a.flags(fs)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.check != nil {
			if err := a.check(fs); err != nil {
				return usageError{err}
			}
		}
		own := a.own != nil && a.own()
		if own {
			for _, name := range []string{"weights", "arch", "width", "network", "mean", "std"} {
				if fs.Changed(name) {
					return usage("--%s and --run: want one of them: the run folder says itself which networks it holds", name)
				}
			}
		}
		if err := checkResults("out", out); err != nil {
			return err
		}
		set, err := openSplit(ref, "test")
		if err != nil {
			return err
		}
		from, to, err := parseRecords(records, set.Len())
		if err != nil {
			return err
		}
		job := analyzeJob{Seed: seed, First: from, Data: ref}
		if job.Set, err = set.Slice(from, to); err != nil {
			return usageError{err}
		}
		if !own {
			if job.Networks, err = readNetworks(weights, arch, cmd.Flags(), len(set.Classes), cmd.ErrOrStderr()); err != nil {
				return err
			}
		}
		if job.Device, err = openBackend(name); err != nil {
			return err
		}
		result, err := a.run(cmd.Context(), job)
		if err != nil {
			return err
		}
		return writeResult(cmd.OutOrStdout(), out, a.name, result)
	}
	return cmd
}

// readNetworks reads a list of weights, all of the same architecture flags unless a run folder says otherwise.
func readNetworks(list string, flags networkFlags, typed *pflag.FlagSet, classes int, messages io.Writer) (nets []analysis.Network, err error) {
	for _, ref := range strings.Split(list, ",") {
		f := flags
		f.weights = strings.TrimSpace(ref)
		if err := f.check("--weights", typed); err != nil {
			return nil, err
		}
		saved, err := f.load(classes)
		if err != nil {
			return nil, err
		}
		for _, warning := range saved.Warnings {
			fmt.Fprintln(messages, "warning:", f.weights+":", warning)
		}
		nets = append(nets, analysis.Network{Name: strings.TrimPrefix(f.weights, "zoo:"), State: saved.State})
	}
	return nets, nil
}

// checkResults finds out early whether results can go to a folder, which is made where it is missing.
func checkResults(flag, path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return usage("--%s: %s is a file: want the name of a folder", flag, path)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return usage("--%s: %w", flag, err)
	}
	return nil
}

// writeResult prints the tables, and writes the numbers and the pictures where there is a folder for them.
func writeResult(w io.Writer, dir, name string, r analysis.Result) error {
	for _, t := range r.Tables() {
		text, err := t.Text()
		if err != nil {
			return err
		}
		fmt.Fprintln(w, text)
	}
	if dir == "" {
		return nil
	}
	pictures, err := r.Pictures()
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, name+".json"), append(text, '\n')); err != nil {
		return err
	}
	for _, p := range pictures {
		path := filepath.Join(dir, name+"-"+p.Name+".png")
		if err := viz.Save(p.Figure, path); err != nil {
			return err
		}
		fmt.Fprintln(w, path)
	}
	return nil
}
