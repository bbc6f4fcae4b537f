package data

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// jpegName is the label of results obtained on re-encoded images.
const jpegName = "CIFAR-10 (JPEG copy)"

const (
	maxJPEG       = 64 << 10 // bytes of one 32x32 JPEG file; real ones have about 1 kB
	maxArchiveSet = 100_000  // images of one split in an archive
)

// jpegEntry is one file <split>/<class>/<name>.jpg of an archive.
type jpegEntry struct {
	class  int
	name   string // of the file, without the folder
	path   string // for errors
	file   []byte
	pixels []uint8 // [32, 32, 3], once decoded
	err    error
}

// jpegs collects the entries of an archive and decodes them on all processors while the archive is read on.
type jpegs struct {
	entries []*jpegEntry
	work    chan *jpegEntry
	done    sync.WaitGroup
}

func newJPEGs() *jpegs {
	j := &jpegs{work: make(chan *jpegEntry, 256)}
	for range runtime.GOMAXPROCS(0) {
		j.done.Go(func() {
			for e := range j.work {
				e.pixels, e.err = decodeJPEG(e.file)
				e.file = nil
			}
		})
	}
	return j
}

func (j *jpegs) add(e *jpegEntry) {
	j.entries = append(j.entries, e)
	j.work <- e
}

// wait ends the workers. It must be called exactly once.
func (j *jpegs) wait() {
	close(j.work)
	j.done.Wait()
}

// set is called after wait. Within a class the images stand in the order of their names; the classes alternate
// (airplane, automobile, ..., truck, airplane, ...), so that a range of records is a sample of all classes.
func (j *jpegs) set(split, archive string) (*Set, error) {
	byClass := make([][]*jpegEntry, len(cifar10Classes))
	for _, e := range j.entries {
		if e.err != nil {
			return nil, fmt.Errorf("data: %s: %s: %w", archive, e.path, e.err)
		}
		byClass[e.class] = append(byClass[e.class], e)
	}
	longest := 0
	for _, c := range byClass {
		slices.SortFunc(c, func(a, b *jpegEntry) int {
			return cmp.Or(cmp.Compare(len(a.name), len(b.name)), strings.Compare(a.name, b.name))
		})
		for i := 1; i < len(c); i++ {
			if c[i].name == c[i-1].name {
				return nil, fmt.Errorf("data: %s: %s occurs twice", archive, c[i].path)
			}
		}
		longest = max(longest, len(c))
	}
	s := cifar10.newSet(split)
	s.Name = jpegName
	s.Images = make([]uint8, 0, len(j.entries)*imageLen)
	s.Labels = make([]int32, 0, len(j.entries))
	for i := range longest {
		for class, c := range byClass {
			if i < len(c) {
				s.Images = append(s.Images, c[i].pixels...)
				s.Labels = append(s.Labels, int32(class))
			}
		}
	}
	return s, nil
}

// DecodeJPEG returns the pixels of a 32x32 JPEG file, [32, 32, 3], as libjpeg (and with it Pillow) decodes them: chroma
// that is halved in both directions (4:2:0, the usual form) is enlarged with a triangle filter. Other subsampled chroma, for
// which libjpeg has filters too, is repeated as image/jpeg does. Another size or a damaged file is an error.
func DecodeJPEG(file []byte) ([]uint8, error) {
	pixels, err := decodeJPEG(file)
	if err != nil {
		return nil, fmt.Errorf("data: jpeg: %w", err)
	}
	return pixels, nil
}

// decodeJPEG is DecodeJPEG without the prefix of its errors.
func decodeJPEG(file []byte) ([]uint8, error) {
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	if cfg.Width != Width || cfg.Height != Height {
		return nil, fmt.Errorf("image of %dx%d pixels, want %dx%d", cfg.Width, cfg.Height, Width, Height)
	}
	img, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	if b := img.Bounds(); b.Min != (image.Point{}) || b.Dx() != Width || b.Dy() != Height {
		return nil, errors.New("image bounds differ from the header")
	}
	out := make([]uint8, imageLen)
	if ycc, ok := img.(*image.YCbCr); ok && ycc.SubsampleRatio == image.YCbCrSubsampleRatio420 {
		fromYCC420(out, ycc)
		return out, nil
	}
	for y := range Height {
		for x := range Width {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			copy(out[(y*Width+x)*Channels:], []uint8{c.R, c.G, c.B})
		}
	}
	return out, nil
}

// fromYCC420 converts an image with halved chroma. The chroma planes are enlarged with the triangle filter that libjpeg, and
// with it Pillow and torchvision, use ("fancy upsampling": 3/4 of the nearer and 1/4 of the farther sample in each
// direction); Go's own conversion repeats samples, which is measurably farther from the original images.
func fromYCC420(out []uint8, img *image.YCbCr) {
	var cb, cr [Height * Width]uint8
	enlarge(&cb, img.Cb, img.CStride)
	enlarge(&cr, img.Cr, img.CStride)
	for y := range Height {
		for x := range Width {
			i := y*Width + x
			r, g, b := color.YCbCrToRGB(img.Y[y*img.YStride+x], cb[i], cr[i])
			out[i*Channels], out[i*Channels+1], out[i*Channels+2] = r, g, b
		}
	}
}

// enlarge doubles a 16x16 plane. The alternating roundings are libjpeg's.
func enlarge(dst *[Height * Width]uint8, src []uint8, stride int) {
	const half = Width / 2
	var sum [half]int // weighted sums of two rows, in units of 1/4
	for y := range Height {
		near := y / 2
		far := min(max(near-1+2*(y%2), 0), half-1)
		for x := range sum {
			sum[x] = 3*int(src[near*stride+x]) + int(src[far*stride+x])
		}
		for x := range Width {
			i := x / 2
			j := min(max(i-1+2*(x%2), 0), half-1)
			dst[y*Width+x] = uint8((3*sum[i] + sum[j] + 8 - x%2) >> 4)
		}
	}
}
