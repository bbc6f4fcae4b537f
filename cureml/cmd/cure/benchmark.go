package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml/benchmark"
	"cure/cureml/recipes"
)

// benchmarkFlags are the flags of `cure benchmark`; the first part is shared with `cure recipe`.
type benchmarkFlags struct {
	preset, arch string
	width        int
	data         string
	epochs       int
	out          string
	backend      string

	methods, seeds, test string
	saved                string
	autoattack, rows     int
	devices              int
	table                bool
}

// size adds the flags that choose networks, images and epochs.
func (f *benchmarkFlags) size(fs *pflag.FlagSet) {
	fs.StringVar(&f.preset, "preset", recipes.Mini.Name, "size: ci, mini or paper")
	fs.StringVar(&f.arch, "arch", "", "networks, with commas between (default the preset's)")
	fs.IntVar(&f.width, "width", 0, "base width (0: the preset's for its network, else as published)")
	fs.StringVar(&f.data, "data", "", dataHelp+" (default the preset's)")
	fs.IntVar(&f.epochs, "epochs", 0, "epochs instead of the recipes' (0: theirs)")
}

func newBenchmark() *cobra.Command {
	var f benchmarkFlags
	cmd := &cobra.Command{
		Use:   "benchmark",
		Short: "Train and attack the rows of the published table, resumably",
		Long: `Train and attack the rows of the CIFAR-10 table of the CURE paper, and print them beside the published values. The
folder --out gets a run folder and a JSON card a row, and the table as text, Markdown, CSV and PNG after every row.

Rows that have a card are skipped. Stopped or killed at any moment, the same command goes on, in training and in attacks
alike. A row that fails is told in the table and in the exit code (1); the others go on. Networks that a row needs, such as
CURE's natural start and the teachers of ARD and IAD, are rows of the same benchmark and trained first.

The best checkpoint is selected on training images that are held out; the test images select nothing.

Methods: ` + wrap("table (the default), extras, ablations, all, or names: "+rowNames()+".") + `
Presets: ci (minutes, to see that it runs), mini (two cores, the images inside the program), paper (a GPU).`,
		Example: `  cure benchmark --preset ci --methods natural,trades --epochs 1 --autoattack 0 --out example
  cure benchmark --preset ci --table --out example`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	f.size(fs)
	fs.StringVar(&f.methods, "methods", "", "rows and groups, with commas between (default table)")
	fs.StringVar(&f.seeds, "seeds", "0", "seeds, with commas between; several give means and standard deviations")
	fs.StringVar(&f.test, "test-data", "", "data set whose test images are attacked (default that of --data)")
	fs.IntVar(&f.autoattack, "autoattack", 0, "test images for AutoAttack: 0 for none, -1 for all (default the preset's)")
	fs.IntVar(&f.rows, "rows", 0, "rows of the compiled programs of attacks; more suit a GPU")
	fs.IntVar(&f.devices, "devices", 1, "devices that share batches and rows")
	fs.BoolVar(&f.table, "table", false, "only make the table of the cards that are there")
	fs.StringVar(&f.out, "out", "", "folder")
	fs.StringVar(&f.saved, "saved", "", "folder of cards that were made elsewhere, such as results/benchmark: their rows are done, AutoAttack or not")
	fs.StringVar(&f.backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runBenchmark(cmd, f) }
	return cmd
}

func rowNames() string {
	var names []string
	for _, r := range recipes.Rows() {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

func runBenchmark(cmd *cobra.Command, f benchmarkFlags) error {
	rows, err := recipes.Select(f.methods)
	if err != nil {
		return usage("--methods: %w", err)
	}
	b, err := f.open(cmd.Flags())
	if err != nil {
		return err
	}
	if f.table {
		for _, name := range []string{"methods", "seeds", "arch", "width", "epochs", "data", "test-data", "autoattack", "rows", "devices", "backend"} {
			if cmd.Flags().Changed(name) {
				return usage("--%s and --table: the table is of all cards that are there, whatever they are of", name)
			}
		}
		return printTable(cmd, b)
	}
	show := newProgress(os.Stderr)
	b.Log, b.Progress = os.Stderr, show.attack
	out, err := b.Run(cmd.Context(), rows)
	show.end()
	switch {
	case errors.Is(err, benchmark.ErrOther):
		return usageError{err}
	case err != nil:
		return err
	}
	if err := printTable(cmd, b); err != nil {
		return err
	}
	if n := len(out.Failed); n > 0 {
		return fmt.Errorf("%d of %d rows failed: %s; the notes of the table say why, and the same command tries them again",
			n, n+len(out.Measured)+len(out.Skipped), strings.Join(out.Failed, ", "))
	}
	return nil
}

func printTable(cmd *cobra.Command, b *benchmark.Benchmark) error {
	cards, err := b.Cards()
	if err != nil {
		return err
	}
	if len(cards) == 0 {
		return usage("--out: %s has no cards of a benchmark", b.Dir)
	}
	if err := b.WriteTable(); err != nil {
		return err
	}
	text, err := benchmark.Table(cards).Text()
	fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// open checks the flags and makes the benchmark of them.
func (f *benchmarkFlags) open(typed *pflag.FlagSet) (*benchmark.Benchmark, error) {
	p, err := recipes.FindPreset(f.preset)
	if err != nil {
		return nil, usage("--preset: %w", err)
	}
	if f.out == "" {
		return nil, usage("--out is missing: the folder of the benchmark")
	}
	if info, err := os.Stat(f.out); err == nil && !info.IsDir() {
		return nil, usage("--out: %s is a file: want a folder", f.out)
	}
	if f.saved != "" {
		if err := exists("--saved", f.saved); err != nil {
			return nil, err
		}
	}
	if f.epochs < 0 {
		return nil, usage("--epochs %d: want 1 or more, or 0 for the recipes'", f.epochs)
	}
	if f.rows < 0 {
		return nil, usage("--rows %d: want at least 1, or 0 for the default", f.rows)
	}
	if typed.Changed("devices") && f.devices < 1 {
		return nil, usage("--devices %d: want at least 1", f.devices)
	}
	if typed.Changed("autoattack") {
		if f.autoattack < -1 {
			return nil, usage("--autoattack %d: want a number of images, 0 for none or -1 for all", f.autoattack)
		}
		p.AutoAttack = f.autoattack
	}
	if f.data != "" {
		p.Data = f.data
	}
	seeds, err := parseSeeds(f.seeds)
	if err != nil {
		return nil, err
	}
	b := &benchmark.Benchmark{Preset: p, Dir: filepath.Clean(f.out), Saved: f.saved, Seeds: seeds, Epochs: f.epochs, Rows: f.rows, Devices: f.devices}
	open, err := f.images(p)
	if err != nil {
		return nil, err
	}
	b.OpenSets = open
	if b.Archs, err = f.archs(p, open); err != nil {
		return nil, err
	}
	b.OpenDevice = func() (compute.Backend, error) {
		if f.backend == "" {
			return openDevices(p.Backend, f.devices)
		}
		return openDevices(f.backend, f.devices)
	}
	return b, nil
}
