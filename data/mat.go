package data

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// The parts of the MATLAB level-5 MAT-file format that numeric arrays use ("MAT-File Format", The MathWorks, chapter 1).
const (
	matHeaderLen = 128

	miINT8       = 1
	miUINT8      = 2
	miINT16      = 3
	miUINT16     = 4
	miINT32      = 5
	miUINT32     = 6
	miSINGLE     = 7
	miDOUBLE     = 9
	miMATRIX     = 14
	miCOMPRESSED = 15

	flagComplex = 0x0800
)

// matNumeric names the storage types of numbers and their sizes in bytes.
var matNumeric = map[uint32]int64{miINT8: 1, miUINT8: 1, miINT16: 2, miUINT16: 2, miINT32: 4, miUINT32: 4, miSINGLE: 4, miDOUBLE: 8}

// matArray is a numeric array as stored: column-major, in the byte order of the file.
type matArray struct {
	dims    []int64
	storage uint32 // a key of matNumeric
	data    []byte
	order   binary.ByteOrder
}

// count is the number of elements.
func (a *matArray) count() int64 {
	n := int64(1)
	for _, d := range a.dims {
		n *= d
	}
	return n
}

// at is element i in storage order.
func (a *matArray) at(i int) float64 {
	size := int(matNumeric[a.storage])
	b := a.data[i*size:]
	switch a.storage {
	case miINT8:
		return float64(int8(b[0]))
	case miUINT8:
		return float64(b[0])
	case miINT16:
		return float64(int16(a.order.Uint16(b)))
	case miUINT16:
		return float64(a.order.Uint16(b))
	case miINT32:
		return float64(int32(a.order.Uint32(b)))
	case miUINT32:
		return float64(a.order.Uint32(b))
	case miSINGLE:
		return float64(math.Float32frombits(a.order.Uint32(b)))
	default:
		return math.Float64frombits(a.order.Uint64(b))
	}
}

// readMAT returns the wanted arrays of a level-5 MAT-file of either byte order. file names it in errors.
func readMAT(r io.Reader, file string, wanted func(name string) bool) (map[string]*matArray, error) {
	top := &matReader{r: r, left: math.MaxInt64}
	if err := top.header(); err != nil {
		return nil, fmt.Errorf("data: %s: offset %d: MAT-file header: %w", file, top.off, err)
	}
	arrays := make(map[string]*matArray)
	for {
		begin := top.off
		name, a, err := top.array(wanted)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) && top.off == begin:
			return arrays, nil
		case err == nil && a != nil && arrays[name] != nil:
			err = fmt.Errorf("array %q occurs twice", name)
		}
		if err != nil {
			return nil, fmt.Errorf("data: %s: offset %d: %w", file, top.off, err)
		}
		if a != nil {
			arrays[name] = a
		}
	}
}

// header reads the 128 bytes before the first element, whose end tells the version and the byte order.
func (m *matReader) header() error {
	var head [matHeaderLen]byte
	if err := m.full(head[:]); err != nil {
		return err
	}
	switch mark := string(head[126:]); mark {
	case "IM":
		m.order = binary.LittleEndian
	case "MI":
		m.order = binary.BigEndian
	default:
		return fmt.Errorf("byte order mark %q, want \"IM\" or \"MI\"", mark)
	}
	if v := m.order.Uint16(head[124:]); v != 0x0100 {
		return fmt.Errorf("version %#04x, want 0x0100 (save with -v7)", v)
	}
	return nil
}

// array reads the next element of the file, which must be an array, compressed or not.
func (m *matReader) array(wanted func(name string) bool) (string, *matArray, error) {
	kind, size, short, err := m.tag()
	if err != nil {
		return "", nil, err
	}
	body := &io.LimitedReader{R: m.r, N: size}
	defer func() { m.off += size - body.N }()
	switch {
	case short != nil || kind != miMATRIX && kind != miCOMPRESSED:
		return "", nil, fmt.Errorf("element of type %d, want %d (array) or %d (compressed array)", kind, miMATRIX, miCOMPRESSED)
	case kind == miMATRIX:
		return (&matReader{r: body, order: m.order, left: size}).matrix(wanted)
	}
	in, err := uncompressed(body, m.order)
	if err != nil {
		return "", nil, err
	}
	name, a, err := in.matrix(wanted)
	if err == nil {
		err = drained(in.r, body)
	}
	if err != nil {
		return "", nil, fmt.Errorf("byte %d of the unpacked element: %w", in.off, err)
	}
	return name, a, nil
}

// uncompressed opens a miCOMPRESSED element: zlib data with one miMATRIX element inside.
func uncompressed(r io.Reader, order binary.ByteOrder) (*matReader, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("compressed array: %w", err)
	}
	m := &matReader{r: z, order: order, left: 8}
	kind, size, short, err := m.tag()
	if err != nil {
		return nil, fmt.Errorf("compressed array: %w", err)
	}
	if short != nil || kind != miMATRIX {
		return nil, fmt.Errorf("compressed element of type %d, want %d (array)", kind, miMATRIX)
	}
	m.left = size
	return m, nil
}

// drained checks that the zlib stream z ends where its array ends (which verifies its checksum) and takes up all
// of its element.
func drained(z io.Reader, element *io.LimitedReader) error {
	var one [1]byte
	n, err := io.ReadFull(z, one[:])
	if n > 0 {
		return errors.New("the compressed array expands beyond its declared size")
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	_, err = io.Copy(io.Discard, element)
	return err
}

// isMAT recognises a MATLAB file of any version by its first bytes.
func isMAT(head []byte) bool { return bytes.HasPrefix(head, []byte("MATLAB ")) }
