package recipes

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cure/cureml"
	"cure/cureml/optim"
)

// Kind says why a row is there.
type Kind string

// The kinds, which are also the names of groups that [Select] accepts.
const (
	Table    Kind = "table"     // a row of the published table, and natural training
	Extra    Kind = "extras"    // a method that the table does not have
	Ablation Kind = "ablations" // CURE with one setting changed
)

// Row is a line of the benchmark.
type Row struct {
	Name   string // on command lines and in names of files
	Title  string // in tables
	Kind   Kind
	Method string // of package cureml
	// Set are settings that make the row, at every size, as path=value of config.json.
	Set []string
	// Init names the row whose final network this one starts from, Robust and Natural those of its teachers; "" is none.
	Init, Robust, Natural string
	// LastOnly leaves the best checkpoint out: it is selected by robust accuracy, of which natural training has none.
	LastOnly bool
	// MiniEpochs replaces the epochs of the small sizes.
	MiniEpochs int
	// Cost is about how long a step takes in units of TRADES', from the number of passes.
	Cost float64
	// Paper are the settings at the size of papers, and Published what papers report, by architecture.
	Paper     map[string]Training
	Published map[string]Published
	// Source is the paper and the repository, Note what differs from them.
	Source, Note string
}

// Training are the settings of a paper; batches are of 128 images.
type Training struct {
	Epochs      int
	Schedule    optim.Schedule
	WeightDecay float64
	Nesterov    bool
	Set         []string // path=value of config.json
}

// Published are results in per cent; NaN where none was found.
type Published struct {
	Nat   float64 // natural accuracy
	PGD20 float64
	CW    float64 // PGD on the margin, which this literature calls C&W
	AA    float64 // AutoAttack
	// NRR is the natural-robust ratio as it is printed, or, where the print could not be read, computed from Nat and CW.
	NRR    float64
	Source string
	Notes  []Note
	// Elsewhere are independent results of the same setting.
	Elsewhere string
}

// Note is a footnote to one column: natural, pgd20, cw, aa, nrr, or row for the whole.
type Note struct{ Column, Text string }

// none marks a value that was not published.
var none = math.NaN()

// Rows are all rows in the order of the table.
func Rows() []Row { return slices.Concat(tableRows(), extraRows(), ablationRows()) }

// On is what papers report for the row on an architecture; false where nothing is known.
func (r Row) On(arch string) (Published, bool) {
	p, ok := r.Published[arch]
	return p, ok
}

// Available says whether this program has the row's method.
func (r Row) Available() bool { return slices.Contains(cureml.MethodNames(), r.Method) }

// Needs lists the rows whose networks this one starts or learns from.
func (r Row) Needs() (names []string) {
	for _, name := range []string{r.Init, r.Robust, r.Natural} {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Find is the row of a name.
func Find(name string) (Row, error) {
	var names []string
	for _, r := range Rows() {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Row{}, fmt.Errorf("recipes: unknown row %q: accepted are %s", name, strings.Join(names, ", "))
}

// Select are the rows of a list of names with commas between, in the order of the table. A name may be a group: table
// (also where the list is empty), extras, ablations or all. Groups leave out what this program has no method for; a row
// asked for by its name must have one.
func Select(list string) ([]Row, error) {
	if list == "" {
		list = string(Table)
	}
	chosen := map[string]bool{}
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		if name == "all" || name == string(Table) || name == string(Extra) || name == string(Ablation) {
			for _, r := range Rows() {
				if r.Available() && (name == "all" || r.Kind == Kind(name)) {
					chosen[r.Name] = true
				}
			}
			continue
		}
		r, err := Find(name)
		if err != nil {
			return nil, fmt.Errorf("%w; and the groups table, extras, ablations, all", err)
		}
		if !r.Available() {
			return nil, fmt.Errorf("recipes: row %s: this program has no method %q: it has %s", name, r.Method, strings.Join(cureml.MethodNames(), ", "))
		}
		chosen[name] = true
	}
	return slices.DeleteFunc(Rows(), func(r Row) bool { return !chosen[r.Name] }), nil
}

// Value is a published number by its column, NaN where there is none.
func (p Published) Value(column string) float64 {
	switch column {
	case "natural":
		return p.Nat
	case "pgd20":
		return p.PGD20
	case "cw":
		return p.CW
	case "aa":
		return p.AA
	case "nrr":
		return p.NRR
	}
	return none
}

// everywhere is the same training for both architectures of the published table.
func everywhere(t Training) map[string]Training {
	return map[string]Training{resnet18: t, wideResNet: t}
}

// steps is SGD as most of these methods have it: 0.1, divided by 10 from each of some epochs (1-based) on.
func steps(epochs int, weightDecay float64, milestones ...int) Training {
	return Training{Epochs: epochs, Schedule: optim.Step(0.1, 0.1, milestones...), WeightDecay: weightDecay}
}

// with adds settings to a training.
func (t Training) with(set ...string) Training {
	t.Set = slices.Concat(t.Set, set)
	return t
}

// Architectures of the published table.
const (
	resnet18   = "resnet18"
	wideResNet = "wrn-34-10"
)
