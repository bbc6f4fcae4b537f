package benchmark

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/gomlx/compute"

	"cure/cureml"
	"cure/cureml/backend"
	"cure/cureml/recipes"
	"cure/cureml/study"
)

// Open is the benchmark of a notebook: of the preset that CURE_PRESET names, in the folder of root that is called as the
// preset, such as runs/mini/benchmark. XLA is installed where it is missing.
func Open(root string) (*Benchmark, error) {
	size, err := study.FromEnv()
	if err != nil {
		return nil, err
	}
	p, err := recipes.FindPreset(size.Name)
	if err != nil {
		return nil, err
	}
	return &Benchmark{Preset: p, Dir: filepath.Join(root, p.Name, "benchmark"), OpenSets: SetsOf(size.Data), OpenDevice: func() (compute.Backend, error) {
		return backend.Open(backend.Options{Name: p.Backend, Install: true, Deterministic: true})
	}}, nil
}

// SetsOf reads the images of a data set by its name: mini for those inside the program, else one that lies where data sets
// are looked for, such as CIFAR-10.
func SetsOf(name string) func() (cureml.Sets, error) {
	return (&study.Study{Preset: study.Preset{Data: name}}).Sets
}

// Row measures one row, unless it has its cards, and returns what is known of it then. It is for notebooks: an interrupt
// ends it with what it has saved, and a row that fails is told by the line, not by an error.
func (b *Benchmark) Row(name string) (*Line, error) {
	row, err := recipes.Find(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if _, err := b.Run(ctx, []recipes.Row{row}); err != nil {
		return nil, err
	}
	cards, err := b.Cards()
	if err != nil {
		return nil, err
	}
	for _, l := range Lines(cards) {
		if l.Row.Name == name && l.Arch.String() == b.archs()[0].String() {
			return l, nil
		}
	}
	return &Line{Row: row}, nil
}
