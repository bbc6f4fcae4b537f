package main

import (
	"fmt"

	"cure/attacks"
	"cure/cureml"
	"cure/data"
	"cure/data/mini"
)

// openSplit reads one split of "mini" or of what lies at a path.
func openSplit(ref, split string) (*data.Set, error) {
	switch {
	case ref == "mini" && split == "train":
		return mini.Train(), nil
	case ref == "mini":
		return mini.Test(), nil
	}
	return data.Open(ref, split)
}

// openSets reads both splits.
func openSets(ref string) (sets cureml.Sets, err error) {
	if sets.Train, err = openSplit(ref, "train"); err != nil {
		return sets, err
	}
	sets.Test, err = openSplit(ref, "test")
	return sets, err
}

// parsePixels reads a value in [0,1] pixels, such as 8/255, and names the flag in its error.
func parsePixels(flag, v string) (float64, error) {
	x, err := attacks.ParseEps(v)
	if err != nil {
		return 0, fmt.Errorf("--%s: %w", flag, err)
	}
	return x, nil
}
