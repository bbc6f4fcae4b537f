package study

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cure/cureml"
	"cure/cureml/backend"
	"cure/data"
	"cure/data/mini"
)

// Sets are the images of the study: those trained on, and those that networks are measured with. They are read once.
func (s *Study) Sets() (cureml.Sets, error) {
	if s.sets.Train != nil {
		return s.sets, nil
	}
	all, err := readSets(s.Data)
	if err != nil {
		return cureml.Sets{}, err
	}
	if all.Train, err = first(all.Train, s.TrainImages); err != nil {
		return cureml.Sets{}, err
	}
	if all.Test, err = first(all.Test, s.TestImages); err != nil {
		return cureml.Sets{}, err
	}
	s.sets = all
	return all, nil
}

func first(set *data.Set, n int) (*data.Set, error) {
	if n == 0 || n >= set.Len() {
		return set, nil
	}
	return set.Slice(0, n)
}

// readSets reads the embedded images, or a data set of that name from where data sets are looked for.
func readSets(name string) (sets cureml.Sets, err error) {
	if name == Mini {
		return cureml.Sets{Train: mini.Train(), Test: mini.Test()}, nil
	}
	folders := dataFolders()
	for _, folder := range folders {
		for _, found := range data.Find(folder) {
			if found.Name != name || !slices.Contains(found.Split, "train") || !slices.Contains(found.Split, "test") {
				continue
			}
			if sets.Train, err = data.Open(found.Path, "train"); err == nil {
				sets.Test, err = data.Open(found.Path, "test")
			}
			return sets, err
		}
	}
	return sets, fmt.Errorf("study: %s is in none of %s: 'cure data download %s' fetches it, or name its folder in $CURE_DATA",
		name, strings.Join(folders, ", "), strings.ToLower(name))
}

// dataFolders are $CURE_DATA, data-raw in the checkout, and the user's cache, where downloads go.
func dataFolders() []string {
	folders := filepath.SplitList(os.Getenv("CURE_DATA"))
	if root, ok := backend.Root(); ok {
		folders = append(folders, filepath.Join(root, "data-raw"))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		folders = append(folders, filepath.Join(cache, "cure", "data"))
	}
	return folders
}
