package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/recipes"
	"cure/data"
)

// Benchmark is a folder of measured rows and what is needed to measure more. The zero values of optional fields mean the
// preset's. It is for one goroutine; several processes may work on different rows of one folder.
type Benchmark struct {
	recipes.Preset
	Dir string
	// Saved is a folder with cards that were made elsewhere, such as on another machine; "" for none. A row that has one there,
	// of the same settings and attacks, is done, AutoAttack being allowed to be missing.
	Saved string
	Archs []nn.Arch // networks to train each row on
	Seeds []uint64  // 0 alone where empty
	// Epochs, if not 0, replaces those of the recipes; milestones of schedules move in proportion.
	Epochs int
	// Rows is the number of images that the compiled programs of attacks take at a time; 0 means attacks.DefaultBatch.
	Rows int
	// Devices share the batches of trainings and the rows of attacks; 0 means one. OpenDevice must open as many.
	Devices int
	// OpenSets reads the training and the test images, and OpenDevice opens the backend; each is called once, when first
	// needed.
	OpenSets   func() (cureml.Sets, error)
	OpenDevice func() (compute.Backend, error)
	// Log gets lines of progress, nil for none; Progress follows the attacks.
	Log      io.Writer
	Progress func(attacks.Progress)
	// Reports, if set, has the reports of evaluations that were made elsewhere (Shard): Run then attacks nothing and opens no
	// backend, writes no table, and its rows must be trained. weights is the SHA-256 of the file that the evaluation is to be of.
	Reports func(run string, p Part, weights string) (*attacks.Report, error)

	ensemble   string // what AutoAttack is; tests take a short one
	sets       cureml.Sets
	device     compute.Backend
	evaluators map[string]*attacks.Evaluator // by network
	broken     map[string]error              // runs that failed, by the name of their folder
}

// Outcome says what Run did with each row, by the names of their cards.
type Outcome struct{ Measured, Skipped, Failed []string }

// ErrInterrupted is the cause of the error that a cancelled context ends Run with.
var ErrInterrupted = errors.New("interrupted")

// Run measures the rows that have no card yet, on every network with every seed, and writes the table after each of them.
// The error is for what ends all of it: folders of other settings, and interruption, after which another call goes on.
// Rows that failed are in the outcome and in the table.
func (b *Benchmark) Run(ctx context.Context, rows []recipes.Row) (*Outcome, error) {
	defer b.close()
	jobs, err := b.plan(rows)
	if err != nil {
		return nil, err
	}
	out := &Outcome{}
	if !slices.ContainsFunc(jobs, func(j job) bool { return !j.done }) {
		for _, j := range jobs {
			out.Skipped = append(out.Skipped, j.name)
		}
		return out, nil
	}
	if err := b.open(); err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.done {
			out.Skipped = append(out.Skipped, j.name)
			continue
		}
		card, err := b.measure(ctx, j)
		if ctx.Err() != nil {
			return out, fmt.Errorf("benchmark: %w at %s; %s keeps all of it, and the same call goes on from there", ErrInterrupted, j.name, b.Dir)
		}
		if err != nil {
			card = b.failure(j, err)
			out.Failed = append(out.Failed, j.name)
			b.logf("%s failed: %s", j.name, card.Failed)
		} else {
			out.Measured = append(out.Measured, j.name)
		}
		if err := b.writeCard(card); err != nil {
			return out, err
		}
		if b.Reports != nil { // nothing takes long: one table at the end is enough, and whoever gave the reports makes it
			continue
		}
		if err := b.WriteTable(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// job is one card to make.
type job struct {
	row    recipes.Row
	arch   nn.Arch
	seed   uint64
	name   string // of card and run folder
	config cureml.Config
	done   bool
	err    error // why the row cannot be trained at all
}

// plan lists what Run is to do, seed by seed, and refuses folders that hold something else.
func (b *Benchmark) plan(rows []recipes.Row) (jobs []job, err error) {
	seeds := b.Seeds
	if len(seeds) == 0 {
		seeds = []uint64{0}
	}
	for _, seed := range seeds {
		for _, arch := range b.archs() {
			for _, row := range rows {
				j, err := b.job(row, arch, seed)
				if errors.Is(err, ErrOther) {
					return nil, err
				}
				j.err = err
				jobs = append(jobs, j)
			}
		}
	}
	return jobs, nil
}

func (b *Benchmark) archs() []nn.Arch {
	if len(b.Archs) == 0 {
		return []nn.Arch{b.Preset.Arch}
	}
	return b.Archs
}

func (b *Benchmark) job(row recipes.Row, arch nn.Arch, seed uint64) (job, error) {
	j := job{row: row, arch: arch, seed: seed, name: recipes.Folder(row.Name, arch, seed)}
	c, err := b.config(row, arch, seed)
	j.config = c
	if err != nil {
		return j, err
	}
	if cureml.IsRun(b.run(j.name)) {
		old, err := cureml.ReadConfig(b.run(j.name))
		if err != nil {
			return j, err
		}
		if changes := recipes.Changes(old, c); len(changes) > 0 {
			return j, b.other(b.run(j.name), changes)
		}
	}
	card, err := b.readCard(j.name)
	if err != nil {
		return j, err
	}
	if card == nil || card.Failed != "" {
		card, err = b.saved(j.name)
		j.done = card != nil
		return j, err
	}
	if changes := b.changes(card, c, b.AutoAttack); len(changes) > 0 {
		return j, b.other(b.card(j.name), changes)
	}
	j.done = true
	return j, nil
}

// changes lists in what a card differs from one of the config c and this benchmark's attacks, with AutoAttack on so many
// images.
func (b *Benchmark) changes(card *Card, c cureml.Config, autoattack int) []string {
	changes := recipes.Changes(card.Config, c)
	if old := card.Evaluation; !slices.Equal(old.Attacks, attackNames) || old.AutoAttack != autoattack {
		changes = append(changes, fmt.Sprintf("attacks %v, AutoAttack on %d -> %v, on %d", old.Attacks, old.AutoAttack, attackNames, autoattack))
	}
	return changes
}

// ErrOther is the cause of the error about a folder that holds a benchmark of other settings.
var ErrOther = errors.New("is of other settings")

func (b *Benchmark) other(path string, changes []string) error {
	return fmt.Errorf("benchmark: %s %w (%s): choose another folder, or delete it", path, ErrOther, strings.Join(changes, ", "))
}

// config is the training of a row.
func (b *Benchmark) config(row recipes.Row, arch nn.Arch, seed uint64) (cureml.Config, error) {
	c, err := b.Preset.Config(row, arch, seed, filepath.Join(b.Dir, "runs"))
	if err != nil {
		return c, err
	}
	if b.Epochs > 0 {
		recipes.Shorten(&c, b.Epochs)
	}
	if b.Devices > 1 {
		c.Devices = b.Devices
	}
	return c, c.Validate()
}

func (b *Benchmark) run(name string) string { return filepath.Join(b.Dir, "runs", name) }

// RunFolder is where the run of a row lies.
func (b *Benchmark) RunFolder(row string, arch nn.Arch, seed uint64) string {
	return b.run(recipes.Folder(row, arch, seed))
}

// open gets images and backend, without which no row can be measured.
func (b *Benchmark) open() error {
	if _, err := b.images(); err != nil || b.Reports != nil {
		return err
	}
	_, err := b.backend()
	return err
}

// images reads the sets once, cut to the preset's numbers.
func (b *Benchmark) images() (cureml.Sets, error) {
	if b.sets.Train != nil {
		return b.sets, nil
	}
	s, err := b.OpenSets()
	if err != nil {
		return s, err
	}
	if s.Train, err = first(s.Train, b.TrainImages); err != nil {
		return s, err
	}
	if s.Test, err = first(s.Test, b.TestImages); err != nil {
		return s, err
	}
	b.sets = s
	return s, nil
}

// first are the first n images, all of them where n is 0 or there are fewer.
func first(set *data.Set, n int) (*data.Set, error) {
	if n <= 0 || n >= set.Len() {
		return set, nil
	}
	return set.Slice(0, n)
}

func (b *Benchmark) backend() (compute.Backend, error) {
	if b.device != nil {
		return b.device, nil
	}
	d, err := b.OpenDevice()
	if err == nil {
		b.device = d
	}
	return d, err
}

func (b *Benchmark) logf(format string, args ...any) {
	if b.Log != nil {
		fmt.Fprintf(b.Log, format+"\n", args...)
	}
}

// close frees the compiled programs.
func (b *Benchmark) close() {
	for _, e := range b.evaluators {
		e.Close()
	}
	b.evaluators = nil
}
