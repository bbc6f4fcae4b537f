package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// record says what [Setup] installed; it lies beside the plugin as NAME.json.
type record struct {
	Package string // such as "lammps-jax-pjrt-cpu 0.11.2"
	SHA256  string // of the plugin file
	Size    int64
	ModTime int64 // nanoseconds since 1970
}

// checkRecord returns the record of an installed plugin (empty for one that [Setup] did not install) and an error when
// the file is no longer the one that was installed. The hash is computed only when size or time changed.
func checkRecord(path string, info os.FileInfo) (record, error) {
	text, err := os.ReadFile(path + ".json")
	if err != nil {
		return record{}, nil
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil || r.SHA256 == "" {
		return record{}, fmt.Errorf("backend: %s.json is damaged: run 'cure setup' to install the plugin again", path)
	}
	if info.Size() == r.Size && info.ModTime().UnixNano() == r.ModTime {
		return r, nil
	}
	return r, verifyRecord(path, r)
}

// verifyRecord compares the whole file with its record.
func verifyRecord(path string, r record) error {
	got, err := fileSHA256(path)
	if err != nil {
		return fmt.Errorf("backend: %s: %w", path, err)
	}
	if got != r.SHA256 {
		return fmt.Errorf("backend: the plugin %s was changed or damaged after its installation: run 'cure setup' to install it again", path)
	}
	return nil
}

// writeRecord records the plugin at path as it is now.
func writeRecord(path, pkg string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	sum, err := fileSHA256(path)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(record{pkg, sum, info.Size(), info.ModTime().UnixNano()}, "", "  ")
	if err != nil {
		return err
	}
	return writeAtomically(path+".json", append(text, '\n'))
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeAtomically replaces path by a file with this content, or leaves everything as it was.
func writeAtomically(path string, content []byte) error {
	return createAtomically(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// createAtomically writes a file through fill into a temporary file of the same folder and renames it.
func createAtomically(path string, mode os.FileMode, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	err = fill(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
