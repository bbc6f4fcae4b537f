package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
)

func analyzeLinearity() analyzeCommand {
	o := analysis.DefaultLinearity()
	return analyzeCommand{
		name: "linearity", short: "How linear the loss is around images, and its curvature", weights: theTrio, records: "0:256",
		long: wrap(`The local linearity error of Qin et al. (2019), the largest distance within eps between the loss and its linear
approximation at the image; the curvature along the gradient's sign that curvature regularisation keeps small (Moosavi-Dezfooli et al.
2019); and the loss on the way of a gradient-sign attack next to what the gradient promises.`),
		example: `  cure analyze linearity --records 0:32 --steps 3 --out linearity`,
		flags: func(fs *pflag.FlagSet) {
			addSize(fs, &o.Eps, "eps", "radius")
			addSize(fs, &o.StepSize, "step-size", "step of the search for the error")
			fs.IntVar(&o.Steps, "steps", o.Steps, "steps of the search")
			fs.Float64Var(&o.H, "h", o.H, "Euclidean length of the step that the curvature is measured over")
			fs.IntVar(&o.Profile, "profile", o.Profile, "points of the loss along the gradient's sign")
		},
		check: func(*pflag.FlagSet) error { return o.Validate() },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed = job.Seed
			return result(analysis.MeasureLinearity(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}
