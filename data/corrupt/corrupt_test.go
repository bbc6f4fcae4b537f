package corrupt

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"cure/data/mini"
)

func TestCatalogue(t *testing.T) {
	count := map[Group]int{}
	for _, c := range Benchmark() {
		count[c.Group]++
	}
	if count[Noise] != 3 || count[Blur] != 4 || count[Weather] != 4 || count[Digital] != 4 || len(All()) != 19 {
		t.Errorf("%v of %d corruptions", count, len(All()))
	}
	All()[0].Name = "changed"
	if _, err := Lookup("gaussian_noise"); err != nil {
		t.Error("All gives its own list away")
	}
}

// TestPureFunction: the image depends on all of its arguments if the corruption is random, else on image, name and severity.
func TestPureFunction(t *testing.T) {
	for _, c := range All() {
		base := corrupted(t, c.Name, 3, 1, 5)
		if !bytes.Equal(base, corrupted(t, c.Name, 3, 1, 5)) {
			t.Errorf("%s: not a function of its arguments", c.Name)
		}
		if bytes.Equal(base, corrupted(t, c.Name, 2, 1, 5)) || bytes.Equal(base, mini.Test().Image(5)) {
			t.Errorf("%s: the severity does not matter", c.Name)
		}
		if bytes.Equal(base, corrupted(t, c.Name, 3, 2, 5)) == c.Random {
			t.Errorf("%s: seeds 1 and 2, want equal images: %v", c.Name, !c.Random)
		}
		other, place := make([]uint8, imageLen), slices.Clone(mini.Test().Image(5))
		if err := errors.Join(Image(other, place, c.Name, 3, 1, 6), Image(place, place, c.Name, 3, 1, 5)); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(base, other) == c.Random {
			t.Errorf("%s: indices 5 and 6, want equal images: %v", c.Name, !c.Random)
		}
		if !bytes.Equal(base, place) {
			t.Errorf("%s: another image when written over its source", c.Name)
		}
	}
}

// TestWorkersAndOrder: image i of a set is Image(i), however many workers there are and wherever the part begins.
func TestWorkersAndOrder(t *testing.T) {
	set := mini.Test()
	for _, c := range All() {
		var want []uint8
		for i := range 8 {
			want = append(want, corrupted(t, c.Name, 5, 3, i)...)
		}
		for _, workers := range []int{0, 1, 5} {
			for _, first := range []int{0, 3} {
				part, err := set.Slice(first, 8)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Set(t.Context(), part, c.Name, 5, Options{Seed: 3, First: first, Workers: workers})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Images, want[first*imageLen:]) {
					t.Errorf("%s: %d workers from image %d: other images than one by one", c.Name, workers, first)
				}
				if !slices.Equal(got.Labels, part.Labels) || got.Name != set.Name+", "+c.Name+" severity 5" || part.Name != set.Name {
					t.Errorf("%s: name %q, labels %v", c.Name, got.Name, got.Labels)
				}
			}
		}
	}
}

// TestHarder: the mean PSNR over 32 images falls with the severity, except where it does not in the reference values either.
func TestHarder(t *testing.T) {
	except := map[string][]int{ // severities not worse than the one before
		"glass_blur": {2, 3, 5}, "motion_blur": {4}, "frost": {4, 5}, "elastic_transform": {2, 3, 4, 5}, "spatter": {4}, "saturate": {3},
	}
	const n = 32
	clean := mini.Test().Images[:n*imageLen]
	for _, c := range All() {
		before := 0.0
		for s := 1; s <= Severities; s++ {
			images, err := Images(t.Context(), clean, c.Name, s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			mean := 0.0
			for i := 0; i < len(images); i += imageLen {
				mean += min(psnr(images[i:i+imageLen], clean[i:i+imageLen]), 60) / n
			}
			if s > 1 && mean >= before && !slices.Contains(except[c.Name], s) {
				t.Errorf("%s: mean PSNR %.2f dB at severity %d, %.2f at %d", c.Name, mean, s, before, s-1)
			}
			before = mean
		}
	}
}

// TestFlatImages: what has no contrast stays flat where nothing is added, and nothing fails on black or white.
func TestFlatImages(t *testing.T) {
	flatter := strings.Fields("defocus_blur glass_blur motion_blur zoom_blur brightness contrast elastic_transform pixelate jpeg_compression gaussian_blur saturate")
	for _, level := range []uint8{0, 1, 128, 255} {
		src := bytes.Repeat([]byte{level}, imageLen)
		for _, c := range All() {
			for s := 1; s <= Severities; s++ {
				dst := make([]uint8, imageLen)
				if err := Image(dst, src, c.Name, s, 0, 0); err != nil {
					t.Fatal(err)
				}
				for i, v := range dst { // a difference of 1 is a last bit before the fraction is dropped
					if first := dst[i%channels]; slices.Contains(flatter, c.Name) && max(v, first)-min(v, first) > 1 {
						t.Fatalf("%s severity %d of a flat image %d: %d and %d in a channel", c.Name, s, level, first, v)
					}
				}
				low, high := slices.Min(dst), slices.Max(dst)
				if blur := c.Group == Blur || c.Name == "contrast" || c.Name == "pixelate"; blur && (int(low) < int(level)-2 || high > level) {
					t.Errorf("%s severity %d of a flat image %d: from %d to %d", c.Name, s, level, low, high)
				}
			}
		}
	}
	black := make([]uint8, imageLen)
	for _, name := range []string{"shot_noise", "speckle_noise", "fog", "contrast"} { // in proportion to the image
		dst := bytes.Repeat([]byte{7}, imageLen)
		if err := Image(dst, black, name, 5, 0, 0); err != nil || !bytes.Equal(dst, black) {
			t.Errorf("%s of black is not black (error %v)", name, err)
		}
	}
}

// TestDry: water without a drop changes nothing, where the script divides zero by zero.
func TestDry(t *testing.T) {
	src, dst := mini.Test().Image(0), make([]uint8, imageLen)
	water(dst, src, make([]uint8, side*side), 0.5)
	if !bytes.Equal(dst, src) {
		t.Error("the image has changed")
	}
}

func TestRefuses(t *testing.T) {
	image := make([]uint8, imageLen)
	for _, c := range []struct {
		name string
		call func() error
		want string
	}{
		{"name", func() error { return Image(image, image, "rain", 1, 0, 0) },
			`corrupt: unknown corruption "rain": want one of gaussian_noise, shot_noise`},
		{"severity 0", func() error { return Image(image, image, "fog", 0, 0, 0) }, "corrupt: fog: severity 0: want 1 to 5"},
		{"severity 6", func() error { return Image(image, image, "fog", 6, 0, 0) }, "corrupt: fog: severity 6: want 1 to 5"},
		{"index", func() error { return Image(image, image, "fog", 1, 0, -1) }, "index -1: want 0 or more"},
		{"short", func() error { return Image(image, image[1:], "fog", 1, 0, 0) }, "3071 and 3072 bytes: want 3072, [32, 32, 3]"},
		{"short dst", func() error { return Image(nil, image, "fog", 1, 0, 0) }, "3072 and 0 bytes: want 3072"},
		{"shape", func() error {
			_, err := Images(t.Context(), make([]uint8, imageLen+1), "fog", 1, Options{})
			return err
		},
			"3073 bytes are no whole number of images: want [N, 32, 32, 3]"},
		{"set severity", func() error { _, err := Set(t.Context(), mini.Test(), "fog", -1, Options{}); return err }, "severity -1: want 1 to 5"},
		{"set name", func() error { _, err := Set(t.Context(), mini.Test(), "Fog", 1, Options{}); return err }, `unknown corruption "Fog"`},
		{"workers", func() error { _, err := Images(t.Context(), image, "fog", 1, Options{Workers: -1}); return err }, "-1 workers: want 0"},
		{"first", func() error { _, err := Images(t.Context(), image, "fog", 1, Options{First: -1}); return err }, "index -1: want 0 or more"},
	} {
		if err := c.call(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if images, err := Images(ctx, image, "fog", 1, Options{}); !errors.Is(err, context.Canceled) || images != nil {
		t.Errorf("cancelled: error %v", err)
	}
	if images, err := Images(t.Context(), nil, "fog", 1, Options{}); err != nil || len(images) != 0 {
		t.Errorf("no images: %v", err)
	}
}

// BenchmarkImage reports images/s on one core for each corruption, all severities in turn, and for the 19 together.
func BenchmarkImage(b *testing.B) {
	set, out := mini.Test(), make([]uint8, imageLen)
	measure := func(name string, list []Corruption) {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				c := list[i%len(list)]
				if err := Image(out, set.Image(i%64), c.Name, 1+i/len(list)%Severities, 0, i); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
	measure("all", All())
	for _, c := range All() {
		measure(c.Name, []Corruption{c})
	}
}
