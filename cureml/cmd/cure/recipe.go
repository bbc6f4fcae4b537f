package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

func newRecipe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recipe",
		Short: "Show and run the trainings of the benchmark's rows",
		Long: `The training of every row of the published CIFAR-10 table, of further methods and of CURE's ablations, in the sizes
ci, mini and paper: the command, how long it takes, and which numbers are published for it.`,
		Example: `  cure recipe list`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("unknown command %q: accepted are list, show, run", args[0])
		}
		return nil
	}
	cmd.AddCommand(newRecipeList(), newRecipeShow(), newRecipeRun())
	return cmd
}

func newRecipeList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the rows",
		Long:    "List the rows: what they start or learn from, minutes at mini size on two cores, and published values for ResNet-18.",
		Example: `  cure recipe list`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listRecipes(cmd.OutOrStdout())
		},
	}
}

func listRecipes(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tmethod\tneeds\tmini minutes\tnatural\tPGD-20\tC&W\tAutoAttack\tsource")
	kind := recipes.Kind("")
	for _, r := range recipes.Rows() {
		if r.Kind != kind {
			kind = r.Kind
			fmt.Fprintf(t, "%s:\t\t\t\t\t\t\t\t\n", kind)
		}
		c, err := recipes.Mini.Config(r, recipes.Mini.Arch, 0, "runs")
		if err != nil {
			return err
		}
		d, _ := recipes.Mini.Time(r, c)
		p, known := r.On("resnet18")
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f", r.Name, r.Method, strings.Join(r.Needs(), ", "), max(1, d.Minutes()))
		for _, column := range []string{"natural", "pgd20", "cw", "aa"} {
			fmt.Fprintf(t, "\t%s", publishedValue(p, known, column))
		}
		fmt.Fprintf(t, "\t%s\n", r.Source)
	}
	return t.Flush()
}

func publishedValue(p recipes.Published, known bool, column string) string {
	if v := p.Value(column); known && !math.IsNaN(v) {
		return fmt.Sprintf("%.2f", v)
	}
	return "-"
}

// recipeFlags choose one recipe.
type recipeFlags struct {
	benchmarkFlags
	seed uint64
	json bool
}

func newRecipeShow() *cobra.Command {
	var f recipeFlags
	cmd := &cobra.Command{
		Use:   "show ROW",
		Short: "Show the recipe of a row: commands, time, published values",
		Long: `Show the recipe of a row: the commands that train it, those of the rows it needs first, about how long they take, and
the published values with their source and what is known to be wrong with them. --json writes the config instead.

` + wrap("Rows: "+rowNames()+"."),
		Example: `  cure recipe show cure
  cure recipe show cure --preset paper --arch wrn-34-10 --json`,
		Args: oneArg("a row"),
	}
	fs := cmd.Flags()
	f.size(fs)
	fs.Uint64Var(&f.seed, "seed", 0, "seed of the training")
	fs.StringVar(&f.out, "out", "benchmark", "folder in which the commands train")
	fs.BoolVar(&f.json, "json", false, "write config.json to standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.show(cmd, args[0]) }
	return cmd
}

func (f *recipeFlags) show(cmd *cobra.Command, name string) error {
	row, err := findRow(name)
	if err != nil {
		return err
	}
	p, err := recipes.FindPreset(f.preset)
	if err != nil {
		return usage("--preset: %w", err)
	}
	if f.data != "" {
		p.Data = f.data
	}
	open, err := f.images(p)
	if err != nil {
		return err
	}
	archs, err := f.archs(p, open)
	if err != nil {
		return err
	}
	if len(archs) > 1 {
		return usage("--arch %s: want one network", f.arch)
	}
	c, err := f.config(p, row, archs[0])
	if err != nil {
		return usageError{err}
	}
	w := cmd.OutOrStdout()
	if f.json {
		text, err := json.MarshalIndent(c, "", "  ")
		fmt.Fprintf(w, "%s\n", text)
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", row.Title, row.Source)
	if row.Note != "" {
		fmt.Fprintln(w, wrap(row.Note))
	}
	fmt.Fprintln(w)
	if err := f.commands(w, p, row, archs[0], map[string]bool{}); err != nil {
		return usageError{err}
	}
	f.published(w, row, archs[0])
	return nil
}

// config is the training of a row, with --epochs.
func (f *recipeFlags) config(p recipes.Preset, row recipes.Row, a nn.Arch) (cureml.Config, error) {
	c, err := p.Config(row, a, f.seed, filepath.Join(f.out, "runs"))
	if err != nil || f.epochs == 0 {
		return c, err
	}
	recipes.Shorten(&c, f.epochs)
	return c, c.Validate()
}

// commands writes those of the rows that row needs, and then its own.
func (f *recipeFlags) commands(w io.Writer, p recipes.Preset, row recipes.Row, a nn.Arch, told map[string]bool) error {
	if told[row.Name] {
		return nil
	}
	told[row.Name] = true
	for _, name := range row.Needs() {
		need, err := recipes.Find(name)
		if err == nil {
			err = f.commands(w, p, need, a, told)
		}
		if err != nil {
			return err
		}
	}
	c, err := f.config(p, row, a)
	if err != nil {
		return err
	}
	if expected := p.Expected(row, c); expected != "" {
		fmt.Fprintf(w, "# %s: %s\n", row.Name, expected)
	}
	fmt.Fprintln(w, recipes.Command(c, filepath.Join(f.out, "runs", recipes.Folder(row.Name, a, f.seed))))
	return nil
}

// published writes what papers report.
func (f *recipeFlags) published(w io.Writer, row recipes.Row, a nn.Arch) {
	p, known := row.On(a.Name)
	if !known {
		fmt.Fprintf(w, "\nNo published values for %s are known here.\n", a.Name)
		return
	}
	fmt.Fprintf(w, "\npublished for %s, in %%: natural %s, PGD-20 %s, C&W %s, NRR %s, AutoAttack %s\n", a.Name, publishedValue(p, known, "natural"),
		publishedValue(p, known, "pgd20"), publishedValue(p, known, "cw"), publishedValue(p, known, "nrr"), publishedValue(p, known, "aa"))
	if p.Source != "" {
		fmt.Fprintf(w, "source: %s\n", p.Source)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(w, wrap(fmt.Sprintf("note on %s: %s", n.Column, n.Text)))
	}
	if p.Elsewhere != "" {
		fmt.Fprintf(w, "elsewhere: %s\n", p.Elsewhere)
	}
}
