package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"cure/cureml/recipes"
)

func newRecipeRun() *cobra.Command {
	var f recipeFlags
	cmd := &cobra.Command{
		Use:   "run ROW",
		Short: "Train a row, and before it the rows it needs",
		Long: `Train a row by its recipe, in a run folder below --out, and before it the rows whose networks it starts or learns from.
What is finished is not repeated and what was stopped goes on. 'cure benchmark --out' of the same folder measures the result.

` + wrap("Rows: "+rowNames()+"."),
		Example: `  cure recipe run cure --preset ci --epochs 1 --out example`,
		Args:    oneArg("a row"),
	}
	fs := cmd.Flags()
	f.size(fs)
	fs.Uint64Var(&f.seed, "seed", 0, "seed of the training")
	fs.StringVar(&f.out, "out", "", "folder")
	fs.StringVar(&f.backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) }
	return cmd
}

func (f *recipeFlags) run(cmd *cobra.Command, name string) error {
	row, err := findRow(name)
	if err != nil {
		return err
	}
	f.seeds = fmt.Sprint(f.seed)
	b, err := f.open(cmd.Flags())
	if err != nil {
		return err
	}
	if len(b.Archs) > 1 {
		return usage("--arch %s: want one network", f.arch)
	}
	b.Log = os.Stderr
	dir, err := b.Train(cmd.Context(), row, b.Archs[0], f.seed)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: weights in %s\n", row.Name, filepath.Join(dir, "final.safetensors"))
	return nil
}

// findRow is a row that this program can train.
func findRow(name string) (recipes.Row, error) {
	rows, err := recipes.Select(name)
	if err != nil {
		return recipes.Row{}, usageError{err}
	}
	if len(rows) != 1 {
		return recipes.Row{}, usage("%q: want one row", name)
	}
	return rows[0], nil
}
