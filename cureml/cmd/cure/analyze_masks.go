package main

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"cure/cureml"
	"cure/cureml/analysis"
	"cure/cureml/nn"
)

func analyzeMasks() analyzeCommand {
	var f momentFlags
	var rules string
	return analyzeCommand{
		name:  "masks",
		short: "What CURE conserves: masks of gradient prominence by layer, rule and batch",
		long: `For each batch of images, choose the weights that a step of CURE would conserve: those whose robust gradient prominence
is below a percentile of their tensor. Tables and pictures say how large a part of the gradient they have, whether another
batch, another rule or the network before conserves the same ones, where one threshold for the whole network would
conserve, and which weights have the same bits as in the first network.

A rule is a face of CURE (paper, released, rgp_soft), a setting (alpha=1, percentile=0.5), or several joined by +, such as
released+percentile=0.5; agreements are with the first rule. Networks without a revision model get a copy of themselves.`,
		example: `  cure analyze masks --rules paper,released --records 0:32 --batch 16 --out out
  cure train --method cure --width 4 --epochs 1 --steps 2 --set save_every=1 --out runs/cure
  cure analyze masks --run runs/cure --records 0:32 --batch 16`,
		weights: "zoo:natural,zoo:trades,zoo:cure", records: "0:128",
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			f.addAttack(fs)
			fs.StringVar(&rules, "rules", "paper,released", "ways to choose what is conserved, with commas between")
		},
		check: func(*pflag.FlagSet) error {
			if _, err := f.attack(); err != nil {
				return err
			}
			if _, err := parseRules(rules); err != nil {
				return err
			}
			return f.check()
		},
		own: f.own,
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			moments, err := f.moments(job)
			if err != nil {
				return nil, err
			}
			o := analysis.MaskOptions{Batch: f.perStep, Seed: job.Seed}
			if o.Attack, err = f.attack(); err != nil {
				return nil, err
			}
			if o.Rules, err = parseRules(rules); err != nil {
				return nil, err
			}
			return analysis.MeasureMasks(ctx, job.Device, moments, job.Set, o)
		},
	}
}

// parseRules reads a list of rules.
func parseRules(list string) (rules []analysis.MaskRule, err error) {
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		c := cureml.Defaults("cure")
		c.Arch = nn.Arch{Name: "resnet18", Width: 64, Classes: 10} // any that is valid
		for _, part := range strings.Split(name, "+") {
			key, value, ok := strings.Cut(part, "=")
			if !ok {
				key, value = "face", part
			}
			if err := c.Set("cure."+key, value); err != nil {
				return nil, usage("--rules %s: %w", name, err)
			}
		}
		if err := c.Validate(); err != nil {
			return nil, usage("--rules %s: %w", name, err)
		}
		if c.Cure.Percentile == 0 || c.Cure.Percentile == 1 {
			return nil, usage("--rules %s: percentile %v: want a share between 0 and 1", name, c.Cure.Percentile)
		}
		rules = append(rules, analysis.MaskRule{Name: name, Cure: c.Cure})
	}
	return rules, nil
}
