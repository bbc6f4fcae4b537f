package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/attacks"
	"cure/cureml/analysis"
)

func analyzeCalibration() analyzeCommand {
	o := analysis.DefaultCalibration()
	list := []attacks.Attack{o.Attack}
	return analyzeCommand{
		name: "calibration", short: "Whether networks are as often right as they are sure", weights: theTrio, records: "0:256",
		long: wrap(`Expected calibration error with bins of equal width and of equal mass, Brier score and cross-entropy, for clean and for
adversarial images, before and after temperature scaling (Guo et al. 2017). The temperature is fitted on every other clean image; the
scores are of the images between.`),
		example: `  cure analyze calibration --records 0:64 --attack fgsm --out calibration`,
		flags: func(fs *pflag.FlagSet) {
			addAttacks(fs, &list, "what makes the adversarial images, one of the")
			fs.IntVar(&o.Bins, "bins", o.Bins, "number of bins")
		},
		check: func(*pflag.FlagSet) error {
			if len(list) != 1 || list[0].Method == nil {
				return usage("--attack %s: want one attack", attacksValue{&list})
			}
			return o.Validate()
		},
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed, o.Attack = job.Seed, list[0]
			return result(analysis.MeasureCalibration(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}
