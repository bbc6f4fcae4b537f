package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cure/cureml/bench"
)

func newBenchShapes() *cobra.Command {
	var f benchFlags
	var width, batch int
	cmd := &cobra.Command{
		Use:   "shapes",
		Short: "Time each convolution of a ResNet-18 alone, and its two gradients",
		Long: `Time the values of each 3x3 convolution of a ResNet-18, its gradient with regard to the images (dx) and that with regard
to the kernel (dw), next to PyTorch where --python has it: milliseconds of each, PyTorch's behind a slash.`,
		Example: `  cure bench shapes --width 16 --batch 64 --steps 20 --json shapes.json`,
		Args:    noArgs,
	}
	fs := cmd.Flags()
	f.measuring(fs)
	fs.IntVar(&width, "width", 16, "base width")
	fs.IntVar(&batch, "batch", 64, "images")
	fs.StringVar(&f.peers, "peers", "none", "none, auto or pytorch")
	fs.StringVar(&f.python, "python", "python3", "Python of the peers")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		if !slices.Contains([]string{"none", "auto", "pytorch"}, f.peers) {
			return usage("--peers %s: want none, auto or pytorch: the others time no convolutions", f.peers)
		}
		peers, err := f.chosenPeers(cmd.Context())
		if err != nil {
			return err
		}
		groups, err := bench.Shapes(width, batch, f.backend, slices.DeleteFunc(peers, func(p string) bool { return p != "pytorch" }))
		if err != nil {
			return usageError{err}
		}
		r, err := f.measure(cmd, groups)
		if err != nil {
			return err
		}
		printShapes(cmd.OutOrStdout(), r)
		return nil
	}
	return cmd
}

// printShapes has a line for each convolution.
func printShapes(w io.Writer, r *bench.Result) {
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "convolution\tGFLOP\tvalues ms\tdx ms\tdw ms\t")
	for i, row := range r.Rows {
		if row.Shape == nil || row.Peer != "" {
			continue
		}
		if row.Name == "conv-forward" {
			fmt.Fprintf(t, "%s\t%.2f", row.Shape, row.Shape.GFLOP(row.Batch))
		}
		fmt.Fprintf(t, "\t%.2f", 1000*row.SecondsMedian)
		if i+1 < len(r.Rows) && r.Rows[i+1].Peer != "" {
			fmt.Fprintf(t, " / %.2f", 1000*r.Rows[i+1].SecondsMedian)
		}
		if row.Name == "conv-dw" {
			fmt.Fprintln(t, "\t")
		}
	}
	t.Flush()
}
