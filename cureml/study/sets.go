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
	folders := DataFolders()
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

// DataFolders are where data sets are looked for: $CURE_DATA, ./data-raw, data-raw in the checkout, and the user's cache,
// where downloads go. Each appears once.
func DataFolders() (folders []string) {
	add := func(folder string) {
		if folder != "" && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	for _, folder := range filepath.SplitList(os.Getenv("CURE_DATA")) {
		add(folder)
	}
	here, err := filepath.Abs(rawFolder)
	root, ok := backend.Root()
	if raw := filepath.Join(root, rawFolder); err != nil || !ok || here != raw {
		add(rawFolder)
	}
	if ok {
		add(filepath.Join(root, rawFolder))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		add(filepath.Join(cache, "cure", "data"))
	}
	return folders
}

// rawFolder is where data lie outside of git.
const rawFolder = "data-raw"
