package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
)

func analyzeLipschitz() analyzeCommand {
	o := analysis.DefaultLipschitz()
	return analyzeCommand{
		name: "lipschitz", short: "How fast logits and probabilities change around images", weights: theTrio, records: "0:256",
		long: wrap(`The empirical local Lipschitz value of Yang et al. (2020): the largest ratio of the change of a network's output (sum of
absolute values) to that of the image (largest change of a value) that gradient ascent finds within eps. It is a lower bound.`),
		example: `  cure analyze lipschitz --records 0:32 --steps 3 --out lipschitz`,
		flags: func(fs *pflag.FlagSet) {
			addSize(fs, &o.Eps, "eps", "radius")
			addSize(fs, &o.StepSize, "step-size", "step of the ascent")
			fs.IntVar(&o.Steps, "steps", o.Steps, "steps of the ascent")
		},
		check: func(*pflag.FlagSet) error { return o.Validate() },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed = job.Seed
			return result(analysis.MeasureLipschitz(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}
