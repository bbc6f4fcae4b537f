package data

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cifarFile makes n records whose label is label(i) and whose byte p of the image is (i + 5p) mod 256.
func cifarFile(l *cifarLayout, n int, label func(i int) int32) []byte {
	var b []byte
	for i := range n {
		for range l.labelBytes - 1 {
			b = append(b, byte(i%l.coarse))
		}
		b = append(b, byte(label(i)))
		for p := range imageLen {
			b = append(b, byte(i+5*p))
		}
	}
	return b
}

// write puts a file below dir and returns its path.
func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCIFARLayout(t *testing.T) {
	for _, l := range []*cifarLayout{&cifar10, &cifar100} {
		label := func(i int) int32 { return int32(i) % int32(len(l.classes)) }
		path := write(t, t.TempDir(), "some.bin", cifarFile(l, 120, label))
		s, err := Open(path, "test")
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != l.name || s.Len() != 120 || s.Split != "test" || len(s.Classes) != len(l.classes) {
			t.Fatalf("%s: got %s %s, %d images", l.name, s.Name, s.Split, s.Len())
		}
		for _, i := range []int{0, 7, 119} {
			if s.Labels[i] != label(i) {
				t.Errorf("%s: label %d is %d, want %d", l.name, i, s.Labels[i], label(i))
			}
			for y := range Height {
				for x := range Width {
					for c := range Channels {
						plane := c*Height*Width + y*Width + x // position in the file
						if got, want := s.Image(i)[(y*Width+x)*Channels+c], uint8(i+5*plane); got != want {
							t.Fatalf("%s: image %d, pixel (%d, %d), channel %d is %d, want %d", l.name, i, y, x, c, got, want)
						}
					}
				}
			}
		}
	}
}

func TestCIFARRoundTrip(t *testing.T) {
	want := cifarFile(&cifar10, 30, mod10)
	s, err := DecodeCIFAR10("name", "train", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.EncodeCIFAR10()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("encoding does not give back the records (error %v)", err)
	}
	s.Labels[3] = 256
	if _, err := s.EncodeCIFAR10(); err == nil {
		t.Error("label 256: no error")
	}
}

func TestCIFARDamage(t *testing.T) {
	good := cifarFile(&cifar10, 3, mod10)
	good100 := cifarFile(&cifar100, 3, mod10)
	edit := func(b []byte, at int, v byte) []byte {
		c := bytes.Clone(b)
		c[at] = v
		return c
	}
	for _, c := range []struct {
		name    string
		file    string
		content []byte
		want    []string
	}{
		{"cut off", "data_batch_1.bin", good[:2*3073+100], []string{"offset 6146", "record 2", "after 100 bytes"}},
		{"one byte too many", "test_batch.bin", append(bytes.Clone(good), 0), []string{"offset 9219", "after 1 bytes"}},
		{"empty", "test_batch.bin", nil, []string{"empty"}},
		{"label", "x.bin", edit(good, 2*3073, 10), []string{"offset 6146", "record 2", "label 10, want 0 to 9"}},
		{"fine label", "x.bin", edit(good100, 3074+1, 100), []string{"offset 3074", "record 1", "label 100, want 0 to 99"}},
		{"coarse label", "x.bin", edit(good100, 3074, 20), []string{"offset 3074", "coarse label 20, want 0 to 19"}},
		{"unknown size", "x.bin", good[:5000], []string{"5000 bytes", "1927", "1926", "3073", "3074"}},
		{"empty without a name", "x.bin", nil, []string{"x.bin: the file is empty"}},
		{"wrong layout", "test_batch.bin", good100, []string{"cut off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, t.TempDir(), c.file, c.content)
			split := "test"
			if strings.HasPrefix(c.file, "data") {
				split = "train"
			}
			_, err := Open(path, split)
			checkError(t, err, append(c.want, path)...)
		})
	}
}

// checkError wants a one-line error with all the parts.
func checkError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	msg := err.Error()
	if !strings.HasPrefix(msg, "data: ") || strings.ContainsAny(msg, "\n\x00") {
		t.Errorf("error %q, want one line that begins with the package", msg)
	}
	for _, p := range parts {
		if !strings.Contains(msg, p) {
			t.Errorf("error %q does not contain %q", msg, p)
		}
	}
}

// TestCIFARBothFit uses a size that is a whole number of records of either layout.
func TestCIFARBothFit(t *testing.T) {
	size := int64(cifar10.recordLen() * cifar100.recordLen())
	// Seen as CIFAR-10, the second record begins with the last byte of the first image.
	head := cifarFile(&cifar100, 2, mod10)
	head[cifar10.recordLen()] = 200
	l, err := cifarBySize(head, size, "f")
	if err != nil || l != &cifar100 {
		t.Errorf("CIFAR-100 records taken for %v (error %v)", l, err)
	}
	head = cifarFile(&cifar10, 2, mod10)
	head[1] = 200 // the fine label, if it were CIFAR-100
	if l, err = cifarBySize(head, size, "f"); err != nil || l != &cifar10 {
		t.Errorf("CIFAR-10 records taken for %v (error %v)", l, err)
	}
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		classes []string
		n       int
	}{{cifar10Classes, 10}, {cifar100Classes, 100}, {svhnClasses, 10}} {
		if len(c.classes) != c.n || !slices.IsSorted(c.classes) || len(slices.Compact(slices.Clone(c.classes))) != c.n {
			t.Errorf("%d classes %v, want %d in alphabetical order", len(c.classes), c.classes, c.n)
		}
	}
}
