package corrupt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cure/data"
	"cure/data/mini"
)

// TestSave: what is written can be read, image by image, and is the same again.
func TestSave(t *testing.T) {
	part, err := mini.Test().Slice(10, 14)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "mini-c")
	var steps int
	o := SaveOptions{Names: []string{"snow", "contrast"}, Seed: 4, First: 10, Progress: func(string, int) { steps++ }}
	if err := Save(t.Context(), dir, part, o); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir); !slices.Equal(got, []string{"contrast.npy", "corruptions.json", "labels.npy", "snow.npy"}) || steps != 10 {
		t.Errorf("files %v, %d steps", got, steps)
	}
	c, err := data.OpenCorrupted(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != mini.Name || c.Split != "test" || c.First != 10 || c.Len() != 4 || !slices.Equal(c.Classes, part.Classes) {
		t.Errorf("%+v", c)
	}
	for _, name := range c.Names {
		for s := 1; s <= Severities; s++ {
			set, err := c.Set(name, s)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(set.Labels, part.Labels) {
				t.Errorf("%s %d: labels %v, want %v", name, s, set.Labels, part.Labels)
			}
			for i := range set.Len() {
				if !bytes.Equal(set.Image(i), corrupted(t, name, s, 4, 10+i)) {
					t.Errorf("%s %d: record %d is not Image with this index", name, s, 10+i)
				}
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, data.CorruptedInfoFile))
	if err != nil {
		t.Fatal(err)
	}
	var info data.CorruptedInfo
	if err := json.Unmarshal(text, &info); err != nil {
		t.Fatal(err)
	}
	if info.Seed != 4 || info.Records != [2]int{10, 14} || len(info.SHA256) != 3 {
		t.Errorf("%+v", info)
	}
	for name, want := range info.SHA256 {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s: another SHA-256 than %s", name, data.CorruptedInfoFile)
		}
	}
	again := t.TempDir() // an empty folder may be there
	o.Workers = 3
	if err := Save(t.Context(), again, part, o); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(again, data.CorruptedInfoFile)); err != nil || !bytes.Equal(b, text) {
		t.Errorf("written again: other hashes (error %v)", err)
	}
}

func TestSaveAll(t *testing.T) {
	part, err := mini.Test().Slice(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "c")
	if err := Save(t.Context(), dir, part, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := len(list(t, dir)); n != 19+2 {
		t.Errorf("%d files, want 21", n)
	}
}

func TestSaveRefuses(t *testing.T) {
	part, err := mini.Test().Slice(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	full := filepath.Join(root, "full")
	if err := errors.Join(os.Mkdir(full, 0o755), os.WriteFile(filepath.Join(full, "x"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	odd := *part
	odd.Labels = []int32{0, 300}
	short := *part
	short.Images = short.Images[1:]
	for _, c := range []struct {
		name, dir string
		set       *data.Set
		o         SaveOptions
		want      string
	}{
		{"full folder", full, part, SaveOptions{}, "is not empty"},
		{"file", filepath.Join(full, "x"), part, SaveOptions{}, "not a directory"},
		{"no parent", filepath.Join(root, "a", "b"), part, SaveOptions{}, "no such file"},
		{"name", filepath.Join(root, "n"), part, SaveOptions{Names: []string{"rain"}}, `unknown corruption "rain"`},
		{"twice", filepath.Join(root, "n"), part, SaveOptions{Names: []string{"fog", "fog"}}, "fog appears twice"},
		{"none", filepath.Join(root, "n"), part, SaveOptions{Names: []string{}}, "0 corruptions"},
		{"workers", filepath.Join(root, "n"), part, SaveOptions{Workers: -2}, "-2 workers"},
		{"label", filepath.Join(root, "n"), &odd, SaveOptions{}, "label 300 of image 1 does not fit a byte"},
		{"images", filepath.Join(root, "n"), &short, SaveOptions{}, "2 images in 6143 bytes"},
	} {
		if err := Save(t.Context(), c.dir, c.set, c.o); err == nil || !strings.HasPrefix(err.Error(), "corrupt: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Save(ctx, filepath.Join(root, "n"), part, SaveOptions{Progress: func(_ string, s int) {
		if s == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || strings.Count(err.Error(), "corrupt: ") != 1 {
		t.Errorf("cancelled: error %v", err)
	}
	if got := list(t, root); !slices.Equal(got, []string{"full"}) {
		t.Errorf("left behind: %v", got)
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o444 != 0o444 && info.Mode()&fs.ModeType == 0 {
			t.Errorf("%s: mode %v (error %v)", e.Name(), info.Mode(), err)
		}
	}
	return names
}

// TestSumsAreChecked changes one byte of a file that Save made: it is found when the file is first used.
func TestSumsAreChecked(t *testing.T) {
	part, err := mini.Test().Slice(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "c")
	if err := Save(t.Context(), dir, part, SaveOptions{Names: []string{"contrast", "pixelate"}}); err != nil {
		t.Fatal(err)
	}
	turn := func(name string) {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err == nil {
			b[len(b)-1] ^= 1
			err = os.WriteFile(path, b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	turn("contrast.npy")
	c, err := data.OpenCorrupted(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Set("contrast", 1); err == nil || !strings.Contains(err.Error(), "contrast.npy: SHA-256 is ") {
			t.Errorf("a changed file: error %v", err)
		}
	}
	if _, err := c.Set("pixelate", 1); err != nil {
		t.Error(err)
	}
	turn("pixelate.npy")
	if _, err := c.Set("pixelate", 2); err != nil {
		t.Errorf("a file that was checked before is checked again: %v", err)
	}
	turn("labels.npy")
	if _, err := data.OpenCorrupted(dir); err == nil || !strings.Contains(err.Error(), "labels.npy: SHA-256 is ") {
		t.Errorf("changed labels: error %v", err)
	}
}
