package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
)

func analyzeSparsity() analyzeCommand {
	o := analysis.DefaultSparsity()
	return analyzeCommand{
		name: "sparsity", short: "Where in the images attacks change them, and how much of them", weights: theTrio, records: "0:64",
		long: wrap(`Shares of values and pixels that change, Hoyer sparsity, the share of the change in the centre and on edges, and maps of it,
of the perturbations that fool the network.`),
		example: `  cure analyze sparsity --records 0:32 --attack fgsm --out sparsity`,
		flags:   func(fs *pflag.FlagSet) { addAttacks(fs, &o.Attacks, "the attacks") },
		check:   func(*pflag.FlagSet) error { return wantAttacks(o.Attacks) },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed = job.Seed
			return result(analysis.MeasureSparsity(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}
