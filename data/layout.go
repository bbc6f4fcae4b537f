package data

import (
	"os"
	"path/filepath"
)

// layout names the files of a data set as its authors distribute it.
type layout struct {
	name    string
	folders []string     // sub-folders in which the files may lie, besides the folder itself
	train   []string     // in the order of the records
	test    []string     // likewise
	archive string       // file with all of it, "" if there is none
	cifar   *cifarLayout // nil for .mat files
}

var (
	cifar10Files = layout{
		name:    cifar10.name,
		folders: []string{"cifar-10-batches-bin"},
		train:   []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
		test:    []string{"test_batch.bin"},
		archive: "cifar-10-binary.tar.gz",
		cifar:   &cifar10,
	}
	cifar100Files = layout{
		name:    cifar100.name,
		folders: []string{"cifar-100-binary"},
		train:   []string{"train.bin"},
		test:    []string{"test.bin"},
		archive: "cifar-100-binary.tar.gz",
		cifar:   &cifar100,
	}
	svhnFiles = layout{
		name:    "SVHN",
		folders: []string{"svhn"},
		train:   []string{"train_32x32.mat"},
		test:    []string{"test_32x32.mat"},
	}
	jpegFiles = layout{name: jpegName, archive: "cifar10-jpeg.tar.gz"}

	layouts = []*layout{&cifar10Files, &cifar100Files, &svhnFiles, &jpegFiles}
)

func (l *layout) files(split string) []string {
	if split == "train" {
		return l.train
	}
	return l.test
}

// find looks for a split of the set in dir: its files, all in one folder, or its archive. If only some of the files are there,
// missing is the path of the first that is not.
func (l *layout) find(dir, split string) (paths []string, missing string) {
	for _, sub := range append([]string{""}, l.folders...) {
		paths = paths[:0]
		absent := ""
		for _, f := range l.files(split) {
			p := filepath.Join(dir, sub, f)
			if isFile(p) {
				paths = append(paths, p)
			} else if absent == "" {
				absent = p
			}
		}
		if len(paths) > 0 && absent == "" {
			return paths, ""
		}
		if len(paths) > 0 && missing == "" {
			missing = absent
		}
	}
	if p := filepath.Join(dir, l.archive); l.archive != "" && isFile(p) {
		return []string{p}, ""
	}
	return nil, missing
}

func isFile(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.Mode().IsRegular()
}

// Found is a data set that Find has seen.
type Found struct {
	Name  string   // as in Set.Name
	Path  string   // what Open takes
	Split []string // the splits that are complete
}

// Find lists the data sets whose files lie in dir, by their names only; it reads none of them.
func Find(dir string) []Found {
	var all []Found
	for _, l := range layouts {
		f := Found{Name: l.name, Path: dir}
		for _, split := range []string{"train", "test"} {
			if paths, _ := l.find(dir, split); len(paths) > 0 {
				f.Split = append(f.Split, split)
				if filepath.Base(paths[0]) == l.archive {
					f.Path = paths[0]
				} else {
					f.Path = filepath.Dir(paths[0])
				}
			}
		}
		if f.Split != nil {
			all = append(all, f)
		}
	}
	return all
}
