package data

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// npyFile is an array as NumPy writes it, whatever its bytes.
func npyFile(descr, shape string, values []byte) []byte {
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", descr, shape)
	b := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(text)))
	return slices.Concat(b, []byte(text), values)
}

// npzFile is an archive of members, name and content in turn, stored or deflated.
func npzFile(t testing.TB, method uint16, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: members[i].(string), Method: method})
		if err == nil {
			_, err = w.Write(members[i+1].([]byte))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// images32 is n images of zeros as an array.
func images32(n int) []byte {
	return npyFile("|u1", fmt.Sprintf("%d, 32, 32, 3", n), make([]byte, n*imageLen))
}

// TestNPZFromNumPy reads what numpy.savez and numpy.savez_compressed wrote.
func TestNPZFromNumPy(t *testing.T) {
	for _, c := range []struct {
		file    string
		labels  []int32
		classes int
	}{
		{"stored.npz", []int32{3, 0, 9}, 10},
		{"deflated.npz", []int32{99, 7, 0}, 100},
	} {
		s, err := Open(filepath.Join("testdata", c.file), "train")
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != "images of "+c.file || s.Split != "train" || !slices.Equal(s.Labels, c.labels) || len(s.Classes) != c.classes {
			t.Errorf("%s: %s %s with labels %v of %d classes, want %v of %d", c.file, s.Name, s.Split, s.Labels, len(s.Classes), c.labels, c.classes)
		}
		for i := range c.labels {
			for p, v := range s.Image(i) {
				if want := svhnPixel(p/(Width*Channels), p/Channels%Width, p%Channels, i); v != want {
					t.Fatalf("%s: image %d, byte %d is %d, want %d", c.file, i, p, v, want)
				}
			}
		}
	}
}

// TestNPZLabelTypes reads the labels 2 and 1 in every type of integers and byte order.
func TestNPZLabelTypes(t *testing.T) {
	for descr, values := range map[string]string{
		"|u1": "\x02\x01", "|i1": "\x02\x01", "<i2": "\x02\x00\x01\x00", ">u2": "\x00\x02\x00\x01",
		"<i4": "\x02\x00\x00\x00\x01\x00\x00\x00", ">u4": "\x00\x00\x00\x02\x00\x00\x00\x01",
		"<u8": "\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00",
		">i8": "\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01",
	} {
		b := npzFile(t, zip.Store, "label.npy", npyFile(descr, "2,", []byte(values)), "image.npy", images32(2))
		s, err := Open(write(t, t.TempDir(), "f.npz", b), "test")
		if err != nil || !slices.Equal(s.Labels, []int32{2, 1}) {
			t.Errorf("%s: %+v, %v", descr, s, err)
		}
	}
}

func TestNPZDamage(t *testing.T) {
	label := npyFile("|u1", "1,", []byte{4})
	pair := func(image, label []byte) []byte {
		return npzFile(t, zip.Deflate, "image.npy", image, "label.npy", label)
	}
	flipped := npzFile(t, zip.Store, "image.npy", images32(1), "label.npy", label)
	flipped[2000] ^= 1 // a pixel, which the checksum notices
	fortran := bytes.Replace(images32(1), []byte("False"), []byte("True "), 1)
	for _, c := range []struct {
		name    string
		content []byte
		want    []string
	}{
		{"empty", nil, []string{"not a valid zip file"}},
		{"no archive", []byte("PK\x03\x04 and no more"), []string{"not a valid zip file"}},
		{"arrays of other names", npzFile(t, zip.Store, "x.npy", label, "y.npy", label), []string{`["x" "y"]`, "want image (uint8 [N, 32, 32, 3]) and label"}},
		{"no labels", npzFile(t, zip.Store, "image.npy", images32(1)), []string{`["image"]`}},
		{"twice", npzFile(t, zip.Store, "label.npy", label, "label.npy", label), []string{`"label" occurs twice`}},
		{"label 100", pair(images32(1), npyFile("<i2", "1,", []byte{100, 0})), []string{"label.npy: record 0: label 100, want 0 to 99"}},
		{"label -1, not labelled", pair(images32(2), npyFile("|i1", "2,", []byte{0, 255})), []string{"record 1: label -1"}},
		{"float labels", pair(images32(1), npyFile("<f4", "1,", make([]byte, 4))), []string{`label.npy: type "<f4" and shape [1], want integers [N]`}},
		{"labels of two axes", pair(images32(1), npyFile("|u1", "1, 1", []byte{4})), []string{"shape [1 1]"}},
		{"no images", pair(images32(0), npyFile("|u1", "0,", nil)), []string{"N from 1 to"}},
		{"too many", pair(images32(1), npyFile("|u1", "60000001,", nil)), []string{"shape [60000001]"}},
		{"labels cut", pair(images32(2), npyFile("|u1", "2,", []byte{1})), []string{"after 0 of 2 labels: unexpected EOF"}},
		{"labels left", pair(images32(1), npyFile("|u1", "1,", []byte{1, 2})), []string{"label.npy: more bytes than its shape says"}},
		{"fewer images", pair(images32(1), npyFile("|u1", "2,", []byte{1, 2})), []string{"image.npy", "shape [1 32 32 3]", "[2 32 32 3] as many as labels"}},
		{"channels first", pair(npyFile("|u1", "1, 3, 32, 32", make([]byte, imageLen)), label), []string{"shape [1 3 32 32]"}},
		{"float images", pair(npyFile("<f4", "1, 32, 32, 3", make([]byte, 4*imageLen)), label), []string{`type "<f4"`, "want |u1 (uint8)"}},
		{"column-major", pair(fortran, label), []string{"column-major true"}},
		{"images cut", pair(npyFile("|u1", "1, 32, 32, 3", make([]byte, 3000)), label), []string{"image.npy: record 0: unexpected EOF"}},
		{"images left", pair(npyFile("|u1", "1, 32, 32, 3", make([]byte, 3073)), label), []string{"image.npy: more bytes"}},
		{"pixel changed", flipped, []string{"image.npy", "checksum"}},
		{"no array", pair([]byte("hello world"), label), []string{`begins with "hello "`}},
		{"cut header", pair(images32(1)[:40], label), []string{"npy header: unexpected EOF"}},
		{"version 9", pair([]byte("\x93NUMPY\x09\x00"), label), []string{"version 9, want 1 to 3"}},
		{"long header", pair([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), label), []string{"4294967295 bytes"}},
		{"no dictionary", pair([]byte("\x93NUMPY\x01\x00\x02\x00{}"), label), []string{"want a dictionary"}},
		{"structured", pair(bytes.Replace(images32(1), []byte("'|u1'"), []byte("[('a', '|u1')]"), 1), label), []string{"want a dictionary with a simple descr"}},
		{"huge dimension", pair(npyFile("|u1", "99999999999999999999", nil), label), []string{"is no number"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "f.npz", c.content)
			_, err := Open(path, "train")
			checkError(t, err, append(c.want, path)...)
		})
	}
}

// TestNPZCutAnywhere cuts a real file at many places.
func TestNPZCutAnywhere(t *testing.T) {
	b := readFixture(t, "stored.npz")
	for n := 0; n < len(b); n += 1 + n/50 {
		if _, err := readNPZ(bytes.NewReader(b[:n]), int64(n), "train", "f"); err == nil {
			t.Errorf("cut after %d of %d bytes: no error", n, len(b))
		}
	}
}

// TestNPYVersions: the longer header of versions 2 and 3 says the same.
func TestNPYVersions(t *testing.T) {
	one := images32(1)
	for _, major := range []byte{2, 3} {
		n := binary.LittleEndian.Uint16(one[8:])
		b := slices.Concat(npyMagic, []byte{major, 0}, binary.LittleEndian.AppendUint32(nil, uint32(n)), one[10:])
		r := bytes.NewReader(b)
		h, err := readNPYHeader(r)
		if err != nil || h.descr != "|u1" || h.fortran || !slices.Equal(h.shape, []int64{1, 32, 32, 3}) || r.Len() != imageLen {
			t.Errorf("version %d: %+v, %v, %d bytes left", major, h, err, r.Len())
		}
	}
	if h, err := readNPYHeader(strings.NewReader(string(npyFile("<f8", "", nil)))); err != nil || len(h.shape) != 0 {
		t.Errorf("a scalar: %+v, %v", h, err)
	}
}

func FuzzNPZ(f *testing.F) {
	for _, name := range []string{"stored.npz", "deflated.npz"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readNPZ(bytes.NewReader(b), int64(len(b)), "train", "f")
		checkResult(t, s, err)
	})
}

func FuzzNPY(f *testing.F) {
	f.Add(images32(1))
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readNPYHeader(bytes.NewReader(b))
		if err != nil && (!strings.HasPrefix(err.Error(), "npy header: ") || strings.Contains(err.Error(), "\n")) || err == io.EOF {
			t.Fatalf("error %q", err)
		}
		if size, at, ok := h.integers(); ok {
			at(make([]byte, size))
		}
	})
}
