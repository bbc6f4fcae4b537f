package data

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// corruptedFolder writes a folder like CIFAR-10-C with n images: byte k of the image i at severity s is s + i + k.
func corruptedFolder(t *testing.T, n int, label func(i int) int) string {
	t.Helper()
	dir := t.TempDir()
	labels, images := NPYHeader("<i8", 5*n), NPYHeader("|u1", 5*n, 32, 32, 3)
	for s := range 5 {
		for i := range n {
			labels = append(labels, byte(label(i)), 0, 0, 0, 0, 0, 0, 0)
			for k := range imageLen {
				images = append(images, byte(s+1+i+k))
			}
		}
	}
	writeTo(t, dir, "labels.npy", labels)
	writeTo(t, dir, "fog.npy", images)
	writeTo(t, dir, "snow.npy", images)
	return dir
}

func writeTo(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCorrupted(t *testing.T) {
	for _, tc := range []struct {
		name    string
		classes int
		label   func(i int) int
	}{
		{"CIFAR-10-C", 10, func(i int) int { return 9 - i }},
		{"CIFAR-100-C", 100, func(i int) int { return 9 + i }},
	} {
		c, err := OpenCorrupted(corruptedFolder(t, 3, tc.label))
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != tc.name || c.Split != "test" || len(c.Classes) != tc.classes || c.Len() != 3 || !slices.Equal(c.Names, []string{"fog", "snow"}) {
			t.Errorf("%+v", c)
		}
		for s := 1; s <= 5; s++ {
			set, err := c.Set("fog", s)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if img := set.Image(i); img[0] != byte(s+i) || img[imageLen-1] != byte(s+i+imageLen-1) || set.Labels[i] != int32(tc.label(i)) {
					t.Errorf("severity %d image %d: bytes %d to %d, label %d", s, i, img[0], img[imageLen-1], set.Labels[i])
				}
			}
			if set.Len() != 3 || set.Split != "test" || !strings.HasPrefix(set.Name, tc.name+", fog severity ") {
				t.Errorf("%d images, %s %s", set.Len(), set.Name, set.Split)
			}
		}
		for _, bad := range []struct {
			name     string
			severity int
			want     string
		}{
			{"fog", 0, "fog: severity 0: want 1 to 5"},
			{"fog", 6, "fog: severity 6: want 1 to 5"},
			{"frost", 1, `no corruption "frost": want one of fog, snow`},
			{"../fog", 1, `no corruption "../fog"`},
			{"labels", 1, `no corruption "labels"`},
		} {
			if _, err := c.Set(bad.name, bad.severity); err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Errorf("%s %d: error %v, want %q", bad.name, bad.severity, err, bad.want)
			}
		}
	}
}

func TestCorruptedInfo(t *testing.T) {
	dir := corruptedFolder(t, 2, func(i int) int { return i })
	writeTo(t, dir, CorruptedInfoFile, []byte(`{"set": "SVHN", "split": "train", "classes": ["0", "1"]}`))
	c, err := OpenCorrupted(dir)
	if err != nil || c.Name != "SVHN" || c.Split != "train" || len(c.Classes) != 2 || c.First != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	writeTo(t, dir, CorruptedInfoFile, []byte(`{"set": "SVHN", "records": [7, 9], "classes": ["0", "1"]}`))
	if c, err := OpenCorrupted(dir); err != nil || c.First != 7 {
		t.Errorf("records 7 and 8: %+v, %v", c, err)
	}
	for text, want := range map[string]string{
		`{"set": "SVHN", "classes": ["0"]}`: "label 1 of image 1: want 0 to 0 (SVHN)",
		`{"set": "SVHN"}`:                   "set or classes are missing",
		`{"set": `:                          "corruptions.json: unexpected end of JSON input",
		`{"set": "SVHN", "records": [7, 8], "classes": ["0", "1"]}`:  "records [7 8] for 2 images: want as many as from a to b-1, or none",
		`{"set": "SVHN", "records": [-2, 0], "classes": ["0", "1"]}`: "records [-2 0] for 2 images",
	} {
		writeTo(t, dir, CorruptedInfoFile, []byte(text))
		if _, err := OpenCorrupted(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func TestCorruptedRefuses(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	for name, c := range map[string]struct {
		file string
		b    []byte
		want string
	}{
		"no labels":     {"labels.npy", nil, "labels.npy: no such file: want a folder with labels.npy and one .npy file for each corruption"},
		"7 labels":      {"labels.npy", append(NPYHeader("|u1", 7), zeros(7)...), "labels [7]: want [N] with N a multiple of 5"},
		"no label":      {"labels.npy", NPYHeader("|u1", 0), "labels [0]"},
		"labels 2-D":    {"labels.npy", append(NPYHeader("|u1", 10, 1), zeros(10)...), "labels [10 1]"},
		"label 100":     {"labels.npy", append(NPYHeader("|u1", 10), append(zeros(9), 100)...), "label 100 of image 9: want 0 to 99 (CIFAR-100-C)"},
		"label -1":      {"labels.npy", append(NPYHeader("|i1", 10), append(zeros(9), 255)...), "label -1 of image 9"},
		"labels cut":    {"labels.npy", append(NPYHeader("<i8", 10), zeros(79)...), "79 bytes follow the header, want 80"},
		"images cut":    {"fog.npy", append(NPYHeader("|u1", 10, 32, 32, 3), zeros(10*imageLen-1)...), "30719 bytes follow the header, want 30720"},
		"fewer images":  {"fog.npy", append(NPYHeader("|u1", 5, 32, 32, 3), zeros(5*imageLen)...), "array of |u1 [5 32 32 3]: want |u1 [10 32 32 3]"},
		"planes first":  {"fog.npy", append(NPYHeader("|u1", 10, 3, 32, 32), zeros(10*imageLen)...), "array of |u1 [10 3 32 32]"},
		"column-major":  {"fog.npy", append(bytes.Replace(NPYHeader("|u1", 10, 32, 32, 3), []byte("False"), []byte("True "), 1), zeros(10*imageLen)...), "column-major true: want integers, false"},
		"too large":     {"fog.npy", NPYHeader("|u1", 1<<40, 1<<40), "too large"},
		"signed images": {"fog.npy", append(NPYHeader("|i1", 10, 32, 32, 3), zeros(10*imageLen)...), "array of |i1"},
		"no array":      {"fog.npy", []byte("PK\x03\x04"), "npy header: "},
	} {
		dir := corruptedFolder(t, 2, func(i int) int { return i })
		if writeTo(t, dir, c.file, c.b); c.b == nil {
			if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
		}
		set, err := OpenCorrupted(dir)
		if err == nil {
			_, err = set.Set("fog", 1)
		}
		if err == nil || !strings.HasPrefix(err.Error(), "data: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	dir := t.TempDir()
	writeTo(t, dir, "labels.npy", append(NPYHeader("|u1", 5), 0, 0, 0, 0, 0))
	if _, err := OpenCorrupted(dir); err == nil || !strings.Contains(err.Error(), "no other .npy file") {
		t.Errorf("labels only: error %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "fog.npy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if c, err := OpenCorrupted(dir); err != nil {
		t.Error(err)
	} else if _, err := c.Set("fog", 1); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("folder fog.npy: error %v", err)
	}
	if set, err := OpenCorrupted(filepath.Join(dir, "none")); err == nil || set != nil {
		t.Error("no folder: no error")
	}
}

func TestDecodeJPEGErrors(t *testing.T) {
	if p, err := DecodeJPEG(jpegFile(t, 16, 32, 90)); p != nil || err == nil || err.Error() != "data: jpeg: image of 16x32 pixels, want 32x32" {
		t.Errorf("16x32: %v", err)
	}
	if p, err := DecodeJPEG(jpegFile(t, 32, 32, 90)); err != nil || bytes.Equal(p, make([]byte, imageLen)) {
		t.Errorf("32x32: %v", err)
	}
}
