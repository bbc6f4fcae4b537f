package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"image"
	"image/jpeg"
	"testing"
)

// tarball packs entries; a file has a body and the type of a zero Typeflag.
func tarball(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.body)), Typeflag: e.kind, Linkname: e.link}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type tarEntry struct {
	name string
	body []byte
	kind byte
	link string
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// jpegFile is a JPEG image of one grey level.
func jpegFile(t testing.TB, w, h int, grey uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = grey
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// official10 are the entries of a small cifar-10-binary.tar.gz, out of order as in the real one: batch i has two records with label i.
func official10() []tarEntry {
	batch := func(label int32) []byte { return cifarFile(&cifar10, 2, func(int) int32 { return label }) }
	return []tarEntry{
		{name: "cifar-10-batches-bin/", kind: tar.TypeDir},
		{name: "cifar-10-batches-bin/data_batch_4.bin", body: batch(4)},
		{name: "cifar-10-batches-bin/readme.html", body: []byte("<html>")},
		{name: "cifar-10-batches-bin/test_batch.bin", body: batch(9)},
		{name: "cifar-10-batches-bin/data_batch_3.bin", body: batch(3)},
		{name: "cifar-10-batches-bin/batches.meta.txt", body: []byte("airplane\n")},
		{name: "cifar-10-batches-bin/data_batch_2.bin", body: batch(2)},
		{name: "cifar-10-batches-bin/data_batch_5.bin", body: batch(5)},
		{name: "cifar-10-batches-bin/data_batch_1.bin", body: batch(1)},
	}
}

func TestArchiveOfficial(t *testing.T) {
	entries100 := []tarEntry{
		{name: "cifar-100-binary/train.bin", body: cifarFile(&cifar100, 3, func(i int) int32 { return int32(97 + i) })},
		{name: "cifar-100-binary/test.bin", body: cifarFile(&cifar100, 1, func(int) int32 { return 42 })},
		{name: "cifar-100-binary/fine_label_names.txt", body: []byte("apple\n")},
	}
	for _, c := range []struct {
		name, split string
		entries     []tarEntry
		want        []int32
	}{
		{"CIFAR-10", "train", official10(), []int32{1, 1, 2, 2, 3, 3, 4, 4, 5, 5}},
		{"CIFAR-10", "test", official10(), []int32{9, 9}},
		{"CIFAR-100", "train", entries100, []int32{97, 98, 99}},
		{"CIFAR-100", "test", entries100, []int32{42}},
	} {
		plain := tarball(t, c.entries...)
		for _, f := range []struct {
			file    string
			content []byte
		}{{"any-name.tar.gz", gzipped(t, plain)}, {"a.tar", plain}, {"no-suffix", gzipped(t, plain)}} {
			s, err := Open(write(t, t.TempDir(), f.file, f.content), c.split)
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != c.name || s.Split != c.split || fmt.Sprint(s.Labels) != fmt.Sprint(c.want) || len(s.Images) != len(c.want)*imageLen {
				t.Errorf("%s %s: got %s %s, labels %v, want %v", c.name, c.split, s.Name, s.Split, s.Labels, c.want)
			}
		}
	}
}

func TestArchiveJPEG(t *testing.T) {
	b := tarball(t,
		tarEntry{name: "./train/", kind: tar.TypeDir},
		tarEntry{name: "./train/cat/10000.jpg", body: jpegFile(t, 32, 32, 30)},
		tarEntry{name: "./train/cat/0002.jpg", body: jpegFile(t, 32, 32, 20)},
		tarEntry{name: "./train/cat/0001.jpg", body: jpegFile(t, 32, 32, 10)},
		tarEntry{name: "./test/cat/0001.jpg", body: jpegFile(t, 32, 32, 99)},
		tarEntry{name: "./train/airplane/0007.JPG", body: jpegFile(t, 32, 32, 40)},
	)
	s, err := readArchive(bytes.NewReader(gzipped(t, b)), "train", "f")
	if err != nil {
		t.Fatal(err)
	}
	var grey []uint8
	for i := range s.Len() {
		grey = append(grey, s.Image(i)[1500])
	}
	// Grey images of one level survive JPEG. Classes alternate; inside one the names are ordered.
	if fmt.Sprint(s.Labels, grey) != "[0 3 3 3] [40 10 20 30]" || s.Name != jpegName {
		t.Errorf("labels and grey levels %v %v, name %q", s.Labels, grey, s.Name)
	}
}

func TestJPEGColours(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for i := range img.Pix {
		img.Pix[i] = []uint8{200, 100, 50, 255}[i%4]
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	got, err := decodeJPEG(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if want := []int{200, 100, 50}[i%3]; max(int(v)-want, want-int(v)) > 2 {
			t.Fatalf("byte %d is %d, want %d", i, v, want)
		}
	}
	ycc := image.NewYCbCr(image.Rect(0, 0, 32, 32), image.YCbCrSubsampleRatio420)
	for i := range ycc.Y {
		ycc.Y[i] = uint8(i % 251)
	}
	for i := range ycc.Cb {
		ycc.Cb[i], ycc.Cr[i] = 128, 128
	}
	out := make([]uint8, imageLen)
	fromYCC420(out, ycc)
	for i := range out {
		if want := uint8(i / 3 % 251); out[i] != want {
			t.Fatalf("neutral chroma: byte %d is %d, want the luma %d", i, out[i], want)
		}
	}
}

func TestEnlargeLinear(t *testing.T) {
	// A ramp is reproduced by linear interpolation, at the quarter points between the samples.
	var src [256]uint8
	for i := range src {
		src[i] = uint8(4*(i%16) + 8*(i/16))
	}
	var dst [Height * Width]uint8
	enlarge(&dst, src[:], 16)
	for y := 1; y < Height-1; y++ {
		for x := 1; x < Width-1; x++ {
			if got, want := int(dst[y*Width+x]), 2*x-1+4*y-2; got != want {
				t.Fatalf("(%d, %d) is %d, want %d", y, x, got, want)
			}
		}
	}
	if dst[0] != 0 {
		t.Errorf("corner is %d, want the corner sample 0", dst[0])
	}
}

func TestArchiveDamage(t *testing.T) {
	good := gzipped(t, tarball(t, official10()...))
	flipped := bytes.Clone(good)
	flipped[len(flipped)-6] ^= 255 // the checksum of gzip
	one := func(e tarEntry) []byte { return gzipped(t, tarball(t, append(official10(), e)...)) }
	jpg := jpegFile(t, 32, 32, 1)
	var huge bytes.Buffer // declared, but not there
	if err := tar.NewWriter(&huge).WriteHeader(&tar.Header{Name: "train.bin", Typeflag: tar.TypeReg, Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		content []byte
		want    []string
	}{
		{"cut off", good[:len(good)/2], []string{"unexpected EOF"}},
		{"cut in the last bytes", good[:len(good)-3], []string{"damaged before offset", "unexpected EOF"}},
		{"checksum", flipped, []string{"damaged before offset", "checksum"}},
		{"gzip of something else", gzipped(t, bytes.Repeat([]byte("no tar"), 500)), []string{"damaged", "tar"}},
		{"empty tar", gzipped(t, tarball(t)), []string{"nothing of the split train found", "data_batch_1.bin", "train/<class>/<name>.jpg"}},
		{"only test", gzipped(t, tarball(t, official10()[3])), []string{"nothing of the split train found"}},
		{"batch missing", gzipped(t, tarball(t, official10()[:6]...)), []string{"data_batch_1.bin is missing"}},
		{"twice", one(official10()[1]), []string{"data_batch_4.bin occurs twice"}},
		{"traversal", one(tarEntry{name: "../../etc/passwd", body: []byte("x")}), []string{`"../../etc/passwd"`, "out of the archive"}},
		{"traversal inside", one(tarEntry{name: "a/../../b", body: []byte("x")}), []string{"out of the archive"}},
		{"absolute", one(tarEntry{name: "/etc/passwd", body: []byte("x")}), []string{`"/etc/passwd"`, "out of the archive"}},
		{"backslash", one(tarEntry{name: `..\b`, body: []byte("x")}), []string{"out of the archive"}},
		{"symbolic link", one(tarEntry{name: "data_batch_6.bin", kind: tar.TypeSymlink, link: "/etc/passwd"}), []string{"link", "/etc/passwd"}},
		{"hard link", one(tarEntry{name: "x", kind: tar.TypeLink, link: "data_batch_1.bin"}), []string{"link"}},
		{"device", one(tarEntry{name: "x", kind: tar.TypeChar}), []string{"type '3'"}},
		{"two sets", one(tarEntry{name: "train/cat/0.jpg", body: jpg}), []string{"several data sets", "CIFAR-10, CIFAR-10 (JPEG copy)"}},
		{"cut record", gzipped(t, tarball(t, tarEntry{name: "train.bin", body: make([]byte, 3074+5)})), []string{"train.bin: offset 3074", "record 1"}},
		{"label", gzipped(t, tarball(t, tarEntry{name: "train.bin", body: bytes.Repeat([]byte{100}, 3074)})), []string{"offset 0", "label 100"}},
		{"huge", gzipped(t, huge.Bytes()), []string{"1099511627776 bytes, want at most"}},
		{"size of image", gzipped(t, tarball(t, tarEntry{name: "train/cat/0.jpg", body: jpegFile(t, 33, 32, 1)})), []string{"train/cat/0.jpg", "33x32"}},
		{"enormous image", gzipped(t, tarball(t, tarEntry{name: "train/cat/0.jpg", body: resized(jpg, 65535)})), []string{"65535x65535"}},
		{"broken image", gzipped(t, tarball(t, tarEntry{name: "train/cat/0.jpg", body: jpg[:len(jpg)/2]})), []string{"train/cat/0.jpg", "EOF"}},
		{"big image file", gzipped(t, tarball(t, tarEntry{name: "train/cat/0.jpg", body: make([]byte, maxJPEG+1)})), []string{"65537 bytes, want at most 65536"}},
		{"unknown class", gzipped(t, tarball(t, tarEntry{name: "train/lynx/0.jpg", body: jpg})), []string{`class folder "lynx"`, "airplane"}},
		{"unknown split", gzipped(t, tarball(t, tarEntry{name: "val/cat/0.jpg", body: jpg})), []string{`split "val"`}},
		{"no class", gzipped(t, tarball(t, tarEntry{name: "train/0.jpg", body: jpg})), []string{"<split>/<class>/<name>.jpg"}},
		{"image twice", gzipped(t, tarball(t, tarEntry{name: "train/cat/0.jpg", body: jpg}, tarEntry{name: "./train/cat/0.jpg", body: jpg})), []string{"occurs twice"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "f.tar.gz", c.content)
			_, err := Open(path, "train")
			checkError(t, err, append(c.want, path)...)
		})
	}
}

// resized overwrites the dimensions in the frame header of a JPEG file.
func resized(file []byte, side uint16) []byte {
	b := bytes.Clone(file)
	i := bytes.Index(b, []byte{0xff, 0xc0})
	for k := range 2 {
		b[i+5+2*k], b[i+6+2*k] = byte(side>>8), byte(side)
	}
	return b
}

func TestArchiveExpands(t *testing.T) {
	b := gzipped(t, tarball(t, tarEntry{name: "zeros.txt", body: make([]byte, 1<<20)}))
	_, err := readArchiveLimited(bytes.NewReader(b), "train", "f", 1<<18)
	checkError(t, err, "expands to more than 262144 bytes")
	// After the end of the tar stream, too.
	b = gzipped(t, append(tarball(t, official10()...), make([]byte, 1<<20)...))
	_, err = readArchiveLimited(bytes.NewReader(b), "train", "f", 1<<18)
	checkError(t, err, "expands to more than 262144 bytes")
}
