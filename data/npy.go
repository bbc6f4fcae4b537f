package data

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// npyHeader describes an array in NumPy's npy format, versions 1.0 to 3.0 ("NEP 1", numpy/lib/format).
type npyHeader struct {
	descr   string // type, such as |u1 or <i8
	fortran bool   // column-major
	shape   []int64
}

// maxNPYHeader bounds the text of a header, which NumPy pads to a multiple of 64 and keeps far below this.
const maxNPYHeader = 1 << 16

var (
	npyMagic   = []byte("\x93NUMPY")
	npyDescr   = regexp.MustCompile(`'descr':\s*'([^']*)'`)
	npyFortran = regexp.MustCompile(`'fortran_order':\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape':\s*\(([0-9, ]*)\)`)
)

// readNPYHeader reads up to the first byte of the array.
func readNPYHeader(r io.Reader) (h npyHeader, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h, fmt.Errorf("npy header: %w", noEOF(err))
	}
	if string(head[:6]) != string(npyMagic) {
		return h, fmt.Errorf("npy header: begins with %q, want %q", head[:6], npyMagic)
	}
	size := make([]byte, 2)
	if major := head[6]; major == 2 || major == 3 {
		size = make([]byte, 4)
	} else if major != 1 {
		return h, fmt.Errorf("npy header: version %d, want 1 to 3", major)
	}
	if _, err := io.ReadFull(r, size); err != nil {
		return h, fmt.Errorf("npy header: %w", noEOF(err))
	}
	n := uint32(binary.LittleEndian.Uint16(size))
	if len(size) == 4 {
		n = binary.LittleEndian.Uint32(size)
	}
	if n > maxNPYHeader {
		return h, fmt.Errorf("npy header: %d bytes, want at most %d", n, maxNPYHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return h, fmt.Errorf("npy header: %w", noEOF(err))
	}
	descr, fortran, shape := npyDescr.FindSubmatch(text), npyFortran.FindSubmatch(text), npyShape.FindSubmatch(text)
	if descr == nil || fortran == nil || shape == nil {
		return h, fmt.Errorf("npy header: %.200q, want a dictionary with a simple descr, fortran_order and shape", text)
	}
	h.descr, h.fortran = string(descr[1]), string(fortran[1]) == "True"
	for _, field := range strings.Split(string(shape[1]), ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		d, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return h, fmt.Errorf("npy header: dimension %q is no number", field)
		}
		h.shape = append(h.shape, d)
	}
	return h, nil
}

// integers is the size of an integer type and how to read one; false for other types.
func (h npyHeader) integers() (size int, at func(b []byte) int64, ok bool) {
	var order binary.ByteOrder = binary.LittleEndian
	name := strings.TrimLeft(h.descr, "<|=")
	if big, found := strings.CutPrefix(name, ">"); found {
		order, name = binary.BigEndian, big
	}
	switch name {
	case "u1":
		return 1, func(b []byte) int64 { return int64(b[0]) }, true
	case "i1":
		return 1, func(b []byte) int64 { return int64(int8(b[0])) }, true
	case "u2":
		return 2, func(b []byte) int64 { return int64(order.Uint16(b)) }, true
	case "i2":
		return 2, func(b []byte) int64 { return int64(int16(order.Uint16(b))) }, true
	case "u4":
		return 4, func(b []byte) int64 { return int64(order.Uint32(b)) }, true
	case "i4":
		return 4, func(b []byte) int64 { return int64(int32(order.Uint32(b))) }, true
	case "i8", "u8": // labels beyond the range of int64 become negative, and are refused as such
		return 8, func(b []byte) int64 { return int64(order.Uint64(b)) }, true
	}
	return 0, nil, false
}

// noEOF makes a clean end of input in the middle of something the error that it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// NPYHeader is the beginning of an npy file of format 1.0 with an array of a type such as "|u1" or "<f4" in C order. The
// elements follow it.
func NPYHeader(dtype string, shape ...int) []byte {
	var dims strings.Builder
	for _, n := range shape {
		fmt.Fprintf(&dims, "%d, ", n)
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, dims.String())
	before := len(npyMagic) + 4                                  // version and length
	text += strings.Repeat(" ", 63-(before+len(text))%64) + "\n" // elements begin at a multiple of 64
	header := binary.LittleEndian.AppendUint16(append(slices.Clone(npyMagic), 1, 0), uint16(len(text)))
	return append(header, text...)
}

// npyArray is what the header of an npy file says, and where the elements begin.
type npyArray struct {
	npyHeader
	offset int64
}

// openNPY opens a regular file, and checks that it holds as many integers as its header says.
func openNPY(path string) (f *os.File, a *npyArray, err error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("data: %s: no regular file", path)
	}
	if f, err = os.Open(path); err != nil {
		return nil, nil, fmt.Errorf("data: %w", err)
	}
	if a, err = checkNPY(f); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("data: %s: %w", path, err)
	}
	return f, a, nil
}

func checkNPY(f *os.File) (*npyArray, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, err := readNPYHeader(f)
	if err != nil {
		return nil, err
	}
	offset, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	size, _, ok := h.integers()
	if !ok || h.fortran {
		return nil, fmt.Errorf("array of %s %v, column-major %t: want integers, false", h.descr, h.shape, h.fortran)
	}
	need := int64(size)
	for _, n := range h.shape {
		if n > 0 && need > (1<<62)/n {
			return nil, fmt.Errorf("shape %v is too large", h.shape)
		}
		need *= n
	}
	if have := st.Size() - offset; have != need {
		return nil, fmt.Errorf("%d bytes follow the header, want %d for %s %v", have, need, h.descr, h.shape)
	}
	return &npyArray{h, offset}, nil
}
