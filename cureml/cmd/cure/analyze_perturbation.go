package main

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"cure/attacks"
	"cure/cureml/analysis"
)

func analyzeMinPerturbation() analyzeCommand {
	var list, state string
	var steps, examples int
	var o analysis.PerturbationOptions
	return analyzeCommand{
		name:  "min-perturbation",
		short: "The smallest perturbation that fools each network, image by image",
		long: wrap(`Look for the smallest perturbation that fools each network, image by image, and report distances, accuracy against eps, the
networks against each other image by image, and some of the perturbations, amplified. All searches are in one norm; the nearest
image that any of them finds counts. With --state a stopped command goes on where it was.`) + "\n\n" +
			wrap("Searches: "+strings.Join(minimizers(), ", ")+"."),
		example: `  cure analyze min-perturbation --records 0:8 --attack ddn,fmn-l2 --steps 20 --examples 4 --out perturbations
  cure analyze min-perturbation --records 0:8 --attack fmn-linf --steps 20`,
		weights: "zoo:natural,zoo:trades,zoo:cure", records: "0:64",
		flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&list, "attack", "ddn,fmn-l2", "searches in one norm with commas between")
			fs.IntVar(&steps, "steps", 0, "steps of each search; 0 leaves its own")
			fs.IntVar(&examples, "examples", 5, "images to show with their perturbations")
			fs.StringVar(&state, "state", "", "files, one per network, that a repeated command goes on from")
		},
		check: func(*pflag.FlagSet) (err error) {
			if steps < 0 || examples < 0 || examples > 12 {
				return usage("--steps %d, --examples %d: want 0 or more steps, and 0 to 12 examples", steps, examples)
			}
			o.Attacks, err = parseSearches(list, steps)
			if err == nil {
				err = checkOutput("state", state)
			}
			return err
		},
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			show := newProgress(os.Stderr)
			defer show.end()
			o.Seed, o.First, o.Examples, o.State = int64(job.Seed), job.First, examples, state
			o.Progress = func(network string, p attacks.Progress) {
				if p.Attack != "clean" {
					p.Attack, p.Done = network+", "+p.Attack, min(p.Done, p.Total-1) // no line for each that ends
					show.attack(p)
				}
			}
			return analysis.MeasurePerturbations(ctx, job.Device, job.Networks, job.Set, o)
		},
	}
}

// minimizers lists the attacks that look for the smallest perturbation.
func minimizers() (names []string) {
	for _, name := range attacks.Presets() {
		if a, err := attacks.Preset(name); err == nil && a.Minimizes() {
			names = append(names, name)
		}
	}
	return names
}

// parseSearches reads names of searches in one norm; steps above 0 is that of each.
func parseSearches(text string, steps int) ([]attacks.Attack, error) {
	list, err := attacks.ParseList(text)
	if err != nil {
		return nil, usage("--attack: %w", err)
	}
	for i, a := range list {
		if !a.Minimizes() {
			return nil, usage("--attack %s: want searches for smallest perturbations: %s", a.Name, strings.Join(minimizers(), ", "))
		}
		if first, norm := list[0].Method.Budget().Norm, a.Method.Budget().Norm; norm != first {
			return nil, usage("--attack: %s is in %s and %s in %s: want searches in one norm", list[0].Name, first, a.Name, norm)
		}
		if steps > 0 {
			if list[i], err = a.With(attacks.Override{Steps: &steps}); err != nil {
				return nil, usage("--steps: %w", err)
			}
		}
	}
	return list, nil
}
