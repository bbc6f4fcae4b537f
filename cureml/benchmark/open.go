package benchmark

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gomlx/compute"

	"cure/cureml"
	"cure/cureml/backend"
	"cure/cureml/recipes"
	"cure/cureml/study"
)

// Open is the benchmark of a notebook: of the preset that CURE_PRESET names, in the folder of root that is called as the
// preset, such as runs/mini/benchmark; rows that have a card in saved are done. Progress goes to standard output, a line an epoch. XLA is installed where it is
// missing.
func Open(root, saved string) (*Benchmark, error) {
	size, err := study.FromEnv()
	if err != nil {
		return nil, err
	}
	p, err := recipes.FindPreset(size.Name)
	if err != nil {
		return nil, err
	}
	device := func() (compute.Backend, error) {
		return backend.Open(backend.Options{Name: p.Backend, Install: true, Deterministic: true})
	}
	return &Benchmark{Preset: p, Dir: filepath.Join(root, p.Name, "benchmark"), Saved: saved, OpenSets: SetsOf(size.Data), OpenDevice: device, Log: perEpoch{os.Stdout}}, nil
}

// perEpoch passes lines of progress on, but not those about training steps.
type perEpoch struct{ w io.Writer }

func (p perEpoch) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(" train step ")) {
		return len(line), nil
	}
	return p.w.Write(line)
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

// Failures is an error that names the rows whose cards say that they failed, nil where there are none.
func (b *Benchmark) Failures() error {
	cards, err := b.Cards()
	if err != nil {
		return err
	}
	var failed []string
	for _, c := range cards {
		if c.Failed != "" {
			failed = append(failed, c.Name+" ("+c.Failed+")")
		}
	}
	if failed != nil {
		return fmt.Errorf("benchmark: %d of %d rows failed: %s", len(failed), len(cards), strings.Join(failed, ", "))
	}
	return nil
}
