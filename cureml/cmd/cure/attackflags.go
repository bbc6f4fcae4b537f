package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"cure/attacks"
	"cure/data"
)

// attackFlags say which attacks to run; those that were not typed leave the presets alone.
type attackFlags struct {
	list                string
	norm, eps, stepSize string
	steps, queries      int
	restarts            int
	start, loss, target string
	best                bool
}

func (f *attackFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.list, "attack", "pgd20", "attacks with commas between")
	fs.StringVar(&f.norm, "norm", "", "linf, l2 or l1")
	fs.StringVar(&f.eps, "eps", "", "budget in [0,1] pixels, such as 8/255")
	fs.StringVar(&f.stepSize, "step-size", "", "step in [0,1] pixels")
	fs.IntVar(&f.steps, "steps", 0, "steps of attacks by gradients")
	fs.IntVar(&f.queries, "queries", 0, "queries of square, on its own or in an ensemble")
	fs.IntVar(&f.restarts, "restarts", 0, "runs from different starts, the worst of which counts")
	fs.StringVar(&f.start, "start", "", "none, uniform, uniform-unclipped or normal")
	fs.StringVar(&f.loss, "loss", "", "ce, kl, cw or dlr")
	fs.StringVar(&f.target, "target", "", "class that PGD aims at: none, likeliest, least-likely or random")
	fs.BoolVar(&f.best, "best", false, "keep the best iterate of each image, not the last")
}

// parse gives the presets with what was typed.
func (f attackFlags) parse(typed *pflag.FlagSet) ([]attacks.Attack, error) {
	list, err := attacks.ParseList(f.list)
	if err != nil {
		return nil, usage("--attack: %w", err)
	}
	o, err := f.override(typed)
	if err != nil {
		return nil, usageError{err}
	}
	presets := slices.Clone(list)
	natural := true
	for i := range list {
		if list[i], err = list[i].With(o); err == nil {
			err = list[i].Validate(10)
		}
		if err != nil {
			return nil, usageError{err}
		}
		natural = natural && list[i].Method == nil
	}
	if natural { // nothing heeds the flags, which are wrong or right all the same
		probe, err := attacks.Attack{Name: "natural", Method: attacks.PGD{Steps: 1, Start: attacks.Normal, Loss: "ce"}}.With(o)
		if err == nil {
			err = probe.Validate(10)
		}
		if err != nil {
			return nil, usageError{err}
		}
	}
	if err := heededBy(presets, typed); err != nil {
		return nil, err
	}
	return list, nil
}

// override is what was typed.
func (f attackFlags) override(typed *pflag.FlagSet) (o attacks.Override, err error) {
	if typed.Changed("norm") {
		norm, err := attacks.ParseNorm(f.norm)
		if err != nil {
			return o, fmt.Errorf("--norm: %w", err)
		}
		o.Norm = &norm
	}
	if typed.Changed("eps") {
		eps, err := parsePixels("eps", f.eps)
		if err != nil {
			return o, err
		}
		o.Eps = &eps
	}
	if typed.Changed("step-size") {
		step, err := parsePixels("step-size", f.stepSize)
		if err != nil {
			return o, err
		}
		o.StepSize = &step
	}
	if typed.Changed("start") {
		start, err := attacks.ParseStart(f.start)
		if err != nil {
			return o, fmt.Errorf("--start: %w", err)
		}
		o.Start = &start
	}
	if typed.Changed("target") {
		target, err := attacks.ParseTarget(f.target)
		if err != nil {
			return o, fmt.Errorf("--target: %w", err)
		}
		o.Target = &target
	}
	if typed.Changed("steps") {
		if f.steps < 1 {
			return o, fmt.Errorf("--steps %d: want at least 1", f.steps)
		}
		o.Steps = &f.steps
	}
	if typed.Changed("queries") {
		if f.queries < 1 {
			return o, fmt.Errorf("--queries %d: want at least 1", f.queries)
		}
		o.Queries = &f.queries
	}
	if typed.Changed("restarts") {
		if f.restarts < 1 {
			return o, fmt.Errorf("--restarts %d: want at least 1", f.restarts)
		}
		o.Restarts = &f.restarts
	}
	if typed.Changed("best") {
		o.Best = &f.best
	}
	if typed.Changed("loss") {
		if f.loss == "" {
			return o, fmt.Errorf("--loss is empty: accepted are ce, kl, cw, dlr")
		}
		o.Loss = f.loss
	}
	return o, nil
}

// imageFlags say which images to attack.
type imageFlags struct{ data, split, records string }

func (f *imageFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.data, "data", "mini", "mini, or a file or folder")
	fs.StringVar(&f.split, "split", "test", "train or test")
	fs.StringVar(&f.records, "records", "", "records a to b-1 of the split as a:b, in the order of its file (default: all)")
}

// load reads the images; first is the number of the first record in its split.
func (f imageFlags) load() (part *data.Set, first int, err error) {
	set, err := openSplit(f.data, f.split)
	if err != nil {
		return nil, 0, err
	}
	a, b, err := parseRecords(f.records, set.Len())
	if err != nil {
		return nil, 0, err
	}
	if part, err = set.Slice(a, b); err != nil {
		return nil, 0, usageError{err}
	}
	return part, a, nil
}
