package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml"
	"cure/cureml/analysis"
)

func analyzeGradients() analyzeCommand {
	var f momentFlags
	c := cureml.Defaults("cure").Cure
	return analyzeCommand{
		name:  "gradients",
		short: "Gradients on clean and on attacked images, layer by layer: length, cosine, share that is updated",
		long: `Differentiate the cross-entropy by the weights of each convolution, on clean images and on the same images attacked by
PGD, in batches as in training. Tables and pictures have the lengths of the two gradients, the cosine between them, the
share of weights where their signs differ, and the share that CURE's prominence lets through: by layer, and with one
threshold for all layers.`,
		example: `  cure analyze gradients --records 0:32 --batch 16 --out out
  cure train --method trades --width 4 --epochs 1 --steps 2 --set save_every=1 --out runs/trades
  cure analyze gradients --run runs/trades --records 0:32 --batch 16`,
		weights: "zoo:natural,zoo:trades,zoo:cure", records: "0:128",
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			f.addAttack(fs)
			fs.Float64Var(&c.Percentile, "percentile", c.Percentile, "share of the weights with the least prominence, which are not updated")
			fs.Float64Var(&c.Alpha, "alpha", c.Alpha, "weight of the natural gradient in the prominence")
		},
		check: func(*pflag.FlagSet) error {
			if _, err := f.pgd(); err != nil {
				return err
			}
			if !(c.Percentile > 0 && c.Percentile < 1) {
				return usage("--percentile %v: want a share between 0 and 1", c.Percentile)
			}
			if !(c.Alpha >= 0 && c.Alpha <= 1) {
				return usage("--alpha %v: want a share in [0, 1]", c.Alpha)
			}
			return f.check()
		},
		own: f.own,
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			moments, err := f.moments(job)
			if err != nil {
				return nil, err
			}
			pgd, err := f.pgd()
			if err != nil {
				return nil, err
			}
			return analysis.MeasureGradients(ctx, job.Device, moments, job.Set, analysis.GradientOptions{PGD: pgd, Cure: c, Batch: f.perStep, Seed: job.Seed})
		},
	}
}
