package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml"
	"cure/cureml/nn"
)

// trainFlags are the flags of `cure train`. Those that set a value of the config are applied by configFlags, and only
// where they were typed.
type trainFlags struct {
	method, out, config, backend string
	resume, printConfig          bool
}

func newTrain() *cobra.Command {
	var f trainFlags
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train a network in a run folder that can be resumed",
		Long: `Train a network. A run is a folder: config.json, metrics.jsonl, a checkpoint and, at the end, final.safetensors
with PyTorch's names and layouts. Killed at any moment, the run goes on to the same bits with

  cure train --resume --out RUN

The recipe is that of the method, or of --config, with the flags that are given; --print-config shows it and ends. The
test images are only measured between epochs. To select a checkpoint, hold out training images with --validation.
With --set save_every=N, the folder snapshots keeps the networks at the start, after every N epochs and at the end.

Methods: ` + strings.Join(cureml.MethodNames(), ", ") + ".\n" + wrap("Architectures: "+nn.Names+".") + "\n" + `Data: ` + dataHelp + ".",
		Example: `  cure train --method trades --arch resnet18 --width 4 --data mini --epochs 1 --batch 128 --steps 2 --seed 0 --out runs/trades
  cure train --resume --out runs/trades`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&f.method, "method", "", "training method")
	fs.StringVar(&f.out, "out", "", "run folder")
	fs.StringVar(&f.config, "config", "", "config.json to start from, whole, as --print-config writes it")
	fs.BoolVar(&f.resume, "resume", false, "go on with the run in --out, or start it")
	fs.BoolVar(&f.printConfig, "print-config", false, "write the config to standard output and end")
	fs.StringVar(&f.backend, "backend", "", backendHelp)
	apply := configFlags(fs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := f.base(cmd.Flags())
		if err != nil {
			return err
		}
		if err := apply(&c); err != nil {
			return usageError{err}
		}
		if err := c.Validate(); err != nil {
			return usageError{err}
		}
		if f.printConfig {
			text, err := json.MarshalIndent(c, "", "  ")
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		}
		return f.run(cmd, c)
	}
	return cmd
}

// base is the config that flags are applied to: that of --config, that of the run to resume, or the method's recipe.
func (f trainFlags) base(typed *pflag.FlagSet) (c cureml.Config, err error) {
	if f.out == "" && !f.printConfig {
		return c, usage("--out is missing: the run folder to write")
	}
	resuming := f.resume && cureml.IsRun(f.out)
	switch {
	case f.config != "":
		if err := exists("--config", f.config); err != nil {
			return c, err
		}
		text, err := os.ReadFile(f.config)
		if err != nil {
			return c, usage("--config: %w", err)
		}
		if c, err = cureml.ParseConfig(text); err != nil {
			return c, usage("--config %s: %w", f.config, err)
		}
	case resuming:
		if c, err = cureml.ReadConfig(f.out); err != nil {
			return c, err
		}
	case f.method == "" && f.resume:
		return c, usage("--resume: %s holds no run to go on with; to start one, give --method or --config", f.out)
	case f.method == "":
		return c, usage("--method is missing: accepted are %s", strings.Join(cureml.MethodNames(), ", "))
	default:
		c = cureml.Defaults(f.method)
		if c.Arch, err = nn.Parse("resnet18", 0, 10); err != nil {
			return c, err
		}
	}
	if typed.Changed("method") && f.method != c.Method {
		if resuming && f.config == "" {
			return c, usage("--method %s: %s holds a run of %s; leave --method out to go on with it, or choose another folder", f.method, f.out, c.Method)
		}
		return c, usage("--method %s: %s is of %s, whose settings are others; leave --method out, or use --set", f.method, f.config, c.Method)
	}
	if cureml.IsRun(f.out) && !f.resume && !f.printConfig {
		return c, usage("--out: %s holds a run already: go on with it with --resume, or choose another folder", f.out)
	}
	return c, nil
}

func (f trainFlags) run(cmd *cobra.Command, c cureml.Config) error {
	if c.Method == "cure" && c.Init == "" && c.Cure.WarmupEpochs == 0 && !cureml.IsRun(f.out) {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: cure starts from random weights: it is meant for a naturally trained network (--init); cure-eff trains one first")
	}
	if c.Init != "" {
		if err := weightsExist("--init", c.Init); err != nil {
			return err
		}
	}
	if err := teachersExist(c); err != nil {
		return err
	}
	if c.Extra.Data != "" {
		if err := exists("--extra", c.Extra.Data); err != nil {
			return err
		}
	}
	sets, err := openSets(c.Data)
	if err != nil {
		return err
	}
	if n := sets.Train.Len(); n < c.Batch {
		return usage("--batch %d: %s has %d training images", c.Batch, c.Data, n)
	}
	if sets.Extra, err = c.Extra.Open(); err != nil {
		return err
	}
	c.Arch.Classes = len(sets.Train.Classes)
	b, err := openDevices(f.backend, c.Devices)
	if err != nil {
		return err
	}
	s, err := cureml.Train(cmd.Context(), b, c, sets, f.out, f.resume, os.Stderr)
	if err != nil {
		return err
	}
	if s.Ended != "" {
		fmt.Fprintln(cmd.OutOrStdout(), s.Ended)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d steps in %.1f minutes; weights in %s\n", c.Method, s.Steps, s.Seconds/60, s.Final)
	return nil
}

// teachersExist is a usage error where a network that the method learns from was not named, or is not there.
func teachersExist(c cureml.Config) error {
	method, err := cureml.NewMethod(c)
	if err != nil {
		return err
	}
	flags := map[string]string{cureml.RobustTeacher: "--teacher", cureml.NaturalTeacher: "--natural-teacher"}
	for _, n := range method.Networks {
		flag := flags[n.Role]
		switch {
		case n.Kind != cureml.Frozen:
			continue
		case n.From == "":
			return usage("%s is missing: %s learns from a %s: name a run folder, a weights file or %sNAME",
				flag, c.Method, strings.ReplaceAll(n.Role, "_", " "), cureml.ZooPrefix)
		}
		if err := weightsExist(flag, n.From); err != nil {
			return err
		}
		if info, err := os.Stat(n.From); err == nil && info.IsDir() && !cureml.IsRun(n.From) {
			return usage("%s: %s is neither a file with weights nor a run folder", flag, n.From)
		}
	}
	return nil
}
