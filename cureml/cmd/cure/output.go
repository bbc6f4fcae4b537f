package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// checkOutput finds out early whether a result can be written to path, before hours of work; an empty path is no output.
func checkOutput(flag, path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return usage("--%s: %s is a folder: want the name of a file", flag, path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return usage("--%s: %w", flag, err)
	}
	switch info, err := os.Stat(filepath.Dir(path)); {
	case err != nil:
		return usage("--%s: %s: there is no folder %s", flag, path, filepath.Dir(path))
	case !info.IsDir():
		return usage("--%s: %s: %s is not a folder", flag, path, filepath.Dir(path))
	}
	return nil
}

// differentOutputs refuses two results in one file; each has its flag and its path.
func differentOutputs(results [][2]string) error {
	flags := map[string]string{}
	for _, r := range results {
		flag, path := r[0], filepath.Clean(r[1])
		if info, err := os.Stat(path); r[1] == "" || err == nil && !info.IsDir() && !info.Mode().IsRegular() {
			continue // none, or a device, which takes several
		}
		if other, taken := flags[path]; taken {
			return usage("--%s and --%s: both would be %s: want two files", other, flag, path)
		}
		flags[path] = flag
	}
	return nil
}

// writeJSON is writeFile for v as JSON.
func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'))
}

// writeFile writes text to path, complete or not at all. A device or pipe, such as /dev/stdout, is written to as it is.
func writeFile(path string, text []byte) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeDevice(path, text)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	// The folder is named because renameio would otherwise try the system's temporary one.
	return renameio.WriteFile(path, text, 0o644, renameio.WithTempDir(filepath.Dir(path)), renameio.WithExistingPermissions())
}

func writeDevice(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
