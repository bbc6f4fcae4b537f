package main

import (
	"slices"
	"strconv"
	"strings"

	"cure/cureml"
	"cure/cureml/benchmark"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// images opens the data set of the preset or of --data, and the test images of --test-data.
func (f *benchmarkFlags) images(p recipes.Preset) (func() (cureml.Sets, error), error) {
	open := func() (cureml.Sets, error) { return openSets(p.Data) }
	if f.data == "" && p.Name == recipes.Paper.Name {
		open = benchmark.SetsOf("CIFAR-10")
	} else if p.Data != cureml.EmbeddedData {
		if err := exists("--data", p.Data); err != nil {
			return nil, usage("%w; also accepted is mini", err)
		}
	}
	if f.test == "" {
		return open, nil
	}
	if f.test != cureml.EmbeddedData {
		if err := exists("--test-data", f.test); err != nil {
			return nil, usage("%w; also accepted is mini", err)
		}
	}
	return func() (s cureml.Sets, err error) {
		if s, err = open(); err != nil {
			return s, err
		}
		s.Test, err = openSplit(f.test, "test")
		return s, err
	}, nil
}

// archs are the networks, with as many classes as the images have.
func (f *benchmarkFlags) archs(p recipes.Preset, open func() (cureml.Sets, error)) (list []nn.Arch, err error) {
	classes := p.Arch.Classes
	if p.Data != cureml.EmbeddedData && f.data != "" {
		s, err := open()
		if err != nil {
			return nil, err
		}
		classes = len(s.Train.Classes)
	}
	names := f.arch
	if names == "" {
		names = p.Arch.Name
	}
	for _, name := range strings.Split(names, ",") {
		width := f.width
		if width == 0 && strings.TrimSpace(name) == p.Arch.Name {
			width = p.Arch.Width
		}
		a, err := nn.Parse(strings.TrimSpace(name), width, classes)
		if err != nil {
			return nil, usage("--arch: %w", err)
		}
		list = append(list, a)
	}
	return list, nil
}

func parseSeeds(text string) (seeds []uint64, err error) {
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return nil, usage("--seeds %q: want whole numbers from 0 on, with commas between", text)
		}
		if slices.Contains(seeds, n) {
			return nil, usage("--seeds %q: seed %d appears twice", text, n)
		}
		seeds = append(seeds, n)
	}
	return seeds, nil
}
