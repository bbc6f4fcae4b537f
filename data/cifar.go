package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// maxRecords bounds what one file may hold. The largest file of the field, SVHN's extra_32x32.mat, has 531,131 images.
const maxRecords = 600_000

// cifarLayout describes the binary files of a CIFAR set: records of label bytes, the last of which is the label used,
// followed by the planes R, G, B of 32x32 bytes each, row by row.
type cifarLayout struct {
	name       string
	classes    []string
	labelBytes int
	coarse     int // number of coarse classes, which the first of two label bytes names
}

var (
	cifar10  = cifarLayout{name: "CIFAR-10", classes: cifar10Classes, labelBytes: 1}
	cifar100 = cifarLayout{name: "CIFAR-100", classes: cifar100Classes, labelBytes: 2, coarse: 20}
)

func (l *cifarLayout) recordLen() int { return l.labelBytes + imageLen }

func (l *cifarLayout) newSet(split string) *Set {
	return &Set{Name: l.name, Split: split, Classes: slices.Clone(l.classes)}
}

// DecodeCIFAR10 converts records in the official binary format (1 label byte, then 3,072 bytes [3, 32, 32]) to a
// set with the given name and split.
func DecodeCIFAR10(name, split string, records []byte) (*Set, error) {
	s := cifar10.newSet(split)
	s.Name = name
	if err := cifar10.read(s, bytes.NewReader(records), int64(len(records)), name); err != nil {
		return nil, err
	}
	return s, nil
}

// EncodeCIFAR10 is the inverse of DecodeCIFAR10.
func (s *Set) EncodeCIFAR10() ([]byte, error) {
	out := make([]byte, 0, s.Len()*cifar10.recordLen())
	for i, l := range s.Labels {
		if l < 0 || l > 255 {
			return nil, fmt.Errorf("data: record %d of %s %s: label %d does not fit a byte", i, s.Name, s.Split, l)
		}
		out = append(out, byte(l))
		img := s.Image(i)
		for c := range Channels {
			for p := c; p < imageLen; p += Channels {
				out = append(out, img[p])
			}
		}
	}
	return out, nil
}

// read appends the size bytes of r to s. file names them in errors.
func (l *cifarLayout) read(s *Set, r io.Reader, size int64, file string) error {
	rec := int64(l.recordLen())
	n := size / rec
	switch {
	case size == 0:
		return fmt.Errorf("data: %s: empty, want %s records of %d bytes", file, l.name, rec)
	case size%rec != 0:
		return fmt.Errorf("data: %s: offset %d: record %d is cut off after %d bytes, want %s records of %d bytes",
			file, n*rec, n, size%rec, l.name, rec)
	case n > maxRecords:
		return fmt.Errorf("data: %s: %d records, want at most %d", file, n, maxRecords)
	}
	// The size may be a claim of an archive, so memory beyond this is taken only as records arrive.
	room := int(min(n, 1000))
	s.Images, s.Labels = slices.Grow(s.Images, room*imageLen), slices.Grow(s.Labels, room)
	in := bufio.NewReaderSize(r, 1<<16)
	buf := make([]byte, rec)
	for i := range n {
		if k, err := io.ReadFull(in, buf); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("data: %s: offset %d: record %d: %w", file, i*rec+int64(k), i, err)
		}
		if err := l.checkLabels(buf); err != nil {
			return fmt.Errorf("data: %s: offset %d: record %d: %w", file, i*rec, i, err)
		}
		s.Labels = append(s.Labels, int32(buf[l.labelBytes-1]))
		s.Images = appendInterleaved(s.Images, buf[l.labelBytes:])
	}
	return nil
}

func (l *cifarLayout) checkLabels(rec []byte) error {
	if v := int(rec[l.labelBytes-1]); v >= len(l.classes) {
		return fmt.Errorf("label %d, want 0 to %d", v, len(l.classes)-1)
	}
	if v := int(rec[0]); l.coarse > 0 && v >= l.coarse {
		return fmt.Errorf("coarse label %d, want 0 to %d", v, l.coarse-1)
	}
	return nil
}

// appendInterleaved appends planes, [3, 32, 32], as [32, 32, 3].
func appendInterleaved(dst, planes []byte) []byte {
	const plane = Height * Width
	r, g, b := planes[:plane], planes[plane:2*plane], planes[2*plane:3*plane]
	for i := range r {
		dst = append(dst, r[i], g[i], b[i])
	}
	return dst
}

// cifarBySize tells the layout of a file of CIFAR records whose name does not: the one of which it holds a whole number, or
// if both fit, the one whose labels in head, the beginning of the file, are valid.
func cifarBySize(head []byte, size int64, file string) (*cifarLayout, error) {
	if size == 0 {
		return nil, fmt.Errorf("data: %s: the file is empty", file)
	}
	var fits []*cifarLayout
	for _, l := range []*cifarLayout{&cifar10, &cifar100} {
		if size%int64(l.recordLen()) == 0 {
			fits = append(fits, l)
		}
	}
	if len(fits) == 2 {
		fits = slices.DeleteFunc(fits, func(l *cifarLayout) bool {
			for rest := head; len(rest) >= l.recordLen(); rest = rest[l.recordLen():] {
				if l.checkLabels(rest) != nil {
					return true
				}
			}
			return false
		})
	}
	if len(fits) != 1 {
		return nil, fmt.Errorf("data: %s: %d bytes are no whole number of CIFAR-10 records (%d bytes; %d at the end are too many) or "+
			"CIFAR-100 records (%d bytes; %d too many), and it is no archive or .mat file", file, size,
			cifar10.recordLen(), size%int64(cifar10.recordLen()), cifar100.recordLen(), size%int64(cifar100.recordLen()))
	}
	return fits[0], nil
}
