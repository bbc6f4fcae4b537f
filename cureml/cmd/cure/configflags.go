package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// config is short for what every flag below points into.
type config = *cureml.Config

// configFlags defines a flag for each value of a config that is changed often, and returns what applies those that were
// typed.
func configFlags(fs *pflag.FlagSet) (apply func(config) error) {
	changes := map[string]func(config) error{}
	text := func(name, help string, set func(c config, v string) error) {
		v := fs.String(name, "", help)
		changes[name] = func(c config) error { return set(c, *v) }
	}
	word := func(name, help string, at func(config) *string) {
		text(name, help, func(c config, v string) error { *at(c) = v; return nil })
	}
	pixels := func(name, help string, at func(config) *float64) {
		text(name, help, func(c config, v string) (err error) { *at(c), err = parsePixels(name, v); return err })
	}
	channels := func(name, help string, at func(config) *[]float64) {
		text(name, help, func(c config, v string) (err error) { *at(c), err = parseNumbers(name, v); return err })
	}
	count := func(name, help string, at func(config) *int) {
		v := fs.Int(name, 0, help)
		changes[name] = func(c config) error { *at(c) = *v; return nil }
	}
	number := func(name, help string, at func(config) *float64) {
		v := fs.Float64(name, 0, help)
		changes[name] = func(c config) error { *at(c) = *v; return nil }
	}
	yes := func(name, help string, at func(config) *bool) {
		v := fs.Bool(name, true, help)
		changes[name] = func(c config) error { *at(c) = *v; return nil }
	}

	word("data", "mini, or a file or folder (default mini)", func(c config) *string { return &c.Data })
	word("extra", "further training images for every batch, such as an npz file of generated ones (arrays image and label)", func(c config) *string { return &c.Extra.Data })
	number("extra-fraction", "their share of a batch (default 0.7 with --extra)", func(c config) *float64 { return &c.Extra.Fraction })
	word("init", "weights to start from: a file (safetensors, .pt, .pth) or zoo:NAME", func(c config) *string { return &c.Init })
	channels("mean", "three numbers that the network subtracts from the channels of its images", func(c config) *[]float64 { return &c.Arch.Mean })
	channels("std", "three numbers that it divides them by", func(c config) *[]float64 { return &c.Arch.Std })
	count("epochs", "epochs", func(c config) *int { return &c.Epochs })
	count("batch", "images a step", func(c config) *int { return &c.Batch })
	count("devices", "devices that share a batch (default 1)", func(c config) *int { return &c.Devices })
	word("compute", "arithmetic of convolutions in training: float32 or bfloat16", func(c config) *string { return &c.Compute })
	word("data-on-device", "keep the training images on the device and augment there: on or off (default: on where the device has a memory of its own)", func(c config) *string { return &c.DataOnDevice })
	yes("augment", "crop and flip the training images", func(c config) *bool { return &c.Augment })
	number("validation", "share of the training images held out to select the best checkpoint", func(c config) *float64 { return &c.Validation })
	count("log-every", "steps between lines of metrics.jsonl", func(c config) *int { return &c.LogEvery })
	count("checkpoint-every", "steps between checkpoints", func(c config) *int { return &c.CheckpointEvery })
	count("eval-every", "epochs between evaluations, 0 for none", func(c config) *int { return &c.EvalEvery })
	count("eval-images", "images of an evaluation between epochs", func(c config) *int { return &c.EvalImages })

	number("lr", "highest learning rate", func(c config) *float64 { return &c.Schedule.Max })
	number("momentum", "momentum", func(c config) *float64 { return &c.SGD.Momentum })
	yes("nesterov", "Nesterov's momentum", func(c config) *bool { return &c.SGD.Nesterov })
	number("weight-decay", "coupled weight decay", func(c config) *float64 { return &c.SGD.WeightDecay })

	word("norm", "norm of the attack: linf, l2 or l1", func(c config) *string { return &c.Attack.Norm })
	pixels("eps", "budget of the attack in [0,1] pixels, such as 8/255", func(c config) *float64 { return &c.Attack.Eps })
	pixels("step-size", "step of the attack in [0,1] pixels", func(c config) *float64 { return &c.Attack.StepSize })
	count("steps", "steps of the attack", func(c config) *int { return &c.Attack.Steps })

	number("beta", "TRADES: weight of the KL term", func(c config) *float64 { return &c.Trades.Beta })
	word("face", "CURE: paper, released or rgp_soft", func(c config) *string { return &c.Cure.Face })
	number("alpha", "CURE: weight of the natural gradient in the score", func(c config) *float64 { return &c.Cure.Alpha })
	number("gamma", "CURE: weight of the consistency loss", func(c config) *float64 { return &c.Cure.Gamma })
	number("percentile", "CURE: share of each tensor that is conserved, 0 to 1", func(c config) *float64 { return &c.Cure.Percentile })
	number("ema-rate", "CURE: probability of a revision step", func(c config) *float64 { return &c.Cure.EMARate })
	number("ema-decay", "CURE: decay of the revision model", func(c config) *float64 { return &c.Cure.EMADecay })
	word("ema-bn", "CURE: statistics of the revision model: own, copied or averaged", func(c config) *string { return &c.Cure.EMABN })
	count("warmup-epochs", "CURE: natural epochs first (CURE-Eff)", func(c config) *int { return &c.Cure.WarmupEpochs })

	seed := fs.Uint64("seed", 0, "root of all random numbers")
	changes["seed"] = func(c config) error { c.Seed = *seed; return nil }
	arch := fs.String("arch", "", "architecture, such as resnet18 or wrn-28-10 (default resnet18)")
	changes["arch"] = func(c config) error {
		a, err := nn.Parse(*arch, 0, c.Arch.Classes)
		if a.Name == c.Arch.Name { // such as that of --config, whose width and form stay
			return err
		}
		c.Arch.Name, c.Arch.Width, c.Arch.NoFinalBN = a.Name, a.Width, false
		return err
	}
	width := fs.Int("width", 0, "base width (0: as published)")
	changes["width"] = func(c config) error { // comes after arch: flags are visited in the order of their names
		a, err := nn.Parse(c.Arch.Name, *width, c.Arch.Classes)
		c.Arch.Width = a.Width
		return err
	}
	text("schedule", "constant, cosine, onecycle, triangular, or step:FACTOR:EPOCH,EPOCH,...", func(c config, v string) (err error) {
		c.Schedule, err = optim.ParseSchedule(v, c.Schedule.Max) // comes after lr
		return err
	})
	word("teacher", "robust teacher of methods that distil one: a run folder, a weights file or zoo:NAME", func(c config) *string { return &c.Teacher.Robust })
	word("natural-teacher", "natural teacher, likewise", func(c config) *string { return &c.Teacher.Natural })
	set := fs.StringArray("set", nil, "any value by its path in config.json, such as mart.beta=5; may be repeated")
	changes["set"] = func(c config) error {
		for _, text := range *set {
			path, value, ok := strings.Cut(text, "=")
			if !ok {
				return fmt.Errorf("--set %q: want PATH=VALUE, such as mart.beta=5", text)
			}
			if err := c.Set(path, value); err != nil {
				return fmt.Errorf("--set: %w", err)
			}
		}
		return nil
	}
	return func(c config) (err error) {
		if err := heeded(fs, c.Method); err != nil {
			return err
		}
		fs.Visit(func(flag *pflag.Flag) {
			if change := changes[flag.Name]; change != nil && err == nil {
				err = change(c)
			}
		})
		if fs.Changed("extra") && c.Extra.Data != "" && c.Extra.Fraction == 0 && !fs.Changed("extra-fraction") {
			c.Extra.Fraction = 0.7 // Rebuffi et al. (2021), Wang et al. (2023)
		}
		return err
	}
}
