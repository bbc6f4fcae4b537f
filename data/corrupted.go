package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	labelsFile     = "labels.npy"
	severities     = 5
	maxSetInfo     = 1 << 20 // bytes of corruptions.json; ours have a few kB
	maxLabelsBytes = severities * maxRecords * 8
)

// CorruptedInfoFile is the name of the file with a CorruptedInfo that package corrupt leaves beside the arrays. The official
// folders have none.
const CorruptedInfoFile = "corruptions.json"

// CorruptedInfo tells what a folder of corrupted images was made from.
type CorruptedInfo struct {
	Set     string            `json:"set"`     // name of the clean set
	Split   string            `json:"split"`   // of the clean set
	Records [2]int            `json:"records"` // a, b: the records a to b-1 of it
	Classes []string          `json:"classes"`
	Seed    uint64            `json:"seed"`
	SHA256  map[string]string `json:"sha256"` // by file name
}

// Corrupted is a folder in the layout of CIFAR-10-C and CIFAR-100-C (Hendrycks and Dietterich, 2019; Zenodo records 2535967 and
// 3555552): labels.npy, [5 N], and an array of bytes [5 N, 32, 32, 3] for each corruption, the images of
// severity 1 first, then those of severity 2 and so on, all in the order of the clean test set.
type Corrupted struct {
	Dir     string
	Name    string   // "CIFAR-10-C", "CIFAR-100-C", or what CorruptedInfo says
	Split   string   // "test", or what CorruptedInfo says
	First   int      // record of the clean set that the first images were made from: 0, or what CorruptedInfo says
	Classes []string // class names, indexed by label
	Names   []string // the corruptions that are there, sorted

	labels []int32 // [5 N]

	mutex sync.Mutex
	sums  map[string]string // SHA-256 of the files that have not been checked yet, by name
}

// OpenCorrupted opens such a folder. It reads the labels; the images are read by Set. Each file is checked once against the
// SHA-256 that a CorruptedInfo has for it. Without a CorruptedInfo the set is taken for
// CIFAR-10 if no label is above 9, else for CIFAR-100.
func OpenCorrupted(dir string) (*Corrupted, error) {
	c := &Corrupted{Dir: dir, Split: "test"}
	if err := c.readLabels(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".npy"); ok && e.Name() != labelsFile && name != "" {
			c.Names = append(c.Names, name)
		}
	}
	if len(c.Names) == 0 {
		return nil, fmt.Errorf("data: %s: %s, but no other .npy file: want one for each corruption", dir, labelsFile)
	}
	if err := c.readInfo(); err != nil {
		return nil, err
	}
	if err := c.checkSum(labelsFile); err != nil {
		return nil, err
	}
	for i, l := range c.labels {
		if int(l) >= len(c.Classes) {
			return nil, fmt.Errorf("data: %s: label %d of image %d: want 0 to %d (%s)", filepath.Join(dir, labelsFile), l, i, len(c.Classes)-1, c.Name)
		}
	}
	return c, nil
}

// Len is the number of images of each corruption and severity.
func (c *Corrupted) Len() int { return len(c.labels) / severities }

// Set reads the images of one corruption at a severity from 1 to 5.
func (c *Corrupted) Set(name string, severity int) (*Set, error) {
	if !slices.Contains(c.Names, name) {
		return nil, fmt.Errorf("data: %s: no corruption %q: want one of %s", c.Dir, name, strings.Join(c.Names, ", "))
	}
	if severity < 1 || severity > severities {
		return nil, fmt.Errorf("data: %s: severity %d: want 1 to %d", name, severity, severities)
	}
	path := filepath.Join(c.Dir, name+".npy")
	f, a, err := openNPY(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	want := []int64{int64(len(c.labels)), Height, Width, Channels}
	if a.descr != "|u1" || !slices.Equal(a.shape, want) {
		return nil, fmt.Errorf("data: %s: array of %s %v: want |u1 %v, as %s has %d labels", path, a.descr, a.shape, want, labelsFile, len(c.labels))
	}
	if err := c.checkSum(name + ".npy"); err != nil {
		return nil, err
	}
	n := c.Len()
	s := &Set{
		Name:    fmt.Sprintf("%s, %s severity %d", c.Name, name, severity),
		Split:   c.Split,
		Classes: slices.Clone(c.Classes),
		Images:  make([]uint8, n*imageLen),
		Labels:  slices.Clone(c.labels[(severity-1)*n : severity*n]),
	}
	at := a.offset + int64(severity-1)*int64(len(s.Images))
	if _, err := f.ReadAt(s.Images, at); err != nil {
		return nil, fmt.Errorf("data: %s: offset %d: %w", path, at, noEOF(err))
	}
	return s, nil
}

func (c *Corrupted) readLabels() error {
	path := filepath.Join(c.Dir, labelsFile)
	f, a, err := openNPY(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data: %s: no such file: want a folder with %s and one .npy file for each corruption", path, labelsFile)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if len(a.shape) != 1 || a.shape[0] == 0 || a.shape[0]%severities != 0 {
		return fmt.Errorf("data: %s: labels %v: want [N] with N a multiple of %d, the labels of the test set once for each severity", path, a.shape, severities)
	}
	size, at, _ := a.integers()
	if a.shape[0]*int64(size) > maxLabelsBytes {
		return fmt.Errorf("data: %s: %d labels: want at most %d", path, a.shape[0], severities*maxRecords)
	}
	b := make([]byte, int(a.shape[0])*size)
	if _, err := f.ReadAt(b, a.offset); err != nil {
		return fmt.Errorf("data: %s: offset %d: %w", path, a.offset, noEOF(err))
	}
	c.labels = make([]int32, a.shape[0])
	for i := range c.labels {
		v := at(b[i*size:])
		if v < 0 || v >= maxRecords {
			return fmt.Errorf("data: %s: label %d of image %d: want 0 to 99", path, v, i)
		}
		c.labels[i] = int32(v)
	}
	return nil
}

// readInfo sets name, split and classes.
func (c *Corrupted) readInfo() error {
	path := filepath.Join(c.Dir, CorruptedInfoFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		set := &cifar10
		if slices.Max(c.labels) >= 10 {
			set = &cifar100
		}
		c.Name, c.Classes = set.name+"-C", slices.Clone(set.classes)
		return nil
	}
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	var info CorruptedInfo
	text, err := io.ReadAll(io.LimitReader(f, maxSetInfo))
	if err == nil {
		err = json.Unmarshal(text, &info)
	}
	if err != nil {
		return fmt.Errorf("data: %s: %w", path, err)
	}
	if info.Set == "" || len(info.Classes) == 0 {
		return fmt.Errorf("data: %s: set or classes are missing", path)
	}
	if r := info.Records; r != [2]int{} && (r[0] < 0 || r[1]-r[0] != c.Len()) {
		return fmt.Errorf("data: %s: records %v for %d images: want as many as from a to b-1, or none", path, r, c.Len())
	}
	c.Name, c.Split, c.Classes, c.First, c.sums = info.Set, info.Split, info.Classes, info.Records[0], info.SHA256
	return nil
}

// checkSum reads a file through the first time it is needed, if it is known what it should hold.
func (c *Corrupted) checkSum(name string) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	want, unchecked := c.sums[name]
	if !unchecked {
		return nil
	}
	path := filepath.Join(c.Dir, name)
	got, err := fileSHA256(path)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if got != want {
		return fmt.Errorf("data: %s: SHA-256 is %s, want %s as in %s: the file is damaged or another one", path, got, want, CorruptedInfoFile)
	}
	delete(c.sums, name)
	return nil
}
