package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// matReader reads one element tree and knows where it is.
type matReader struct {
	r     io.Reader
	order binary.ByteOrder
	off   int64 // bytes read so far
	left  int64 // bytes of the enclosing element that are not read yet
}

func (m *matReader) full(b []byte) error {
	if int64(len(b)) > m.left {
		return fmt.Errorf("%d bytes are needed, but the element ends after %d", len(b), m.left)
	}
	n, err := io.ReadFull(m.r, b)
	m.off += int64(n)
	m.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// bytes reads n bytes; memory grows with what arrives, not with what a header claims.
func (m *matReader) bytes(n int64) ([]byte, error) {
	if n > m.left {
		return nil, fmt.Errorf("%d bytes are declared, but the element ends after %d", n, m.left)
	}
	var b []byte
	for int64(len(b)) < n {
		grown := make([]byte, min(n, max(1<<20, 2*int64(len(b)))))
		have := copy(grown, b)
		if err := m.full(grown[have:]); err != nil {
			return nil, err
		}
		b = grown
	}
	return b, nil
}

func (m *matReader) skip(n int64) error {
	if n > m.left {
		return fmt.Errorf("%d bytes are declared, but the element ends after %d", n, m.left)
	}
	k, err := io.CopyN(io.Discard, m.r, n)
	m.off += k
	m.left -= k
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// tag reads the head of a data element: its type, its size and, if it is of the short form, its up to four bytes of data.
func (m *matReader) tag() (kind uint32, size int64, short []byte, err error) {
	var b [8]byte
	if err := m.full(b[:]); err != nil {
		return 0, 0, nil, err
	}
	first := m.order.Uint32(b[:4])
	if n := first >> 16; n != 0 {
		if n > 4 {
			return 0, 0, nil, fmt.Errorf("a short element of %d bytes, want at most 4", n)
		}
		return first & 0xffff, int64(n), b[4 : 4+n], nil
	}
	return first, int64(m.order.Uint32(b[4:])), nil, nil
}

// element reads a whole data element with its padding to 8 bytes.
func (m *matReader) element(limit int64) (kind uint32, data []byte, err error) {
	kind, size, short, err := m.tag()
	if err != nil || short != nil {
		return kind, short, err
	}
	if size > limit {
		return 0, nil, fmt.Errorf("an element of %d bytes where at most %d are expected", size, limit)
	}
	if data, err = m.bytes(size); err != nil {
		return 0, nil, err
	}
	return kind, data, m.skip(min((8-size%8)%8, m.left))
}

// matrix reads the content of a miMATRIX element if its name is wanted, and skips it otherwise.
func (m *matReader) matrix(wanted func(name string) bool) (string, *matArray, error) {
	kind, flags, err := m.element(8)
	if err != nil {
		return "", nil, err
	}
	if kind != miUINT32 || len(flags) != 8 {
		return "", nil, fmt.Errorf("array flags of type %d and %d bytes, want type %d and 8 bytes", kind, len(flags), miUINT32)
	}
	kind, dims, err := m.element(4 * 16)
	if err != nil {
		return "", nil, err
	}
	if kind != miINT32 || len(dims) < 8 || len(dims)%4 != 0 {
		return "", nil, fmt.Errorf("dimensions of type %d and %d bytes, want type %d and 8 to 64 bytes", kind, len(dims), miINT32)
	}
	kind, name, err := m.element(63)
	if err != nil {
		return "", nil, err
	}
	if kind != miINT8 {
		return "", nil, fmt.Errorf("array name of type %d, want %d", kind, miINT8)
	}
	if !wanted(string(name)) {
		return string(name), nil, m.skip(m.left)
	}
	if m.order.Uint32(flags)&flagComplex != 0 {
		return "", nil, fmt.Errorf("array %q is complex", name)
	}
	a := &matArray{order: m.order}
	total := int64(1)
	for ; len(dims) > 0; dims = dims[4:] {
		d := int64(int32(m.order.Uint32(dims)))
		if d < 0 || d > 0 && total > math.MaxUint32/d {
			return "", nil, fmt.Errorf("array %q has a dimension of %d, more than a file can hold", name, d)
		}
		total *= d
		a.dims = append(a.dims, d)
	}
	a.storage, a.data, err = m.element(math.MaxUint32)
	if err != nil {
		return "", nil, err
	}
	size, known := matNumeric[a.storage]
	if !known {
		return "", nil, fmt.Errorf("array %q is stored as type %d, want numbers", name, a.storage)
	}
	if want := total * size; int64(len(a.data)) != want {
		return "", nil, fmt.Errorf("array %q of dimensions %v has %d bytes, want %d", name, a.dims, len(a.data), want)
	}
	return string(name), a, m.skip(m.left)
}
