package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
)

func analyzeFairness() analyzeCommand {
	o := analysis.DefaultFairness()
	return analyzeCommand{
		name: "fairness", short: "Clean and robust accuracy class by class", weights: theTrio, records: "0:256",
		long: wrap(`Clean accuracy, and accuracy under all attacks, class by class: the worst and the best class, the spread between them, and
the standard deviation over the classes.`),
		example: `  cure analyze fairness --records 0:64 --attack fgsm --out fairness`,
		flags:   func(fs *pflag.FlagSet) { addAttacks(fs, &o.Attacks, "the attacks, all of which an image has to stand") },
		check:   func(*pflag.FlagSet) error { return wantAttacks(o.Attacks) },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed = job.Seed
			return result(analysis.MeasureFairness(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}
