package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"cure/attacks"
	"cure/data"
)

// checkImages finds out early whether adversarial images can be saved at path: an .npz file, or a folder that does not
// exist yet or is empty.
func checkImages(path string) error {
	if path == "" || isNPZ(path) {
		return checkOutput("save", path)
	}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkOutput("save", path)
	case err != nil:
		return usage("--save: %s: want an .npz file or a folder", path)
	case len(entries) > 0:
		return usage("--save: the folder %s is not empty", path)
	}
	return nil
}

func isNPZ(path string) bool { return strings.EqualFold(filepath.Ext(path), ".npz") }

// saveImages writes what the attacks returned; first is the number of the first record.
func saveImages(path string, r *attacks.Report, part *data.Set, first int) error {
	if isNPZ(path) {
		text, err := packImages(r, part, first)
		if err != nil {
			return err
		}
		return writeFile(path, text)
	}
	return savePictures(path, r, part, first)
}

// packImages is an npz archive: records and labels int32 [N], and of each attack adv_NAME float32 [N, H, W, C] and
// robust_NAME uint8 [N]. Images are the exact ones that were judged. (github.com/sbinet/npyio writes float32 arrays of
// one axis only.)
func packImages(r *attacks.Report, part *data.Set, first int) ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	records := make([]int32, part.Len())
	for i := range records {
		records[i] = int32(first + i)
	}
	add := func(name, dtype string, values any, shape ...int) error {
		w, err := archive.Create(name + ".npy")
		if err != nil {
			return err
		}
		if _, err := w.Write(data.NPYHeader(dtype, shape...)); err != nil {
			return err
		}
		return binary.Write(w, binary.LittleEndian, values)
	}
	err := errors.Join(add("records", "<i4", records, part.Len()), add("labels", "<i4", part.Labels, part.Len()))
	for _, a := range r.Attacks {
		robust := make([]uint8, len(a.RobustFlags))
		for i, v := range a.RobustFlags {
			if v {
				robust[i] = 1
			}
		}
		err = errors.Join(err, add("adv_"+a.Name, "<f4", a.Adv, part.Len(), data.Height, data.Width, data.Channels), add("robust_"+a.Name, "|u1", robust, part.Len()))
	}
	err = errors.Join(err, archive.Close()) // writes the directory of the archive
	return out.Bytes(), err
}

// savePictures writes DIR/ATTACK/RECORD.png, rounded to 8 bits, which may undo an attack: the exact images are in an npz.
func savePictures(dir string, r *attacks.Report, part *data.Set, first int) error {
	d := data.Height * data.Width * data.Channels
	for _, a := range r.Attacks {
		if err := os.MkdirAll(filepath.Join(dir, a.Name), 0o755); err != nil {
			return err
		}
		for i := range part.Len() {
			var out bytes.Buffer
			if err := png.Encode(&out, picture(a.Adv[i*d:(i+1)*d])); err != nil {
				return err
			}
			if err := writeFile(filepath.Join(dir, a.Name, fmt.Sprintf("%05d.png", first+i)), out.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

func picture(pixels []float32) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, data.Width, data.Height))
	for y := range data.Height {
		for x := range data.Width {
			var rgb [3]uint8
			for c := range rgb {
				rgb[c] = uint8(math.Round(255 * float64(pixels[(y*data.Width+x)*data.Channels+c])))
			}
			img.SetNRGBA(x, y, color.NRGBA{rgb[0], rgb[1], rgb[2], 255})
		}
	}
	return img
}
