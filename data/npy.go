package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// npyMagic begins every file of numpy.save.
const npyMagic = "\x93NUMPY"

// maxNPYHeader bounds the header; those of plain arrays have 128 bytes.
const maxNPYHeader = 1 << 16

// npyArray describes the array in an .npy file (NumPy's NEP 1).
type npyArray struct {
	dtype  string // such as |u1
	shape  []int
	offset int64 // of the first element
}

// NPYHeader is the beginning of an .npy file of format 1.0 with an array of a type such as "|u1" or "<f4" in C order. The elements
// follow it.
func NPYHeader(dtype string, shape ...int) []byte {
	var dims strings.Builder
	for _, n := range shape {
		fmt.Fprintf(&dims, "%d, ", n)
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, dims.String())
	const before = len(npyMagic) + 4                             // version and length
	text += strings.Repeat(" ", 63-(before+len(text))%64) + "\n" // elements begin at a multiple of 64
	header := binary.LittleEndian.AppendUint16([]byte(npyMagic+"\x01\x00"), uint16(len(text)))
	return append(header, text...)
}

// readNPYHeader reads the header of a file of size bytes, which must hold as many elements as it says. Element types other than
// integers and the order of Fortran are refused. (github.com/sbinet/npyio 0.6.0 panics on damaged headers and takes a
// file that was cut off for complete.)
func readNPYHeader(r io.Reader, size int64, file string) (*npyArray, error) {
	fail := func(format string, args ...any) (*npyArray, error) {
		return nil, fmt.Errorf("data: %s: "+format, append([]any{file}, args...)...)
	}
	var start [12]byte
	if _, err := io.ReadFull(r, start[:10]); err != nil || string(start[:6]) != npyMagic {
		return fail("no .npy file: want %q at its beginning", npyMagic)
	}
	length, offset := int64(binary.LittleEndian.Uint16(start[8:])), int64(10)
	switch start[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(r, start[10:]); err != nil {
			return fail("offset 10: %w", unexpected(err))
		}
		length, offset = int64(binary.LittleEndian.Uint32(start[8:])), 12
	default:
		return fail("version %d.%d of the .npy format: want 1, 2 or 3", start[6], start[7])
	}
	if length > maxNPYHeader {
		return fail("header of %d bytes: want at most %d", length, maxNPYHeader)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return fail("offset %d: header of %d bytes: %w", offset, length, unexpected(err))
	}
	a, err := parseNPYHeader(string(text))
	if err != nil {
		return fail("header %.80q: %w", text, err)
	}
	a.offset = offset + length
	need := int64(a.itemSize())
	for _, n := range a.shape {
		if n > 0 && need > (1<<62)/int64(n) {
			return fail("shape %v is too large", a.shape)
		}
		need *= int64(n)
	}
	if have := size - a.offset; have != need {
		return fail("%d bytes follow the header, want %d for %s %v", have, need, a.dtype, a.shape)
	}
	return a, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// npyField is one entry of the header, a dictionary in Python's notation.
var npyField = regexp.MustCompile(`^'(descr|fortran_order|shape)':\s*('[^']*'|True|False|\([0-9, ]*\))\s*(,\s*|$)`)

func parseNPYHeader(text string) (*npyArray, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "{")
	rest, closed := strings.CutSuffix(rest, "}")
	if !ok || !closed {
		return nil, errors.New("no dictionary in braces")
	}
	field := map[string]string{}
	for rest = strings.TrimSpace(rest); rest != ""; {
		m := npyField.FindStringSubmatch(rest)
		if m == nil {
			return nil, errors.New("want descr (a plain type), fortran_order and shape")
		}
		if field[m[1]] != "" {
			return nil, fmt.Errorf("%s appears twice", m[1])
		}
		field[m[1]] = m[2]
		rest = rest[len(m[0]):]
	}
	if field["fortran_order"] != "False" {
		return nil, fmt.Errorf("fortran_order %q: want False", field["fortran_order"])
	}
	a := &npyArray{dtype: strings.Trim(field["descr"], "'")}
	if a.itemSize() == 0 {
		return nil, fmt.Errorf("element type %q: want |u1, |i1, or a little-endian integer such as <i8", a.dtype)
	}
	dims, ok := strings.CutPrefix(field["shape"], "(")
	if !ok {
		return nil, errors.New("no shape")
	}
	for dim := range strings.SplitSeq(strings.TrimSuffix(dims, ")"), ",") {
		if dim = strings.TrimSpace(dim); dim == "" {
			continue
		}
		n, err := strconv.Atoi(dim)
		if err != nil {
			return nil, fmt.Errorf("shape %s: %w", field["shape"], err)
		}
		a.shape = append(a.shape, n)
	}
	return a, nil
}

// itemSize is the number of bytes of an element, 0 for types that are not read.
func (a *npyArray) itemSize() int {
	switch a.dtype {
	case "|u1", "|i1":
		return 1
	case "<u2", "<i2":
		return 2
	case "<u4", "<i4":
		return 4
	case "<u8", "<i8":
		return 8
	}
	return 0
}

// integers decodes elements. Those of <u8 beyond the range of int64 become negative.
func (a *npyArray) integers(b []byte) []int64 {
	size := a.itemSize()
	out := make([]int64, len(b)/size)
	for i := range out {
		var word [8]byte
		copy(word[:], b[i*size:(i+1)*size])
		if a.dtype[1] == 'i' && word[size-1] >= 0x80 { // extend the sign
			for k := size; k < 8; k++ {
				word[k] = 0xff
			}
		}
		out[i] = int64(binary.LittleEndian.Uint64(word[:]))
	}
	return out
}
