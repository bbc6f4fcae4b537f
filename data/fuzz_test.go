package data

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkResult states what every reader promises for any input: a one-line error, or a set that is consistent.
func checkResult(t *testing.T, s *Set, err error) {
	if err != nil {
		if s != nil || !strings.HasPrefix(err.Error(), "data: ") {
			t.Fatalf("error %q with set %v", err, s)
		}
		return
	}
	if s.Len() < 1 || len(s.Images) != s.Len()*imageLen {
		t.Fatalf("%d labels and %d image bytes", s.Len(), len(s.Images))
	}
	for i, l := range s.Labels {
		if l < 0 || int(l) >= len(s.Classes) {
			t.Fatalf("label %d is %d of %d classes", i, l, len(s.Classes))
		}
	}
}

func FuzzCIFAR(f *testing.F) {
	f.Add(cifarFile(&cifar10, 2, mod10))
	f.Add(cifarFile(&cifar100, 1, mod10))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := cifarBySize(b, int64(len(b)), "f")
		if err != nil {
			checkResult(t, nil, err)
			return
		}
		s := l.newSet("test")
		if err := l.read(s, bytes.NewReader(b), int64(len(b)), "f"); err != nil {
			checkResult(t, nil, err)
			return
		}
		checkResult(t, s, nil)
		if l == &cifar10 {
			if again, err := s.EncodeCIFAR10(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("encoding does not give back the records (error %v)", err)
			}
		}
	})
}

func FuzzMAT(f *testing.F) {
	for _, name := range []string{"compressed.mat", "plain.mat"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(big.file(big.compress(big.matrix("y", []int32{1, 1}, miDOUBLE, make([]byte, 8)), 56)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readSVHN(bytes.NewReader(b), "test", "f")
		checkResult(t, s, err)
	})
}

func FuzzArchive(f *testing.F) {
	jpg := jpegFile(f, 32, 32, 90)
	images := tarball(f, tarEntry{name: "train/cat/1.jpg", body: jpg}, tarEntry{name: "test/dog/1.jpg", body: jpg})
	f.Add(images)
	f.Add(gzipped(f, images))
	f.Add(tarball(f, tarEntry{name: "train.bin", body: cifarFile(&cifar100, 1, mod10)}))
	f.Add(tarball(f, tarEntry{name: "a", kind: '2', link: "b"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, split := range []string{"train", "test"} {
			s, err := readArchiveLimited(bytes.NewReader(b), split, "f", 1<<22)
			checkResult(t, s, err)
		}
	})
}

func FuzzJPEG(f *testing.F) {
	f.Add(jpegFile(f, 32, 32, 90))
	f.Add(jpegFile(f, 8, 8, 90))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodeJPEG(b); err == nil && len(p) != imageLen || err != nil && p != nil {
			t.Fatalf("%d pixels, error %v", len(p), err)
		}
	})
}

// TestFuzzSeeds keeps the stored seeds from being lost: each target has some.
func TestFuzzSeeds(t *testing.T) {
	for _, target := range []string{"FuzzCIFAR", "FuzzMAT", "FuzzArchive", "FuzzJPEG", "FuzzNPZ", "FuzzNPY"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		if err != nil || len(seeds) == 0 {
			t.Errorf("%s has no seeds (error %v)", target, err)
		}
	}
}
