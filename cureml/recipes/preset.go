package recipes

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// Preset is the size of a benchmark.
type Preset struct {
	Name string
	Arch nn.Arch // unless another is asked for
	// Data is how configs name the images: mini for those inside the program, else a file or folder. TrainImages and
	// TestImages are how many are used, counted from the first; 0 is all.
	Data                    string
	TrainImages, TestImages int
	// Validation is the share of the training images that is held out to select the best checkpoint.
	Validation float64
	// AutoAttack is how many test images AutoAttack attacks, counted from the first: -1 is all of them, 0 leaves it out.
	AutoAttack int
	// Backend is the backend of that name, unless another is asked for; "" is what is there.
	Backend string

	size func(c *cureml.Config, r Row) error
}

// CI runs through everything within minutes; its numbers mean nothing. It computes without XLA, because compiling takes
// longer than all of its steps, and without AutoAttack, whose thousands of passes would take most of the time.
var CI = Preset{
	Name: "ci", Arch: nn.Arch{Name: resnet18, Width: 2, Classes: 10}, Data: cureml.EmbeddedData, TrainImages: 40, TestImages: 8, Validation: 0.2,
	Backend: "go", size: func(c *cureml.Config, _ Row) error {
		c.Epochs, c.Batch, c.Attack.Steps, c.LogEvery, c.EvalImages = 2, 16, 2, 1, 8
		return nil
	},
}

// Mini trains small networks on the 5,085 images inside the program, 509 of which are held out: 71 steps are an epoch. Two
// cores get through batches of 64 as fast, an image for an image, as through those of 128 (results/bench/steps.json), and the
// few epochs have twice the steps; the rate is halved with the batch.
var Mini = Preset{
	Name: "mini", Arch: nn.Arch{Name: resnet18, Width: 16, Classes: 10}, Data: cureml.EmbeddedData, Validation: 0.1, AutoAttack: 128,
	size: func(c *cureml.Config, r Row) error {
		c.Epochs = 6
		if r.MiniEpochs > 0 {
			c.Epochs = r.MiniEpochs
		}
		c.Batch, c.LogEvery, c.CheckpointEvery, c.EvalImages = 64, 10, 71, 512
		c.Schedule.Max /= 2
		return nil
	},
}

// Paper is the size of the papers: all of CIFAR-10, of whose training images 1,000 are held out, as Rice et al. do
// (locuslab/robust_overfitting, flag --val). Epochs, schedules and weight decay are each method's own.
var Paper = Preset{
	Name: "paper", Arch: nn.Arch{Name: resnet18, Width: 64, Classes: 10}, Data: "cifar-10-batches-bin", Validation: 0.02, AutoAttack: -1,
	size: func(c *cureml.Config, r Row) error {
		t, ok := r.Paper[c.Arch.Name]
		if !ok {
			return fmt.Errorf("recipes: row %s has no paper-scale recipe for %s: it has one for %s",
				r.Name, c.Arch.Name, strings.Join(slices.Sorted(maps.Keys(r.Paper)), ", "))
		}
		c.Epochs, c.Batch, c.Schedule = t.Epochs, 128, t.Schedule
		c.SGD = optim.SGD{Momentum: 0.9, WeightDecay: t.WeightDecay, Nesterov: t.Nesterov}
		c.LogEvery, c.CheckpointEvery, c.EvalImages = 130, 382, 1000 // 382 steps are an epoch
		return set(c, t.Set)
	},
}

// Presets are all sizes, the smallest first.
func Presets() []Preset { return []Preset{CI, Mini, Paper} }

// FindPreset is the preset of a name.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("recipes: unknown preset %q: accepted are %s", name, strings.Join(names, ", "))
}

// Config is the training of a row on an architecture with a seed. runs is the folder whose run folders, named by
// [Folder], hold the networks that the row starts or learns from.
func (p Preset) Config(r Row, a nn.Arch, seed uint64, runs string) (cureml.Config, error) {
	c := cureml.Defaults(r.Method)
	c.Arch, c.Seed, c.Data, c.Validation = a, seed, p.Data, p.Validation
	if p.Name != Paper.Name && (r.Method == "cure" || r.Method == "cure-eff") {
		c.BudgetOf("trades") // which is the released code's too
	}
	if p.TrainImages > 0 {
		c.Data = fmt.Sprintf("%s, first %d images", p.Data, p.TrainImages)
	}
	if err := p.size(&c, r); err != nil {
		return c, err
	}
	if err := set(&c, r.Set); err != nil {
		return c, fmt.Errorf("recipes: row %s: %w", r.Name, err)
	}
	folder := func(row string) string {
		if row == "" {
			return ""
		}
		return filepath.Join(runs, Folder(row, a, seed))
	}
	if r.Init != "" {
		c.Init = filepath.Join(folder(r.Init), "final.safetensors")
	}
	c.Teacher = cureml.TeacherConfig{Robust: folder(r.Robust), Natural: folder(r.Natural)}
	return c, c.Validate()
}

// Folder is the name of a row's run folder, and of what is measured on it.
func Folder(row string, a nn.Arch, seed uint64) string { return fmt.Sprintf("%s-%s-s%d", row, a, seed) }

// Shorten gives c another number of epochs, and moves in proportion what begins or ends at some epoch: milestones of the
// schedule, perturbations and averages of weights, warm-ups.
func Shorten(c *cureml.Config, epochs int) {
	moved := func(epoch int) int { return int(math.Round(float64(epoch) * float64(epochs) / float64(c.Epochs))) }
	milestones := slices.Clone(c.Schedule.Milestones)
	for i, m := range milestones {
		milestones[i] = 1 + moved(m-1)
	}
	for _, begin := range []*int{&c.AWP.Start, &c.RWP.Start, &c.Average.Start} {
		*begin = min(moved(*begin), epochs-1)
	}
	for _, warmup := range []*int{&c.Cure.WarmupEpochs, &c.Dafa.WarmupEpochs} {
		if *warmup > 0 { // 0 has a meaning of its own
			*warmup = max(1, moved(*warmup))
		}
	}
	c.Schedule.Milestones, c.Epochs = milestones, epochs
}

// set applies settings of the form path=value.
func set(c *cureml.Config, settings []string) error {
	for _, s := range settings {
		path, value, _ := strings.Cut(s, "=")
		if err := c.Set(path, value); err != nil {
			return err
		}
	}
	return nil
}
