package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
)

// theTrio are the shipped networks that most analyses compare.
const theTrio = "zoo:natural,zoo:trades,zoo:cure"

func analyzeLandscape() analyzeCommand {
	o := analysis.DefaultLandscape()
	return analyzeCommand{
		name: "landscape", short: "The loss around the weights and around the images", weights: theTrio, records: "0:64",
		long: wrap(`Mean cross-entropy on a line and a plane through the weights, along random directions whose filters have the lengths of the
network's (Li et al. 2018), clean and attacked anew at each point of the line; and on the plane through each image along the sign of its
gradient and random signs. The planes take one forward pass for each of their points.`),
		example: `  cure analyze landscape --records 0:16 --line 5 --plane 5 --steps 2 --out landscape`,
		flags: func(fs *pflag.FlagSet) {
			fs.Float64Var(&o.Range, "range", o.Range, "how far to go from the weights, in lengths of the filters")
			fs.IntVar(&o.Line, "line", o.Line, "points of the line, odd")
			fs.IntVar(&o.Plane, "plane", o.Plane, "points of a side of the planes, odd")
			addSize(fs, &o.Reach, "reach", "how far to go from the images")
			addSize(fs, &o.Eps, "eps", "budget of the attack on the line")
			addSize(fs, &o.StepSize, "step-size", "step of the attack")
			fs.IntVar(&o.Steps, "steps", o.Steps, "steps of the attack")
		},
		check: func(*pflag.FlagSet) error { return o.Validate() },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			o.Seed = job.Seed
			return result(analysis.MeasureLandscape(ctx, job.Device, job.Networks, job.Set, o))
		},
	}
}

// result is what an analysis found, as the interface: a nil pointer in it would not be nil.
func result[R analysis.Result](r R, err error) (analysis.Result, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}
