package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"cure/cureml"
	"cure/cureml/analysis"
	"cure/cureml/nn"
	"cure/data"
)

// analyzeFeatures is notebook 03.
func analyzeFeatures() analyzeCommand {
	var opt analysis.FeatureOptions
	var attack, runs string
	var learn, epochs int
	return analyzeCommand{
		name: "features", short: "Show what networks use of images: units, inversions, gradients, Grad-CAM",
		long: `Make images that excite single units, and images with the representation of others; map input gradients and, by Grad-CAM, the
evidence for the right class, clean and under attack.

With --learn N, the first and the second network also split N training images into a set of robust features (what the
second represents) and one of non-robust features (what fools the first), as Ilyas et al. (2019) do; a network of the
first one's form is trained naturally on each, and measured on the test images.`,
		example: `  cure analyze features --weights zoo:natural,zoo:trades --records 0:4 --steps 2 --channels 2 --shown 2 --attack fgsm --out features`,
		weights: "zoo:natural,zoo:trades,zoo:cure", records: "0:64",
		flags: func(fs *pflag.FlagSet) {
			fs.IntVar(&opt.Shown, "shown", 6, "images to invert and to show maps of")
			fs.IntVar(&opt.Visual.Channels, "channels", 6, "units of the last block of every stage")
			fs.IntVar(&opt.Visual.Steps, "steps", 256, "steps of the images for units, and of inversions")
			fs.StringVar(&opt.Inversion.Layer, "invert", "pooled", "layer to invert: stem, a block such as layer3.1, pooled, logits")
			fs.StringVar(&opt.Attention.Layer, "block", "", "block that Grad-CAM maps (default: the last)")
			fs.StringVar(&attack, "attack", "pgd20", "attack of the Grad-CAM maps, an untargeted PGD of 'cure eval'")
			fs.IntVar(&learn, "learn", 0, "training images to split into robust and non-robust features; 0 is none")
			fs.IntVar(&epochs, "epochs", 10, "of natural training with --learn")
			fs.StringVar(&runs, "runs", "", "folder for the sets and the trainings of --learn, which go on there when interrupted (default: none are kept)")
		},
		check: func(typed *pflag.FlagSet) (err error) {
			for _, name := range []string{"epochs", "runs"} {
				if learn == 0 && typed.Changed(name) {
					return usage("--%s: without --learn nothing is trained", name)
				}
			}
			if opt.Shown < 1 || opt.Visual.Channels < 1 || opt.Visual.Steps < 1 || learn < 0 || epochs < 1 {
				return usage("--shown %d, --channels %d, --steps %d, --learn %d, --epochs %d: want at least 1, 1, 1, 0 and 1",
					opt.Shown, opt.Visual.Channels, opt.Visual.Steps, learn, epochs)
			}
			opt.Inversion.Steps = opt.Visual.Steps
			if err := checkResults("runs", runs); err != nil {
				return err
			}
			opt.Attention.Attack, err = climbingAttack(attack)
			return err
		},
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			if job.Set.Len() < 2 || learn > 0 && len(job.Networks) < 2 {
				return nil, usage("%d networks and %d images: want two images or more, and two networks for --learn", len(job.Networks), job.Set.Len())
			}
			if err := checkLayers(job.Networks, opt.Inversion.Layer, opt.Attention.Layer); err != nil {
				return nil, err
			}
			opt.Visual.Seed, opt.Attention.Seed = job.Seed, job.Seed
			f, err := analysis.LookAtFeatures(ctx, job.Device, job.Networks, job.Set, opt)
			if err != nil || learn == 0 {
				return f, err
			}
			train, err := openSplit(job.Data, "train")
			if err != nil {
				return nil, err
			}
			if train, err = train.Slice(0, min(learn, train.Len())); err != nil {
				return nil, err
			}
			f.Sets, err = learnFeatures(ctx, job, train, epochs, runs)
			return f, err
		},
	}
}

// checkLayers is a usage error where a network lacks the layer of --invert or the block of --block.
func checkLayers(nets []analysis.Network, invert, block string) error {
	for _, net := range nets {
		tensors, err := net.Arch.Tensors()
		if err != nil {
			return err
		}
		blocks := []string{"stem"}
		for _, t := range tensors {
			if name, _, ok := strings.Cut(t.Name, ".conv1."); ok && !slices.Contains(blocks, name) {
				blocks = append(blocks, name)
			}
		}
		if block != "" && !slices.Contains(blocks, block) {
			return usage("--block %s: accepted for %s are %s", block, net.Arch, strings.Join(blocks, ", "))
		}
		if layers := append(blocks, "pooled", "logits"); !slices.Contains(layers, invert) {
			return usage("--invert %s: accepted for %s are %s", invert, net.Arch, strings.Join(layers, ", "))
		}
	}
	return nil
}

// learnFeatures trains in a folder, or in one that is gone afterwards.
func learnFeatures(ctx context.Context, job analyzeJob, train *data.Set, epochs int, dir string) (*analysis.FeatureSets, error) {
	if dir == "" {
		temporary, err := os.MkdirTemp("", "cure-features-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	natural, robust := job.Networks[0], job.Networks[1]
	c := cureml.Defaults("natural")
	c.Arch = nn.Arch{Name: natural.Arch.Name, Width: natural.Arch.Width, Classes: natural.Arch.Classes}
	c.Epochs, c.Seed, c.Batch, c.EvalEvery = epochs, job.Seed, min(c.Batch, train.Len()), 0
	opt := analysis.FeatureSetOptions{Seed: job.Seed, Keep: dir}
	return analysis.LearnFeatures(ctx, job.Device, robust, natural, train, job.Set, opt, func(ctx context.Context, name string, set *data.Set) (analysis.Network, error) {
		c := c
		c.Data = set.Name
		run := filepath.Join(dir, name)
		if _, err := cureml.Train(ctx, job.Device, c, cureml.Sets{Train: set, Test: job.Set}, run, true, os.Stderr); err != nil {
			return analysis.Network{}, err
		}
		saved, err := cureml.LoadRun(run, cureml.Student)
		if err != nil {
			return analysis.Network{}, err
		}
		return analysis.Network{Name: name, State: saved.State}, nil
	})
}
