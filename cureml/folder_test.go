package cureml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/cureml/mltest"
)

func TestFolderRefusals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	c := smallConfig("natural")
	held, err := openFolder(dir, c, false)
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, c Config, resume bool, want string) {
		t.Helper()
		f, err := openFolder(dir, c, resume)
		if err == nil {
			f.close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", what, err, want)
		}
	}
	refuse("a second process", c, true, "in use by another process")
	held.close()
	refuse("a second run", c, false, "holds a run already")
	changed := c
	changed.Batch = 4
	refuse("another config", changed, true, "batch 8 -> 4")
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte(`{"method":"natural","colour":1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	refuse("an unknown key", c, true, "colour")
}

// TestCorruptCheckpoint: a damaged checkpoint gives one line, and the run folder stays as it was.
func TestCorruptCheckpoint(t *testing.T) {
	c := smallConfig("natural")
	dir := filepath.Join(t.TempDir(), "run")
	trainSmall(t, c, dir, false)
	path := filepath.Join(dir, checkpointFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := smallConfig("cure")
	otherDir := filepath.Join(t.TempDir(), "cure")
	trainSmall(t, other, otherDir, false)
	foreign, err := os.ReadFile(filepath.Join(otherDir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, bytes := range map[string][]byte{"truncated": good[:len(good)/2], "empty": {}, "of another method": foreign} {
		if err := os.WriteFile(path, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), dir, true, nil)
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), checkpointFile) {
			t.Errorf("%s checkpoint: got %v, want one line that names it", what, err)
		}
	}
}
