package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"cure/attacks"
	"cure/cureml/analysis"
)

// analyzeSimilarity is notebook 02.
func analyzeSimilarity() analyzeCommand {
	var measures, attack string
	var opt analysis.SimilarityOptions
	return analyzeCommand{
		name: "similarity", short: "Compare what layers of networks represent",
		long: `Compare all pairs of layers (stem, blocks, logits): each network on clean images with itself and with itself under attack,
and every two networks on clean images. Every image is attacked, from its label, also where the network is wrong already.

Measures: ` + strings.Join(analysis.SimilarityMeasures(), ", ") + `. CKA compares whole feature maps, the CCA family and the
Procrustes distance their averages over space, which should have fewer channels than there are images. The table is the
mean over the layers of each layer and its counterpart; all pairs are in the JSON and in the heat maps.`,
		example: `  cure analyze similarity --weights zoo:natural,zoo:cure --records 0:16 --measures cka-linear,cka-linear-unbiased --attack fgsm --out similarity`,
		weights: "zoo:natural,zoo:trades,zoo:cure", records: "0:256",
		flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&measures, "measures", "all", "measures with commas between")
			fs.StringVar(&attack, "attack", "", "an untargeted PGD of 'cure eval' (default: 20 steps of 0.0078 within 0.031, as in the paper's code)")
			fs.IntVar(&opt.Batch, "batch", 64, "images that go through a network at once")
			fs.IntVar(&opt.Minibatch, "minibatch", 64, "batch of cka-linear-minibatch")
			fs.IntVar(&opt.Directions, "directions", 20, "singular directions of svcca")
			fs.Float64Var(&opt.Threshold, "threshold", 1, "bandwidth of the RBF kernel, in medians of the distance")
		},
		check: func(*pflag.FlagSet) (err error) {
			if opt.Batch < 1 || opt.Minibatch < 4 || opt.Directions < 1 || !(opt.Threshold > 0) {
				return usage("--batch %d, --minibatch %d, --directions %d, --threshold %v: want at least 1, 4, 1 and more than 0",
					opt.Batch, opt.Minibatch, opt.Directions, opt.Threshold)
			}
			if measures != "all" {
				opt.Measures = words(measures)
				if opt.Measures == nil {
					return usage("--measures is empty: accepted are all, %s", strings.Join(analysis.SimilarityMeasures(), ", "))
				}
			}
			for _, m := range opt.Measures {
				if !slices.Contains(analysis.SimilarityMeasures(), m) {
					return usage("--measures: unknown measure %q: accepted are all, %s", m, strings.Join(analysis.SimilarityMeasures(), ", "))
				}
			}
			opt.Attack, err = climbingAttack(attack)
			return err
		},
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			opt.Batch, opt.Minibatch, opt.Seed = min(opt.Batch, job.Set.Len()), min(opt.Minibatch, job.Set.Len()), job.Seed
			return analysis.CompareLayers(ctx, job.Device, job.Networks, job.Set, opt)
		},
	}
}

// climbingAttack is an attack that can be aimed at all images; "" is none.
func climbingAttack(name string) (a attacks.Attack, err error) {
	if name == "" {
		return a, nil
	}
	if a, err = attacks.Preset(name); err != nil {
		return a, err
	}
	if _, ok := a.Method.(attacks.PGD); !ok {
		return a, usage("--attack %s: want an untargeted PGD, such as pgd20", name)
	}
	return a, nil
}
