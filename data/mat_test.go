package data

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// matWriter builds MAT-files, right and wrong ones.
type matWriter struct {
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
}

func (w matWriter) element(kind uint32, body []byte) []byte {
	b := w.order.AppendUint32(nil, kind)
	b = w.order.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func (w matWriter) matrix(name string, dims []int32, storage uint32, values []byte) []byte {
	flags := w.order.AppendUint32(w.order.AppendUint32(nil, 9), 0)
	var d []byte
	for _, v := range dims {
		d = w.order.AppendUint32(d, uint32(v))
	}
	return slices.Concat(w.element(miUINT32, flags), w.element(miINT32, d), w.element(miINT8, []byte(name)), w.element(storage, values))
}

// compress makes a compressed element of an array; claimed is the size it declares for its content.
func (w matWriter) compress(content []byte, claimed int) []byte {
	var z bytes.Buffer
	c := zlib.NewWriter(&z)
	c.Write(w.order.AppendUint32(w.order.AppendUint32(nil, miMATRIX), uint32(claimed)))
	c.Write(content)
	c.Close()
	b := w.order.AppendUint32(w.order.AppendUint32(nil, miCOMPRESSED), uint32(z.Len()))
	return append(b, z.Bytes()...)
}

func (w matWriter) file(elements ...[]byte) []byte {
	head := []byte(fmt.Sprintf("%-124s", "MATLAB 5.0 MAT-file, Platform: TEST"))
	mark := "IM"
	if w.order.String() == "BigEndian" {
		mark = "MI"
	}
	head = append(w.order.AppendUint16(head, 0x0100), mark...)
	return slices.Concat(append([][]byte{head}, elements...)...)
}

var little, big = matWriter{binary.LittleEndian}, matWriter{binary.BigEndian}

// svhnPixel is the value of the fixtures in testdata.
func svhnPixel(row, col, ch, n int) uint8 { return uint8((7*row + 13*col + 29*ch + 41*n) % 251) }

// svhnColumns is n images in MATLAB's order.
func svhnColumns(n int) []byte {
	var b []byte
	for i := range n {
		for ch := range Channels {
			for col := range Width {
				for row := range Height {
					b = append(b, svhnPixel(row, col, ch, i))
				}
			}
		}
	}
	return b
}

func checkSVHN(t *testing.T, s *Set, labels []int32) {
	t.Helper()
	if s.Name != "SVHN" || !slices.Equal(s.Labels, labels) || len(s.Images) != len(labels)*imageLen {
		t.Fatalf("%s: labels %v, %d bytes, want SVHN: %v", s.Name, s.Labels, len(s.Images), labels)
	}
	for i := range labels {
		for p, v := range s.Image(i) {
			if want := svhnPixel(p/(Width*Channels), p/Channels%Width, p%Channels, i); v != want {
				t.Fatalf("image %d, byte %d is %d, want %d", i, p, v, want)
			}
		}
	}
}

func TestMATFromSciPy(t *testing.T) {
	for _, f := range []string{"compressed.mat", "plain.mat"} {
		s, err := Open(filepath.Join("testdata", f), "train")
		if err != nil {
			t.Fatal(err)
		}
		checkSVHN(t, s, []int32{1, 0, 5})
	}
}

func TestMATByteOrders(t *testing.T) {
	for _, w := range []matWriter{little, big} {
		var y []byte
		for _, v := range []uint16{10, 9} {
			y = w.order.AppendUint16(y, v)
		}
		x := w.matrix("X", []int32{32, 32, 3, 2}, miUINT8, svhnColumns(2))
		b := w.file(w.element(miMATRIX, x), w.element(miMATRIX, w.matrix("y", []int32{1, 2}, miUINT16, y)))
		s, err := readSVHN(bytes.NewReader(b), "test", "f.mat")
		if err != nil {
			t.Fatalf("%s: %v", w.order, err)
		}
		checkSVHN(t, s, []int32{0, 9})
	}
}

func TestMATOneImage(t *testing.T) {
	b := little.file(little.element(miMATRIX, little.matrix("X", []int32{32, 32, 3}, miUINT8, svhnColumns(1))),
		little.element(miMATRIX, little.matrix("y", []int32{1, 1}, miUINT8, []byte{4})))
	s, err := readSVHN(bytes.NewReader(b), "test", "f.mat")
	if err != nil {
		t.Fatal(err)
	}
	checkSVHN(t, s, []int32{4})
}

func TestMATDamage(t *testing.T) {
	w := little
	x := w.element(miMATRIX, w.matrix("X", []int32{32, 32, 3, 1}, miUINT8, svhnColumns(1)))
	y := func(v ...byte) []byte {
		return w.element(miMATRIX, w.matrix("y", []int32{int32(len(v)), 1}, miUINT8, v))
	}
	matX := func(dims []int32, storage uint32, n int) []byte {
		return w.element(miMATRIX, w.matrix("X", dims, storage, svhnColumns(n)))
	}
	rawX := w.matrix("X", []int32{32, 32, 3, 1}, miUINT8, svhnColumns(1))
	damaged := w.compress(rawX, len(rawX))
	damaged[len(damaged)-1] ^= 1 // the checksum
	v73 := w.file()
	v73[125] = 2
	mark := w.file()
	mark[126] = '?'
	for _, c := range []struct {
		name    string
		content []byte
		want    []string
	}{
		{"empty", nil, []string{"header", "unexpected EOF"}},
		{"HDF5", v73, []string{"version 0x0200", "-v7"}},
		{"byte order mark", mark, []string{`byte order mark "?M"`}},
		{"no X", w.file(y(1)), []string{"X: false", "y: true"}},
		{"label 0", w.file(x, y(0)), []string{"record 0: label 0, want 1 to 10"}},
		{"label 11", w.file(x, y(11)), []string{"label 11"}},
		{"labels missing", w.file(matX([]int32{32, 32, 3, 2}, miUINT8, 2), y(1)), []string{"y has dimensions [1 1], want [2 1]"}},
		{"wrong shape", w.file(matX([]int32{32, 3, 32, 1}, miUINT8, 1), y(1)), []string{"X has dimensions [32 3 32 1]"}},
		{"signed", w.file(matX([]int32{32, 32, 3, 1}, miINT8, 1), y(1)), []string{"storage type 1"}},
		{"too few bytes", w.file(matX([]int32{32, 32, 3, 2}, miUINT8, 1), y(1)), []string{"has 3072 bytes, want 6144"}},
		{"negative dimension", w.file(matX([]int32{32, -32, 3, 1}, miUINT8, 1)), []string{"dimension of -32"}},
		{"overflowing dimensions", w.file(matX([]int32{1 << 30, 1 << 30, 1 << 30, 16}, miUINT8, 1)), []string{"dimension of 1073741824"}},
		{"twice", w.file(x, x, y(1)), []string{`"X" occurs twice`}},
		{"unknown element", w.file(w.element(77, make([]byte, 8))), []string{"element of type 77"}},
		{"unknown storage", w.file(matX([]int32{32, 32, 3, 1}, 16, 1)), []string{"stored as type 16"}},
		{"expands", w.file(w.compress(append(bytes.Clone(rawX), make([]byte, 5000)...), len(rawX)), y(1)), []string{"beyond its declared size"}},
		{"expands to less", w.file(w.compress(rawX[:1000], len(rawX)), y(1)), []string{"byte 1008 of the unpacked element", "unexpected EOF"}},
		{"declares too little", w.file(w.compress(rawX, 1000), y(1)), []string{"the element ends after"}},
		{"checksum", w.file(damaged, y(1)), []string{"checksum"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "f.mat", c.content)
			_, err := Open(path, "test")
			checkError(t, err, append(c.want, path)...)
		})
	}
}

// TestMATCutAnywhere cuts real files at many places. A cut between two elements leaves a file without X or y.
func TestMATCutAnywhere(t *testing.T) {
	for _, f := range []string{"compressed.mat", "plain.mat"} {
		b, err := os.ReadFile(filepath.Join("testdata", f))
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(b)-8; n += 1 + n/200 {
			if _, err := readSVHN(bytes.NewReader(b[:n]), "test", f); err == nil {
				t.Errorf("%s cut after %d of %d bytes: no error", f, n, len(b))
			} else if !strings.Contains(err.Error(), f) {
				t.Errorf("%s cut after %d bytes: error %q does not name the file", f, n, err)
			}
		}
	}
}
