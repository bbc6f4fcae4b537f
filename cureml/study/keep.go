package study

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cure/cureml"
)

// Keep copies what was measured under the given names, runs and shipped networks (zoo-NAME), to folders of these names in
// dir: config.json, metrics.jsonl and the JSON files beside them, which are small enough for version control. Weights,
// checkpoints and images stay behind. A study whose Saved is dir shows such runs without training them again.
//
// The error names the first run that is not finished. Each folder in dir is replaced as a whole.
func (s *Study) Keep(dir string, names ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("study: %w", err)
	}
	for _, name := range names {
		from, to := s.folder(name), filepath.Join(dir, name)
		if from == to {
			continue
		}
		if err := finished(from); err != nil {
			return err
		}
		if err := copyMeasurements(from, to); err != nil {
			return fmt.Errorf("study: %w", err)
		}
	}
	return nil
}

// finished is an error for a run without its last weights that is no copy of a finished one either.
func finished(dir string) error {
	if !cureml.IsRun(dir) {
		return nil
	}
	c, err := cureml.ReadConfig(dir)
	if err == nil && exists(filepath.Join(dir, lockFile)) && !Finished(dir, c) {
		err = fmt.Errorf("study: the run %s is not finished: only finished ones can be kept", dir)
	}
	return err
}

// lockFile is in every run folder, and in no copy of its measurements.
const lockFile = "lock"

func copyMeasurements(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	whole, err := os.MkdirTemp(filepath.Dir(to), ".keep-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(whole)
	if err := os.Chmod(whole, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), ".json") && !strings.HasSuffix(e.Name(), ".jsonl") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(whole, e.Name()), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if err := os.RemoveAll(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(whole, to)
}

// folder is where the run or shipped network of that name has its files: in Dir, or in Saved where Dir has none.
func (s *Study) folder(name string) string {
	if saved := filepath.Join(s.Saved, name); s.Saved != "" && !exists(s.Run(name)) && exists(saved) {
		return saved
	}
	return s.Run(name)
}

// saved reports whether Saved stands for the run of c. One with another config does not.
func (s *Study) saved(name string, c cureml.Config) (bool, error) {
	dir := s.folder(name)
	if dir == s.Run(name) || !cureml.IsRun(dir) {
		return false, nil
	}
	_, same, err := s.same(dir, c)
	return same, err
}

// Trained reports whether the run of c is finished, or saved, so that [Study.Train] only reads it.
func (s *Study) Trained(name string, c cureml.Config) (bool, error) {
	if saved, err := s.saved(name, c); saved || err != nil {
		return saved, err
	}
	if !cureml.IsRun(s.Run(name)) {
		return false, nil
	}
	_, same, err := s.same(s.Run(name), c)
	return same && Finished(s.Run(name), c), err
}
