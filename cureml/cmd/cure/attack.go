package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cure/attacks"
	"cure/cureml"
)

// transferFlags are the flags of `cure attack`.
type transferFlags struct {
	weights     []string
	network     networkFlags
	images      imageFlags
	attacks     attackFlags
	seed        int64
	rows        int
	json, state string
	backend     string
}

func newAttack() *cobra.Command {
	var f transferFlags
	cmd := &cobra.Command{
		Use:   "attack",
		Short: "Attack several networks, and show each what was made on the others",
		Long: `Make adversarial images on every network given, and show how all of them fare with all: rows are the networks that
the images were made on, columns those that look at them, the diagonal is the robust accuracy under the attack itself. A
network that other networks' images fool more often than its own gets a warning: its gradients may be masked.

Attacks, data and weights are those of 'cure eval', which evaluates one network and saves its adversarial images (--save).`,
		Example: `  cure attack --weights zoo:natural,zoo:trades --attack fgsm,mi-fgsm --records 0:32 --json transfer.json`,
		Args:    noArgs,
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.weights, "weights", nil, "two or more of: file with weights, run folder, zoo:NAME; with commas between")
	f.network.add(fs)
	f.images.add(fs)
	f.attacks.add(fs)
	fs.Int64Var(&f.seed, "seed", 0, "root of all random numbers")
	fs.IntVar(&f.rows, "rows", attacks.DefaultBatch, "rows of the compiled programs")
	fs.StringVar(&f.json, "json", "", "file for the matrices with one verdict per image")
	fs.StringVar(&f.state, "state", "", "files, one per network, that a repeated command goes on from")
	fs.StringVar(&f.backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runAttack(cmd, f) }
	return cmd
}

func runAttack(cmd *cobra.Command, f transferFlags) error {
	list, err := f.attacks.parse(cmd.Flags())
	if err != nil {
		return err
	}
	if len(f.weights) < 2 {
		return usage("--weights: %d networks: want two or more with commas between; 'cure eval' attacks one", len(f.weights))
	}
	for i, weights := range f.weights {
		if slices.Contains(f.weights[:i], weights) {
			return usage("--weights: %s appears twice", weights)
		}
	}
	if f.rows < 1 {
		return usage("--rows %d: want at least 1", f.rows)
	}
	if err := differentOutputs([][2]string{{"json", f.json}, {"state", f.state}}); err != nil {
		return err
	}
	for flag, path := range map[string]string{"json": f.json, "state": f.state} {
		if err := checkOutput(flag, path); err != nil {
			return err
		}
	}
	part, first, err := f.images.load()
	if err != nil {
		return err
	}
	nets := make([]*cureml.Saved, len(f.weights))
	for i, weights := range f.weights {
		each := f.network
		each.weights = weights
		if err := each.check("--weights", cmd.Flags()); err != nil {
			return err
		}
		if nets[i], err = each.load(len(part.Classes)); err != nil {
			return err
		}
		for _, w := range nets[i].Warnings {
			fmt.Fprintf(os.Stderr, "warning: %s: %s\n", weights, w)
		}
	}
	device, err := openBackend(f.backend)
	if err != nil {
		return err
	}
	models := make([]attacks.NamedModel, len(nets))
	for i, net := range nets {
		models[i] = attacks.NamedModel{Name: f.weights[i], Model: cureml.HostModel(device, net.State)}
	}
	index := make([]int, part.Len())
	for i := range index {
		index[i] = first + i
	}
	show := newProgress(os.Stderr)
	matrix, err := attacks.Transfer(cmd.Context(), models, part.Images, part.Labels, list, attacks.Options{
		Batch: f.rows, Seed: f.seed, Index: index, State: f.state, Progress: show.attack,
	})
	show.end()
	if err != nil {
		return err
	}
	for _, w := range matrix.Warnings {
		fmt.Fprintln(os.Stderr, "warning:", w)
	}
	if f.json != "" {
		if err := writeJSON(f.json, matrix); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	printMatrix(cmd.OutOrStdout(), matrix)
	return nil
}

// printMatrix shows a table for each attack, accuracies in percent.
func printMatrix(w io.Writer, m *attacks.Matrix) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "made on\t%s\t\n", strings.Join(m.Models, "\t"))
	row := func(name string, accuracies func(i int) float64) {
		fmt.Fprintf(t, "%s\t", name)
		for i := range m.Models {
			fmt.Fprintf(t, "%.2f\t", 100*accuracies(i))
		}
		fmt.Fprintln(t)
	}
	row("clean", func(i int) float64 { return m.Clean[i].Accuracy })
	for _, a := range m.Attacks {
		fmt.Fprintf(t, "%s (%s, eps %.4g)\t\n", a.Name, a.Norm, a.Eps)
		for s, name := range m.Models {
			row(name, func(i int) float64 { return a.Accuracy[s][i] })
		}
	}
	t.Flush()
	fmt.Fprintf(w, "\naccuracy in %% of %d images\n", m.N)
}
