package data

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestJPEGAgainstPillow compares with the decoder that PyTorch users have. The inverse DCTs differ in rounding, and chroma
// weighs up to 1.8 in the colour conversion, so a few grey levels are allowed at most and far less on average.
func TestJPEGAgainstPillow(t *testing.T) {
	s, err := Open(filepath.Join("testdata", "pillow.tar.gz"), "test")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join("testdata", "pillow.rgb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != jpegName || s.Len() != 20 || len(want) != len(s.Images) {
		t.Fatalf("%s: %d images, %d bytes, want %s: 20 images, %d bytes", s.Name, s.Len(), len(s.Images), jpegName, len(want))
	}
	sum, worst := 0, 0
	for i := range want {
		d := int(want[i]) - int(s.Images[i])
		d = max(d, -d)
		sum += d
		worst = max(worst, d)
	}
	mean := float64(sum) / float64(len(want))
	if worst > 5 || mean > 0.5 {
		t.Errorf("differs from Pillow by up to %d grey levels, %.3f on average, want 5 and 0.5 at most", worst, mean)
	}
	for i, l := range s.Labels {
		if int(l) != i%10 {
			t.Errorf("label %d is %d, want alternating classes", i, l)
		}
	}
}
