package study

import (
	"fmt"
	"os"
	"strings"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// PresetEnv is the variable that [FromEnv] reads.
const PresetEnv = "CURE_PRESET"

// Preset is the size of a study.
type Preset struct {
	Name string
	Arch nn.Arch
	// Data is the name of the images, as in data.Set.Name; [Mini] are those inside the program.
	Data string
	// TrainImages and TestImages are how many images are trained on and attacked, counted from the first; 0 is all.
	TrainImages, TestImages int

	recipe func(c *cureml.Config)
}

// Mini is the value of Preset.Data, and of Data in the config of a run, for the images inside the program.
const Mini = "mini"

// presets in the order of their size. mini is what an empty variable means.
var presets = []Preset{
	{
		Name: "ci", Arch: resnet18(2), Data: Mini, TrainImages: 256, TestImages: 32,
		recipe: func(c *cureml.Config) {
			c.Epochs, c.Batch, c.Attack.Steps, c.LogEvery, c.EvalImages = 2, 64, 2, 1, 32
		},
	},
	{
		Name: "mini", Arch: resnet18(16), Data: Mini, TestImages: 256,
		recipe: func(c *cureml.Config) {
			c.Epochs = map[string]int{"natural": 8, "cure": 3}[c.Method]
			if c.Epochs == 0 {
				c.Epochs = 4
			}
			c.LogEvery, c.EvalImages = 13, 128 // 39 steps are an epoch
		},
	},
	{
		Name: "paper", Arch: resnet18(64), Data: "CIFAR-10", recipe: paperRecipe,
	},
}

// paperRecipe is 200 epochs with lr 0.1, divided by 10 at 100 and 150, for natural training and CURE (arXiv 2401.14948,
// table 9 and the released code's schedule and weight decay), and for the others 110 epochs with drops at 100 and 105,
// which stop before robust overfitting (Pang et al., arXiv 2010.00467).
func paperRecipe(c *cureml.Config) {
	c.SGD = optim.SGD{Momentum: 0.9, WeightDecay: 5e-4}
	c.Epochs, c.Schedule = 110, optim.Step(0.1, 0.1, 100, 105)
	if c.Method == "natural" || c.Method == "cure" {
		c.Epochs, c.Schedule = 200, optim.Step(0.1, 0.1, 100, 150)
	}
	c.LogEvery, c.EvalEvery, c.EvalImages = 130, 5, 1024 // 391 steps are an epoch
}

func resnet18(width int) nn.Arch { return nn.Arch{Name: "resnet18", Width: width, Classes: 10} }

// FromEnv is the preset that CURE_PRESET names: ci, mini (also when it is empty) or paper.
func FromEnv() (Preset, error) {
	name := os.Getenv(PresetEnv)
	if name == "" {
		name = "mini"
	}
	p, err := FindPreset(name)
	if err != nil {
		err = fmt.Errorf("%w (from %s)", err, PresetEnv)
	}
	return p, err
}

// FindPreset is the preset of a name.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range presets {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("study: unknown preset %q: accepted are %s", name, strings.Join(names, ", "))
}

// Config is the recipe of a method (natural, at, trades, cure ...) at this size: [cureml.Defaults] with the preset's
// network, epochs and intervals, and at the small sizes TRADES' budget for CURE.
func (p Preset) Config(method string) cureml.Config {
	c := cureml.Defaults(method)
	c.Arch, c.Data = p.Arch, p.Data
	if p.Name != "paper" && method == "cure" {
		c.BudgetOf("trades") // which is the released code's too
	}
	if p.TrainImages > 0 {
		c.Data = fmt.Sprintf("%s, first %d images", p.Data, p.TrainImages)
	}
	p.recipe(&c)
	return c
}
