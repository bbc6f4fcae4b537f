package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/study"
	"cure/cureml/zoo"
	"cure/data"
	"cure/data/mini"
)

const dataHelp = "mini, or a file or folder with CIFAR-10, CIFAR-100 or SVHN"

// openSplit reads one split of "mini" or of what lies at the path of --data.
func openSplit(ref, split string) (*data.Set, error) { return splitOf("--data", ref, split) }

// splitOf is openSplit for a path that what names in errors.
func splitOf(what, ref, split string) (*data.Set, error) {
	if split != "train" && split != "test" {
		return nil, usage("--split %q: accepted are train, test", split)
	}
	switch {
	case ref == cureml.EmbeddedData && split == "train":
		return mini.Train(), nil
	case ref == cureml.EmbeddedData:
		return mini.Test(), nil
	}
	if err := exists(what, ref); err != nil {
		return nil, usage("%w; also accepted is mini", err)
	}
	return data.Open(ref, split)
}

// openSets reads both splits.
func openSets(ref string) (sets cureml.Sets, err error) {
	if sets.Train, err = openSplit(ref, "train"); err != nil {
		return sets, err
	}
	if sets.Test, err = openSplit(ref, "test"); err != nil {
		return sets, err
	}
	if !slices.Equal(sets.Train.Classes, sets.Test.Classes) {
		return sets, fmt.Errorf("%s: the classes of the training and the test images differ", ref)
	}
	return sets, nil
}

// weightsExist is exists for weights, which may be a shipped network, zoo:NAME.
func weightsExist(what, ref string) error {
	name, shipped := strings.CutPrefix(ref, cureml.ZooPrefix)
	if !shipped {
		return exists(what, ref)
	}
	if !slices.Contains(zoo.Names(), name) {
		return usage("%s %s: shipped networks are %s%s", what, ref, cureml.ZooPrefix, strings.Join(zoo.Names(), ", "+cureml.ZooPrefix))
	}
	return nil
}

// exists is a usage error where a file that was named on the command line is not there.
func exists(what, path string) error {
	switch _, err := os.Stat(path); {
	case path == "":
		return usage("%s is missing", what)
	case errors.Is(err, fs.ErrNotExist):
		return usage("%s: %s: no such file or folder", what, path)
	case err != nil:
		return usageError{err}
	}
	return nil
}

// downloadFolder is where downloads go by default: the first folder of $CURE_DATA, else cure/data in the user's cache.
func downloadFolder() (string, error) {
	if list := filepath.SplitList(os.Getenv("CURE_DATA")); len(list) > 0 && list[0] != "" {
		return list[0], nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for downloads: %w; name one in --dir or $CURE_DATA", err)
	}
	return filepath.Join(cache, "cure", "data"), nil
}

// describeSets lists the data sets that are found, one a line, the first column 12 wide as `cure doctor` has it.
func describeSets(given []string) []string {
	lines := []string{fmt.Sprintf("%-12s mini: %s, embedded", "data", mini.Name)}
	var empty []string
	for _, folder := range append(slices.Clone(given), study.DataFolders()...) {
		found := data.Find(folder)
		for _, f := range found {
			lines = append(lines, fmt.Sprintf("%-12s %s: %s (%s)", "", f.Path, f.Name, strings.Join(f.Split, ", ")))
		}
		if len(found) == 0 {
			empty = append(empty, folder)
		}
	}
	if len(lines) == 1 {
		lines = append(lines, fmt.Sprintf("%-12s nothing else in %s: 'cure data download cifar-10' fetches CIFAR-10, or name a folder in $CURE_DATA",
			"", strings.Join(empty, ", ")))
	}
	return lines
}

// parsePixels reads a value in [0,1] pixels, such as 8/255, and names the flag in its error.
func parsePixels(flag, v string) (float64, error) {
	x, err := attacks.ParseEps(v)
	if err != nil {
		return 0, fmt.Errorf("--%s: %w", flag, err)
	}
	return x, nil
}

// parseNumbers reads three numbers with commas between, such as 0.49,0.48,0.45.
func parseNumbers(flag, v string) ([]float64, error) {
	var list []float64
	for _, text := range strings.Split(v, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return nil, fmt.Errorf("--%s %q: want three numbers with commas between, such as 0.49,0.48,0.45", flag, v)
		}
		list = append(list, x)
	}
	return list, nil
}

// parseRecords reads a:b, where a and b may be left out, for n records: first a, last b-1. An empty text is all of them.
func parseRecords(text string, n int) (a, b int, err error) {
	if text == "" {
		return 0, n, nil
	}
	first, last, colon := strings.Cut(text, ":")
	a, b = 0, n
	if first != "" {
		a, err = strconv.Atoi(first)
	}
	if last != "" && err == nil {
		b, err = strconv.Atoi(last)
	}
	if err != nil || !colon || a < 0 || a >= b || b > n {
		return 0, 0, usage("--records %q: want a:b with 0 <= a < b <= %d, the records a to b-1", text, n)
	}
	return a, b, nil
}
