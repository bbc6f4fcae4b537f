package main

import (
	"context"

	"github.com/spf13/pflag"

	"cure/attacks"
	"cure/cureml/analysis"
)

func analyzeRevision() analyzeCommand {
	var f momentFlags
	var attack string
	return analyzeCommand{
		name:  "revision",
		short: "CURE's revision model beside the student, over a training",
		long: `Set the student of a run of CURE beside its revision model, the slow average of it, at every snapshot of the run:
accuracy of both on clean and on attacked images, the share of images that they classify differently, and the distance of
their weights by block.`,
		example: `  cure train --method cure --width 4 --epochs 1 --steps 2 --set save_every=1 --out runs/cure
  cure analyze revision --run runs/cure --records 0:32 --out out`,
		records: "0:256",
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.StringVar(&attack, "attack", "pgd20", "attack by which robust accuracy is measured")
		},
		check: func(*pflag.FlagSet) error {
			if f.run == "" {
				return usage("--run is missing: the folder of a run of CURE with snapshots (cure train --set save_every=N)")
			}
			if _, err := attacks.Preset(attack); err != nil {
				return usage("--attack: %w", err)
			}
			return f.check()
		},
		own: func() bool { return true },
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			moments, err := f.moments(job)
			if err != nil {
				return nil, err
			}
			a, err := attacks.Preset(attack)
			if err != nil {
				return nil, err
			}
			return analysis.CompareRevision(ctx, job.Device, moments, job.Set, analysis.RevisionOptions{Attack: a, Seed: int64(job.Seed)})
		},
	}
}
