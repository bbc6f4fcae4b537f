package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/zoo"
)

// networkFlags say which weights to read, and into which network.
type networkFlags struct {
	weights, network string
	arch             string
	width            int
	mean, std        string
}

func (f *networkFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.arch, "arch", "resnet18", "architecture, such as resnet18 or wrn-28-10")
	fs.IntVar(&f.width, "width", 0, "base width (0: as published)")
	fs.StringVar(&f.mean, "mean", "", "three numbers that the network subtracts from the channels of its images")
	fs.StringVar(&f.std, "std", "", "three numbers that it divides them by")
	fs.StringVar(&f.network, "network", cureml.Student, "of a run folder: student, best, or one that its method keeps beside them, such as revision or average")
}

// zooArch is what shipped networks are.
const zooArch = "resnet18"

// isRun says whether the weights are those of a run folder, which knows its network.
func (f *networkFlags) isRun() bool {
	info, err := os.Stat(f.weights)
	return err == nil && info.IsDir()
}

// check finds what is wrong on the command line; what names the weights in errors.
func (f *networkFlags) check(what string, typed *pflag.FlagSet) error {
	if err := weightsExist(what, f.weights); err != nil {
		return err
	}
	a, err := f.parse(10)
	if err != nil {
		return err
	}
	if strings.HasPrefix(f.weights, cureml.ZooPrefix) {
		switch {
		case typed.Changed("arch") && a.Name != zooArch, typed.Changed("width") && a.Width != zoo.Width:
			return usage("--arch, --width: %s is a %s of width %d", f.weights, zooArch, zoo.Width)
		case typed.Changed("mean") || typed.Changed("std"):
			return usage("--mean, --std: %s gets images as they are", f.weights)
		}
	}
	if !f.isRun() {
		if typed.Changed("network") {
			return usage("--network: only run folders hold several networks, %s is a file", f.weights)
		}
		return nil
	}
	if !cureml.IsRun(f.weights) {
		return usage("%s: %s is neither a file with weights nor a run folder", what, f.weights)
	}
	c, err := cureml.ReadConfig(f.weights)
	if err != nil {
		return err
	}
	networks, err := cureml.RunNetworks(c)
	switch {
	case err != nil:
		return err
	case !slices.Contains(networks, f.network):
		return usage("--network %q: the run folder %s (method %s) has %s", f.network, f.weights, c.Method, strings.Join(networks, ", "))
	case typed.Changed("arch") && a.Name != c.Arch.Name || typed.Changed("width") && a.Width != c.Arch.Width:
		return usage("--arch, --width: the run folder %s holds %s of width %d", f.weights, c.Arch.Name, c.Arch.Width)
	case typed.Changed("mean") || typed.Changed("std"):
		return usage("--mean, --std: the run folder %s says itself how its network normalises images", f.weights)
	}
	return nil
}

// parse is the network as the flags describe it.
func (f *networkFlags) parse(classes int) (a nn.Arch, err error) {
	if strings.HasPrefix(f.weights, cureml.ZooPrefix) && f.width == 0 {
		f.width = zoo.Width
	}
	if a, err = nn.Parse(f.arch, f.width, classes); err != nil {
		return a, usageError{err}
	}
	if f.mean == "" && f.std == "" {
		return a, nil
	}
	if f.mean == "" || f.std == "" {
		return a, usage("--mean and --std: want both or none")
	}
	if a.Mean, err = parseNumbers("mean", f.mean); err == nil {
		a.Std, err = parseNumbers("std", f.std)
	}
	if err == nil {
		err = a.Validate()
	}
	if err != nil {
		return a, usageError{err}
	}
	return a, nil
}

// load reads the network, which must have as many classes as asked for.
func (f *networkFlags) load(classes int) (*cureml.Saved, error) {
	if f.isRun() {
		s, err := cureml.LoadRun(f.weights, f.network)
		if err == nil && s.Arch.Classes != classes {
			err = fmt.Errorf("%s holds a network with %d classes, the data has %d", f.weights, s.Arch.Classes, classes)
		}
		return s, err
	}
	a, err := f.parse(classes)
	if err != nil {
		return nil, err
	}
	s, warnings, err := cureml.LoadWeights(a, f.weights)
	return &cureml.Saved{State: s, Path: f.weights, Warnings: warnings}, err
}
