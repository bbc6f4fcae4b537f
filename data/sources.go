package data

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
)

// remote is a file at its official address.
type remote struct {
	name   string // of the local file, below the download folder
	url    string
	size   int64
	sha256 string
}

// source is a data set that Download knows.
type source struct {
	name  string
	files []remote
}

// sources were checked against independent records of the same checksums; the MD5 sums that the CIFAR authors publish belong to
// the same files.
var sources = []source{
	{"cifar-10", []remote{{
		name:   "cifar-10-binary.tar.gz",
		url:    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
		size:   170052171,
		sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
	}}},
	{"cifar-100", []remote{{
		name:   "cifar-100-binary.tar.gz",
		url:    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
		size:   168513733,
		sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
	}}},
	{"svhn", []remote{{
		name:   "svhn/train_32x32.mat",
		url:    "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
		size:   182040794,
		sha256: "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
	}, {
		name:   "svhn/test_32x32.mat",
		url:    "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
		size:   64275384,
		sha256: "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
	}}},
}

// Downloads lists the names that Download accepts.
func Downloads() []string {
	var names []string
	for _, s := range sources {
		names = append(names, s.name)
	}
	return names
}

// Download fetches a data set, one of Downloads, from its official address into dir and returns the path to give to Open: the
// archive of CIFAR-10 or CIFAR-100, or the folder with the two files of SVHN. A file that is already there with the right SHA-256
// is not fetched again. A download that is cut short goes on where it stopped, in this call or in the next; the
// unfinished file has the suffix ".part", and a file appears under its own name only when its SHA-256 is right.
// progress, which may be nil, receives the bytes done so far and in total.
func Download(ctx context.Context, name, dir string, progress func(done, total int64)) (path string, err error) {
	i := slices.IndexFunc(sources, func(s source) bool { return s.name == name })
	if i < 0 {
		return "", fmt.Errorf("data: unknown download %q: want one of %s", name, strings.Join(Downloads(), ", "))
	}
	return newFetcher(http.DefaultClient).source(ctx, sources[i], dir, progress)
}

// source fetches all files of src.
func (f *fetcher) source(ctx context.Context, src source, dir string, progress func(done, total int64)) (string, error) {
	var before, total int64
	for _, r := range src.files {
		total += r.size
	}
	path := ""
	for _, r := range src.files {
		path = filepath.Join(dir, filepath.FromSlash(r.name))
		f.progress = func(done int64) {
			if progress != nil {
				progress(before+done, total)
			}
		}
		if err := f.file(ctx, r, path); err != nil {
			return "", fmt.Errorf("data: download of %s: %w", src.name, err)
		}
		before += r.size
	}
	if len(src.files) > 1 {
		path = filepath.Dir(path)
	}
	return path, nil
}
