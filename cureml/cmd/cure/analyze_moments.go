package main

import (
	"path/filepath"

	"github.com/spf13/pflag"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/analysis"
)

// momentFlags are those of analyses that can follow a training.
type momentFlags struct {
	run            string
	eps, stepSize  string
	steps, perStep int
}

func (f *momentFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.run, "run", "", "run folder with snapshots (cure train --set save_every=N), which are looked at in their order instead of --weights")
}

// addAttack adds the attack of training and its batches.
func (f *momentFlags) addAttack(fs *pflag.FlagSet) {
	d := cureml.Defaults("cure").Attack
	fs.StringVar(&f.eps, "eps", "0.031", "budget of the attack in [0,1] pixels, such as 8/255")
	fs.StringVar(&f.stepSize, "step-size", "0.007", "step of the attack in [0,1] pixels")
	fs.IntVar(&f.steps, "steps", d.Steps, "steps of the attack")
	fs.IntVar(&f.perStep, "batch", 64, "images of a batch; those of --records that fill no whole one are left out")
}

// own says whether networks come from the run folder.
func (f *momentFlags) own() bool { return f.run != "" }

func (f *momentFlags) check() error {
	if f.run != "" && !cureml.IsRun(f.run) {
		return usage("--run: %s is no run folder", f.run)
	}
	return nil
}

// attack is the attack of training that the flags say.
func (f *momentFlags) attack() (a cureml.AttackConfig, err error) {
	a = cureml.AttackConfig{Norm: "linf", Steps: f.steps}
	if a.Eps, err = parsePixels("eps", f.eps); err != nil {
		return a, err
	}
	if a.StepSize, err = parsePixels("step-size", f.stepSize); err != nil {
		return a, err
	}
	if f.perStep < 2 {
		return a, usage("--batch %d: want at least 2", f.perStep)
	}
	return a, a.Validate()
}

// pgd is the same on the cross-entropy, from a uniform start.
func (f *momentFlags) pgd() (attacks.PGD, error) {
	a, err := f.attack()
	return attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: a.Eps}, Steps: a.Steps, StepSize: a.StepSize, Start: attacks.Uniform, Loss: "ce"}, err
}

// moments are the snapshots of the run folder, or the networks of --weights.
func (f *momentFlags) moments(job analyzeJob) ([]analysis.Moment, error) {
	if f.run == "" {
		return analysis.Still(job.Networks), nil
	}
	return analysis.Moments(f.run, filepath.Base(filepath.Clean(f.run)))
}
