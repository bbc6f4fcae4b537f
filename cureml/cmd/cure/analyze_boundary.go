package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
)

func analyzeBoundary() analyzeCommand {
	o := analysis.DefaultBoundary()
	return analyzeCommand{
		name: "boundary", short: "How far images are from the decision boundary", weights: theTrio, records: "0:64",
		long: wrap(`L2 distances at which the prediction changes, of images that the network gets right: as searches for smallest perturbations
find them, and on straight lines towards images of other classes and towards uniform noise.`),
		example: `  cure analyze boundary --records 0:16 --attack deepfool-l2 --directions 1 --out boundary`,
		flags: func(fs *pflag.FlagSet) {
			addAttacks(fs, &o.Attacks, "searches for smallest perturbations in l2")
			fs.IntVar(&o.Directions, "directions", o.Directions, "images, and fields of noise, to walk to from each image")
			fs.IntVar(&o.Grid, "grid", o.Grid, "points of each line")
			fs.IntVar(&o.Refine, "refine", o.Refine, "bisections between two of them")
		},
		check: func(*pflag.FlagSet) error { return o.Validate() },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed = job.Seed
			return result(analysis.MeasureBoundary(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}
