package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Open reads one split ("train" or "test") of the data set that lies at path, which may be
//
//   - a folder with the official binary files of CIFAR-10 or CIFAR-100, the .mat files of SVHN, their folder
//     (cifar-10-batches-bin, cifar-100-binary, svhn), or one of the archives below under its official name;
//   - an archive, .tar.gz or .tar, of the official binary files or of JPEG images (train/<class>/<name>.jpg and
//     test/<class>/<name>.jpg, with the class names of CIFAR-10); it is read without being unpacked;
//   - one binary file with any whole number of CIFAR-10 or CIFAR-100 records, one .mat file of SVHN, or one .npz file of
//     generated images with the arrays image and label. Such a file is taken for the split asked for, unless its official
//     name says that it is the other one.
//
// The records keep the order of the files. In JPEG archives, whose order means nothing, the classes alternate. Labels are
// those of Set.Classes: the fine labels of CIFAR-100; for SVHN the digits, so that the file's label 10 becomes 0.
func Open(path, split string) (*Set, error) {
	if split != "train" && split != "test" {
		return nil, fmt.Errorf("data: split %q: want train or test", split)
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("data: %s: no such file or folder", path)
	case err != nil:
		return nil, fmt.Errorf("data: %w", err)
	case st.IsDir():
		return openFolder(path, split)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("data: %s: neither a file nor a folder", path)
	}
	return openFile(path, split)
}

// openFolder opens the one data set in dir.
func openFolder(dir, split string) (*Set, error) {
	var found *layout
	var files []string
	incomplete := ""
	for _, l := range layouts {
		paths, missing := l.find(dir, split)
		switch {
		case len(paths) > 0 && found != nil:
			return nil, fmt.Errorf("data: %s: holds %s (%s) and %s (%s): name one of them",
				dir, found.name, filepath.Base(files[0]), l.name, filepath.Base(paths[0]))
		case len(paths) > 0:
			found, files = l, paths
		case missing != "" && incomplete == "":
			incomplete = fmt.Sprintf("%s %s: %s is missing", l.name, split, missing)
		}
	}
	if found == nil && incomplete != "" {
		return nil, fmt.Errorf("data: %s: %s", dir, incomplete)
	}
	if found == nil {
		return nil, fmt.Errorf("data: %s: no %s images found: looked for %s", dir, split, lookedFor(split))
	}
	var set *Set
	for _, f := range files {
		s, err := openFile(f, split)
		if err != nil {
			return nil, err
		}
		if set == nil {
			set = s
			if extra := (len(files) - 1) * s.Len(); extra > 0 { // the files are of one size
				set.Images, set.Labels = slices.Grow(s.Images, extra*imageLen), slices.Grow(s.Labels, extra)
			}
			continue
		}
		if s.Name != set.Name {
			return nil, fmt.Errorf("data: %s: holds %s records, but %s holds %s", f, s.Name, files[0], set.Name)
		}
		set.add(s)
	}
	return set, nil
}

// lookedFor lists the file names of a split, for the error that none is there.
func lookedFor(split string) string {
	var names []string
	for _, l := range layouts {
		if f := l.files(split); len(f) > 0 {
			names = append(names, fmt.Sprintf("%s (%s, also in %s/)", strings.Join(f, ", "), l.name, l.folders[0]))
		}
	}
	for _, l := range layouts {
		if l.archive != "" {
			names = append(names, l.archive)
		}
	}
	return strings.Join(names, ", ")
}

// openFile opens a single file by what its first bytes say.
func openFile(path, split string) (*Set, error) {
	if err := checkSplit(path, split); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	head := make([]byte, min(st.Size(), 1<<16))
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, fmt.Errorf("data: %s: %w", path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	switch name := strings.ToLower(filepath.Base(path)); {
	case isArchive(head) || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar"):
		return readArchive(f, split, path)
	case isMAT(head) || strings.HasSuffix(name, ".mat"):
		return readSVHN(f, split, path)
	case strings.HasPrefix(string(head), zipMagic) || strings.HasSuffix(name, ".npz"):
		return readNPZ(f, st.Size(), split, path)
	}
	l := layoutOf(path)
	if l == nil {
		if l, err = cifarBySize(head, st.Size(), path); err != nil {
			return nil, err
		}
	}
	s := l.newSet(split)
	if err := l.read(s, f, st.Size(), path); err != nil {
		return nil, err
	}
	return s, nil
}

func isArchive(head []byte) bool {
	return strings.HasPrefix(string(head), string(gzipMagic)) ||
		len(head) > tarMagicAt && strings.HasPrefix(string(head[tarMagicAt:]), string(tarMagic))
}

// layoutOf is the format that the name of a CIFAR-10 batch tells. The names of CIFAR-100, train.bin and test.bin, are too
// common to tell anything.
func layoutOf(path string) *cifarLayout {
	base := filepath.Base(path)
	if slices.Contains(cifar10Files.train, base) || slices.Contains(cifar10Files.test, base) {
		return &cifar10
	}
	return nil
}

// checkSplit refuses a file whose official name says that it belongs to the other split.
func checkSplit(path, split string) error {
	base, other := filepath.Base(path), "test"
	if split == "test" {
		other = "train"
	}
	for _, l := range layouts {
		if slices.Contains(l.files(other), base) {
			return fmt.Errorf("data: %s: holds %s images by its name, but the split %s was asked for", path, other, split)
		}
	}
	return nil
}
