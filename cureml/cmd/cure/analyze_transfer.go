package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
)

func analyzeTransfer() analyzeCommand {
	o := analysis.DefaultTransfer()
	return analyzeCommand{
		name: "transfer", short: "How networks fare with images made to fool another one", weights: theTrio, records: "0:256",
		long: wrap(`Attacks every network and shows what came out to all of them: a matrix of accuracies and of success rates for each attack.
'cure attack' does the same for models that need not have tables and pictures.`),
		example: `  cure analyze transfer --records 0:32 --attack fgsm --out transfer`,
		flags:   func(fs *pflag.FlagSet) { addAttacks(fs, &o.Attacks, "the attacks") },
		check:   func(*pflag.FlagSet) error { return wantAttacks(o.Attacks) },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed = job.Seed
			return result(analysis.MeasureTransfer(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}
