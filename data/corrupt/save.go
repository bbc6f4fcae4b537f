package corrupt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"cure/data"
)

// SaveOptions say what Save writes. The zero value writes all 19 corruptions with seed 0.
type SaveOptions struct {
	Names    []string // corruptions; nil is all of them
	Seed     uint64
	First    int // index of the first image, for a part of a larger set
	Workers  int // as in Options
	Progress func(name string, severity int)
}

// Save writes corrupted images of s to the new folder dir in the layout of CIFAR-10-C, see [data.Corrupted]: NAME.npy, bytes
// [5 N, 32, 32, 3], for each corruption; labels.npy, bytes [5 N]; and [data.CorruptedInfoFile] with the seed and the
// SHA-256 of each file. dir must not exist or be empty. The files are made in a hidden folder beside dir and
// appear together when all are complete; on an error, or when ctx ends, nothing is left.
func Save(ctx context.Context, dir string, s *data.Set, o SaveOptions) (err error) {
	list := o.Names
	if list == nil {
		list = names(corruptions)
	}
	if err := checkSave(dir, s, list, o); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("corrupt: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*.tmp")
	if err != nil {
		return fmt.Errorf("corrupt: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
			err = fmt.Errorf("corrupt: %w", err)
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	info := data.CorruptedInfo{Set: s.Name, Split: s.Split, Records: [2]int{o.First, o.First + s.Len()}, Classes: s.Classes, Seed: o.Seed,
		SHA256: map[string]string{}}
	write := func(name string, content func(io.Writer) error) error {
		sum, err := writeSynced(filepath.Join(tmp, name), content)
		info.SHA256[name] = sum
		return err
	}
	if err := write("labels.npy", func(w io.Writer) error { return saveLabels(w, s) }); err != nil {
		return err
	}
	for _, name := range list {
		if err := write(name+".npy", func(w io.Writer) error { return saveImages(ctx, w, s, name, o) }); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	_, err = writeSynced(filepath.Join(tmp, data.CorruptedInfoFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	return publish(tmp, dir)
}

func checkSave(dir string, s *data.Set, list []string, o SaveOptions) error {
	for i, name := range list {
		if _, err := Lookup(name); err != nil {
			return err
		}
		if slices.Contains(list[:i], name) {
			return fmt.Errorf("corrupt: %s appears twice", name)
		}
		if err := check(name, 1, o.First, o.Workers); err != nil {
			return err
		}
	}
	if len(list) == 0 || s.Len() == 0 || len(s.Images) != s.Len()*imageLen {
		return fmt.Errorf("corrupt: %d corruptions of %d images in %d bytes: want at least one of each, %d bytes an image", len(list), s.Len(), len(s.Images), imageLen)
	}
	for i, l := range s.Labels {
		if l < 0 || l > 255 {
			return fmt.Errorf("corrupt: label %d of image %d does not fit a byte", l, i)
		}
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("corrupt: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("corrupt: the folder %s is not empty", dir)
	}
	return nil
}

func saveLabels(w io.Writer, s *data.Set) error {
	b := data.NPYHeader("|u1", Severities*s.Len())
	for range Severities {
		for _, l := range s.Labels {
			b = append(b, byte(l))
		}
	}
	_, err := w.Write(b)
	return err
}

// saveImages writes severity after severity, so that one is in memory at a time.
func saveImages(ctx context.Context, w io.Writer, s *data.Set, name string, o SaveOptions) error {
	c, err := Lookup(name)
	if err != nil {
		return err
	}
	if _, err := w.Write(data.NPYHeader("|u1", Severities*s.Len(), side, side, channels)); err != nil {
		return err
	}
	images := make([]uint8, len(s.Images))
	for severity := 1; severity <= Severities; severity++ {
		if err := c.run(ctx, images, s.Images, severity, Options{Seed: o.Seed, First: o.First, Workers: o.Workers}); err != nil {
			return err
		}
		if _, err := w.Write(images); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(name, severity)
		}
	}
	return nil
}

// writeSynced makes a new file that is on the disk when it returns, and its SHA-256.
func writeSynced(path string, content func(io.Writer) error) (sum string, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	err = content(io.MultiWriter(f, hash))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// publish gives the complete folder its name, in place of an empty one.
func publish(tmp, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(tmp, dir)
}
