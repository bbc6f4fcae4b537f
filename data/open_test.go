package data

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// writeBatches puts the five batches and the test batch of official10 into dir.
func writeBatches(t *testing.T, dir string) {
	for _, e := range official10() {
		if filepath.Ext(e.name) == ".bin" {
			write(t, dir, filepath.Base(e.name), e.body)
		}
	}
}

func readFixture(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenFolder(t *testing.T) {
	train100 := cifarFile(&cifar100, 2, func(i int) int32 { return int32(50 + i) })
	for _, c := range []struct {
		name, split string
		fill        func(dir string)
		want        string
	}{
		{"batches", "train", func(d string) { writeBatches(t, d) }, "CIFAR-10 [1 1 2 2 3 3 4 4 5 5]"},
		{"batches, test", "test", func(d string) { writeBatches(t, d) }, "CIFAR-10 [9 9]"},
		{"official folder", "train", func(d string) { writeBatches(t, filepath.Join(d, "cifar-10-batches-bin")) }, "CIFAR-10 [1 1 2 2 3 3 4 4 5 5]"},
		{"folder and archive", "test", func(d string) {
			writeBatches(t, filepath.Join(d, "cifar-10-batches-bin"))
			write(t, d, "cifar-10-binary.tar.gz", nil)
		}, "CIFAR-10 [9 9]"},
		{"broken folder and archive", "train", func(d string) {
			write(t, d, "cifar-10-batches-bin/data_batch_1.bin", nil)
			write(t, d, "cifar-10-binary.tar.gz", gzipped(t, tarball(t, official10()...)))
		}, "CIFAR-10 [1 1 2 2 3 3 4 4 5 5]"},
		{"archive", "test", func(d string) { write(t, d, "cifar-10-binary.tar.gz", gzipped(t, tarball(t, official10()...))) }, "CIFAR-10 [9 9]"},
		{"CIFAR-100", "train", func(d string) { write(t, d, "train.bin", train100) }, "CIFAR-100 [50 51]"},
		{"CIFAR-100 folder", "test", func(d string) { write(t, d, "cifar-100-binary/test.bin", train100) }, "CIFAR-100 [50 51]"},
		{"SVHN", "train", func(d string) { write(t, d, "svhn/train_32x32.mat", readFixture(t, "compressed.mat")) }, "SVHN [1 0 5]"},
		{"JPEG", "test", func(d string) { write(t, d, "cifar10-jpeg.tar.gz", readFixture(t, "pillow.tar.gz")) },
			"CIFAR-10 (JPEG copy) [0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.fill(dir)
			s, err := Open(dir, c.split)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(s.Name, " ", s.Labels); got != c.want || s.Split != c.split || len(s.Images) != s.Len()*imageLen {
				t.Errorf("got %s (%s), want %s (%s)", got, s.Split, c.want, c.split)
			}
			if f := Find(dir); len(f) != 1 || f[0].Name != s.Name {
				t.Errorf("Find gives %v, want %s", f, s.Name)
			} else if again, err := Open(f[0].Path, c.split); err != nil || !bytes.Equal(again.Images, s.Images) {
				t.Errorf("opening what Find gives, %s, differs (error %v)", f[0].Path, err)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	writeBatches(t, filepath.Join(dir, "complete"))
	write(t, dir, "partial/data_batch_1.bin", official10()[8].body)
	write(t, dir, "partial/data_batch_3.bin", official10()[4].body)
	writeBatches(t, filepath.Join(dir, "two"))
	write(t, dir, "two/train_32x32.mat", nil)
	write(t, dir, "mixed/data_batch_1.bin", official10()[8].body)
	write(t, dir, "empty/readme.txt", nil)
	write(t, dir, "text.txt", []byte("hello"))
	for _, c := range []struct {
		path, split string
		want        []string
	}{
		{"complete", "val", []string{`split "val": want train or test`}},
		{"missing", "train", []string{"no such file or folder"}},
		{"partial", "train", []string{"CIFAR-10 train", "data_batch_2.bin is missing"}},
		{"partial", "test", []string{"no test images found"}},
		{"two", "train", []string{"CIFAR-10 (data_batch_1.bin)", "SVHN (train_32x32.mat)", "name one"}},
		{"empty", "train", []string{"data_batch_1.bin", "cifar-10-batches-bin", "train.bin", "train_32x32.mat", "cifar-10-binary.tar.gz", "cifar10-jpeg.tar.gz"}},
		{"complete/test_batch.bin", "train", []string{"holds test images by its name"}},
		{"complete/data_batch_2.bin", "test", []string{"holds train images by its name"}},
		{"text.txt", "test", []string{"5 bytes are no whole number"}},
	} {
		t.Run(c.path+" "+c.split, func(t *testing.T) {
			_, err := Open(filepath.Join(dir, c.path), c.split)
			checkError(t, err, c.want...)
		})
	}
	if f := Find(filepath.Join(dir, "two")); len(f) != 2 || fmt.Sprint(f[0].Split, f[1].Split) != "[train test] [train]" {
		t.Errorf("Find gives %v, want CIFAR-10 with two splits and SVHN with one", f)
	}
}

// TestOpenRealCopy reads the whole JPEG copy and compares it with the exact images where both are on this machine.
func TestOpenRealCopy(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 60,000 images")
	}
	shared := filepath.Join("..", "..", "shared", "data")
	archive := filepath.Join(shared, "cifar10-jpeg.tar.gz")
	if !isFile(archive) {
		t.Skip("no JPEG copy of CIFAR-10 on this machine")
	}
	exact, err := Open(filepath.Join(shared, "cifar10-exact-subset"), "test")
	if err != nil {
		t.Fatal(err)
	}
	for split, n := range map[string]int{"train": 50000, "test": 10000} {
		s, err := Open(archive, split)
		if err != nil {
			t.Fatal(err)
		}
		if s.Len() != n || len(s.Images) != n*imageLen {
			t.Fatalf("%s: %d images, want %d", split, s.Len(), n)
		}
		var counts [10]int
		for _, l := range s.Labels {
			counts[l]++
		}
		for c, k := range counts {
			if k != n/10 {
				t.Errorf("%s: %d images of class %d, want %d", split, k, c, n/10)
			}
		}
		if split == "train" {
			continue
		}
		// Image k of a class is the k-th of its class in the official order; JPEG costs about 30 dB.
		var next [10]int
		var sum float64
		for i, l := range exact.Labels {
			for p, v := range s.Image(10*next[l] + int(l)) {
				d := float64(v) - float64(exact.Image(i)[p])
				sum += d * d
			}
			next[l]++
		}
		if mse := sum / float64(len(exact.Images)); mse > 70 { // 29.7 dB
			t.Errorf("mean squared difference to the exact images is %.1f, want 70 at most", mse)
		}
	}
}
