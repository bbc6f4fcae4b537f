package data

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// npyFile is an .npy file of format 1.0 with any header text.
func npyFile(header string, elements ...byte) []byte {
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), elements...)
}

func readNPY(b []byte) (*npyArray, error) {
	return readNPYHeader(bytes.NewReader(b), int64(len(b)), "f")
}

func TestNPYAccepts(t *testing.T) {
	header2 := "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n"
	format2 := append([]byte("\x93NUMPY\x02\x00"), byte(len(header2)), 0, 0, 0)
	format2 = append(append(format2, header2...), 7, 8)
	for name, c := range map[string]struct {
		b     []byte
		dtype string
		shape []int
		want  []int64
	}{
		"numpy.save of uint8": {npyFile("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }           \n", 1, 2, 255), "|u1", []int{3}, []int64{1, 2, 255}},
		"format 2":            {format2, "|u1", []int{2}, []int64{7, 8}},
		"other order":         {npyFile("{'shape':(1, 2),'fortran_order':False,'descr':'|i1'}", 1, 255), "|i1", []int{1, 2}, []int64{1, -1}},
		"int64":               {npyFile("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}\n", 0xfe, 255, 255, 255, 255, 255, 255, 255), "<i8", []int{1}, []int64{-2}},
		"uint16":              {npyFile("{'descr': '<u2', 'fortran_order': False, 'shape': (1,)}\n", 1, 255), "<u2", []int{1}, []int64{0xff01}},
		"int32":               {npyFile("{'descr': '<i4', 'fortran_order': False, 'shape': (1,)}\n", 1, 2, 0, 0), "<i4", []int{1}, []int64{513}},
		"scalar":              {npyFile("{'descr': '|u1', 'fortran_order': False, 'shape': ()}\n", 5), "|u1", nil, []int64{5}},
		"nothing":             {npyFile("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4)}\n"), "|u1", []int{0, 4}, []int64{}},
		"our header":          {append(NPYHeader("|u1", 2, 1), 3, 4), "|u1", []int{2, 1}, []int64{3, 4}},
	} {
		a, err := readNPY(c.b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := a.integers(c.b[a.offset:]); a.dtype != c.dtype || !slices.Equal(a.shape, c.shape) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %s %v %v, want %s %v %v", name, a.dtype, a.shape, got, c.dtype, c.shape, c.want)
		}
	}
	if h := NPYHeader("|u1", 50000, 32, 32, 3); len(h)%64 != 0 || h[len(h)-1] != '\n' {
		t.Errorf("header %q of %d bytes: want a multiple of 64 with a line feed at the end", h, len(h))
	}
}

func TestNPYRefuses(t *testing.T) {
	good := "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n"
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":             {nil, "no .npy file"},
		"text":              {[]byte("hello, world"), "no .npy file"},
		"format 4":          {[]byte("\x93NUMPY\x04\x00\x10\x00"), "version 4.0"},
		"cut length":        {[]byte("\x93NUMPY\x02\x00\x10\x00"), "offset 10: unexpected EOF"},
		"cut header":        {[]byte("\x93NUMPY\x01\x00\x10\x00{"), "offset 10: header of 16 bytes: unexpected EOF"},
		"header of 4 GB":    {[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), "header of 4294967295 bytes: want at most 65536"},
		"cut elements":      {npyFile(good, 1, 2), "2 bytes follow the header, want 3 for |u1 [3]"},
		"more elements":     {npyFile(good, 1, 2, 3, 4), "4 bytes follow the header, want 3"},
		"fortran":           {npyFile(strings.Replace(good, "False", "True", 1), 1, 2, 3), `fortran_order "True": want False`},
		"float":             {npyFile(strings.Replace(good, "|u1", "<f4", 1), 1, 2, 3), `element type "<f4": want |u1`},
		"big endian":        {npyFile(strings.Replace(good, "|u1", ">i8", 1), 1, 2, 3), `element type ">i8"`},
		"object":            {npyFile(strings.Replace(good, "|u1", "|O", 1), 1, 2, 3), `element type "|O"`},
		"record":            {npyFile("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (3,)}", 1), "want descr (a plain type)"},
		"no braces":         {npyFile("'descr': '|u1'", 1), "no dictionary"},
		"no shape":          {npyFile("{'descr': '|u1', 'fortran_order': False}", 1), "no shape"},
		"twice":             {npyFile("{'descr': '|u1', 'descr': '<i8', 'fortran_order': False, 'shape': (3,)}", 1), "descr appears twice"},
		"negative":          {npyFile(strings.Replace(good, "3", "-3", 1), 1), "want descr (a plain type), fortran_order and shape"},
		"no comma":          {npyFile("{'descr': '|u1''fortran_order': False, 'shape': (3,)}", 1), "want descr"},
		"dimension of 2^70": {npyFile(strings.Replace(good, "3", "1180591620717411303424", 1), 1), "value out of range"},
		"product of 2^80":   {npyFile(strings.Replace(good, "3", "1099511627776, 1099511627776", 1), 1), "too large"},
	} {
		if a, err := readNPY(c.b); err == nil || a != nil || !strings.HasPrefix(err.Error(), "data: f: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func FuzzNPY(f *testing.F) {
	f.Add(append(NPYHeader("|u1", 2, 3), 1, 2, 3, 4, 5, 6))
	f.Add(append(NPYHeader("<i8", 1), 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(npyFile("{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296)}\n", 1))
	f.Add(npyFile("{'descr': '|u1', 'fortran_order': False, 'shape': (,3,,)}\n", 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readNPY(b)
		if err != nil {
			if a != nil || !strings.HasPrefix(err.Error(), "data: ") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q with %v", err, a)
			}
			return
		}
		n := 1
		for _, d := range a.shape {
			n *= d
		}
		if got := a.integers(b[a.offset:]); len(got) != n {
			t.Fatalf("%d elements of %v", len(got), a.shape)
		}
	})
}
