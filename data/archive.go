package data

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// maxUnpacked bounds what an archive may expand to. The official CIFAR archives expand to 184 MB.
const maxUnpacked = 1 << 30

var (
	gzipMagic = []byte{0x1f, 0x8b}
	tarMagic  = []byte("ustar") // at tarMagicAt
)

const tarMagicAt = 257

// meter counts the bytes read through it and, if limit is set, refuses to go on after so many.
type meter struct {
	r     io.Reader
	n     int64
	limit int64
}

func (m *meter) Read(b []byte) (int, error) {
	if m.limit > 0 && m.n > m.limit {
		return 0, fmt.Errorf("the archive expands to more than %d bytes", m.limit)
	}
	n, err := m.r.Read(b)
	m.n += int64(n)
	return n, err
}

// readArchive reads one split of a data set from a tar stream, compressed with gzip or not, that holds the official binary
// files of CIFAR-10 or CIFAR-100, or JPEG images <split>/<class>/<name>.jpg. Nothing is written anywhere. file names the
// archive in errors.
func readArchive(r io.Reader, split, file string) (*Set, error) {
	return readArchiveLimited(r, split, file, maxUnpacked)
}

func readArchiveLimited(r io.Reader, split, file string, limit int64) (*Set, error) {
	packed := &meter{r: r}
	in := bufio.NewReaderSize(packed, 1<<16)
	damaged := func(err error) error {
		return fmt.Errorf("data: %s: damaged before offset %d: %w", file, packed.n, err)
	}
	unpacked := &meter{r: in, limit: limit}
	if head, _ := in.Peek(len(gzipMagic)); bytes.Equal(head, gzipMagic) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, damaged(err)
		}
		unpacked.r = z
	}
	c := &collector{split: split, file: file, jpegs: newJPEGs(), parts: make(map[string]*Set)}
	err := c.read(tar.NewReader(unpacked), damaged)
	c.jpegs.wait()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil { // up to the checksum of gzip
		return nil, damaged(err)
	}
	return c.set()
}

// collector gathers what an archive holds of one split.
type collector struct {
	split string
	file  string
	parts map[string]*Set // CIFAR binary files of the split by base name
	jpegs *jpegs
}

func (c *collector) read(t *tar.Reader, damaged func(error) error) error {
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
		if err := checkEntry(h); err != nil {
			return fmt.Errorf("data: %s: %w", c.file, err)
		}
		if h.Typeflag == tar.TypeReg {
			if err := c.entry(h, t); err != nil {
				return err
			}
		}
	}
}

// checkEntry refuses what a data archive has no reason to hold.
func checkEntry(h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeXGlobalHeader:
	case tar.TypeSymlink, tar.TypeLink:
		return fmt.Errorf("entry %q is a link to %q", h.Name, h.Linkname)
	default:
		return fmt.Errorf("entry %q is of type %q, want a file or folder", h.Name, h.Typeflag)
	}
	if path.IsAbs(h.Name) || strings.ContainsAny(h.Name, "\\\x00") || slices.Contains(strings.Split(h.Name, "/"), "..") {
		return fmt.Errorf("entry %q: its name leads out of the archive", h.Name)
	}
	return nil
}

// entry reads one file of the archive if it belongs to the split.
func (c *collector) entry(h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	base := path.Base(name)
	for _, l := range []*layout{&cifar10Files, &cifar100Files} {
		if !slices.Contains(l.files(c.split), base) {
			continue
		}
		if c.parts[base] != nil {
			return fmt.Errorf("data: %s: %s occurs twice", c.file, base)
		}
		if limit := int64(maxArchiveSet * l.cifar.recordLen()); h.Size > limit {
			return fmt.Errorf("data: %s: %s has %d bytes, want at most %d", c.file, name, h.Size, limit)
		}
		s := l.cifar.newSet(c.split)
		c.parts[base] = s
		return l.cifar.read(s, r, h.Size, c.file+": "+name)
	}
	if ext := strings.ToLower(path.Ext(base)); ext == ".jpg" || ext == ".jpeg" {
		return c.image(h, name, r)
	}
	return nil
}

// image queues a JPEG file of the split for decoding.
func (c *collector) image(h *tar.Header, name string, r io.Reader) error {
	parts := strings.Split(name, "/")
	if len(parts) < 3 {
		return fmt.Errorf("data: %s: image %s: want the path <split>/<class>/<name>.jpg", c.file, name)
	}
	split, class := parts[len(parts)-3], slices.Index(cifar10Classes, parts[len(parts)-2])
	if split != "train" && split != "test" {
		return fmt.Errorf("data: %s: image %s: split %q, want train or test", c.file, name, split)
	}
	if class < 0 {
		return fmt.Errorf("data: %s: image %s: class folder %q, want one of %s", c.file, name, parts[len(parts)-2], strings.Join(cifar10Classes, ", "))
	}
	if split != c.split {
		return nil
	}
	if h.Size > maxJPEG {
		return fmt.Errorf("data: %s: image %s has %d bytes, want at most %d", c.file, name, h.Size, maxJPEG)
	}
	if len(c.jpegs.entries) == maxArchiveSet {
		return fmt.Errorf("data: %s: more than %d images", c.file, maxArchiveSet)
	}
	file, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("data: %s: image %s: offset %d: %w", c.file, name, len(file), err)
	}
	c.jpegs.add(&jpegEntry{class: class, name: parts[len(parts)-1], path: name, file: file})
	return nil
}

// set assembles the split, whose files may stand in the archive in any order.
func (c *collector) set() (*Set, error) {
	var found []string
	var set *Set
	for _, l := range []*layout{&cifar10Files, &cifar100Files} {
		files := l.files(c.split)
		if !slices.ContainsFunc(files, func(f string) bool { return c.parts[f] != nil }) {
			continue
		}
		found = append(found, l.name)
		set = l.cifar.newSet(c.split)
		for _, f := range files {
			if c.parts[f] == nil {
				return nil, fmt.Errorf("data: %s: %s %s: %s is missing", c.file, l.name, c.split, f)
			}
			set.add(c.parts[f])
			c.parts[f] = nil
		}
	}
	if len(c.jpegs.entries) > 0 {
		found = append(found, jpegName)
		var err error
		if set, err = c.jpegs.set(c.split, c.file); err != nil {
			return nil, err
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("data: %s: nothing of the split %s found: looked for %s (CIFAR-10), %s (CIFAR-100) and %s/<class>/<name>.jpg",
			c.file, c.split, strings.Join(cifar10Files.files(c.split), ", "), strings.Join(cifar100Files.files(c.split), ", "), c.split)
	case 1:
		return set, nil
	default:
		return nil, fmt.Errorf("data: %s: holds several data sets (%s), want one", c.file, strings.Join(found, ", "))
	}
}
