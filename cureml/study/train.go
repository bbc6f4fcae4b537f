package study

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"cure/cureml"
)

// Train makes sure that the run of that name is finished, and returns what it measured. A run that is finished with the
// same config is not repeated, one that was interrupted goes on; one of another config is an error, as is one whose
// Config.Init has changed since.
//
// each, which may be nil, is called with every line of metrics.jsonl in its order: those of earlier at once, those of
// this training within a second. It is never called twice at the same time.
func (s *Study) Train(name string, c cureml.Config, each func(Line)) (Metrics, error) {
	dir := s.Run(name)
	if each == nil {
		each = func(Line) {}
	}
	if err := checkStart(dir, c.Init); err != nil {
		return nil, err
	}
	same, err := sameConfig(dir, c)
	if err != nil {
		return nil, err
	}
	f := &follower{dir: dir, each: each}
	if !same || !Finished(dir, c) {
		if err := s.train(dir, c, f); err != nil {
			return nil, err
		}
	}
	if err := f.drain(); err != nil {
		return nil, err
	}
	return f.seen, nil
}

func (s *Study) train(dir string, c cureml.Config, f *follower) error {
	sets, err := s.Sets()
	if err != nil {
		return err
	}
	if sets.Extra, err = c.Extra.Open(); err != nil {
		return err
	}
	device, err := s.Backend()
	if err != nil {
		return err
	}
	if err := recordStart(dir, c.Init); err != nil {
		return err
	}
	ctx, cancel := untilInterrupted()
	defer cancel()
	stop := f.follow()
	_, err = cureml.Train(ctx, device, c, sets, dir, true, f)
	stop()
	if errors.Is(err, cureml.ErrInterrupted) {
		return fmt.Errorf("study: interrupted; %s keeps all of it, and running the cell again goes on from there", dir)
	}
	return err
}

// sameConfig reports whether dir holds a run of c. A run of another config is an error.
func sameConfig(dir string, c cureml.Config) (bool, error) {
	if !cureml.IsRun(dir) {
		return false, nil
	}
	old, err := cureml.ReadConfig(dir)
	if err != nil {
		return false, err
	}
	a, err := json.Marshal(old)
	if err != nil {
		return false, fmt.Errorf("study: %w", err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return false, fmt.Errorf("study: %w", err)
	}
	if string(a) != string(b) {
		return false, fmt.Errorf("study: %s holds a run with another config: give this one another name, or delete that folder", dir)
	}
	return true, nil
}

// Finished reports whether the run of c in dir has written all that a run leaves.
func Finished(dir string, c cureml.Config) bool {
	names := []string{"final.safetensors"}
	if m, err := cureml.NewMethod(c); err == nil {
		for _, n := range m.Networks {
			if n.Kind != cureml.Frozen {
				names = append(names, n.Role+".safetensors")
			}
		}
	}
	for _, name := range names {
		if !exists(filepath.Join(dir, name)) {
			return false
		}
	}
	return true
}

// startFile holds the SHA-256 of the weights that a run started from, because a config knows only their path.
const startFile = "init.sha256"

// isFile says whether a Config.Init is a file, which may change, and neither empty nor a shipped network.
func isFile(init string) bool { return init != "" && !strings.HasPrefix(init, cureml.ZooPrefix) }

func checkStart(dir, init string) error {
	recorded, err := os.ReadFile(filepath.Join(dir, startFile))
	if !isFile(init) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	sum, err := fileSum(init)
	if err != nil {
		return err
	}
	if sum != strings.TrimSpace(string(recorded)) {
		return fmt.Errorf("study: %s started from other weights than %s holds now: delete the folder to train anew", dir, init)
	}
	return nil
}

func recordStart(dir, init string) error {
	if !isFile(init) {
		return nil
	}
	sum, err := fileSum(init)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("study: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, startFile), []byte(sum+"\n"), 0o644); err != nil {
		return fmt.Errorf("study: %w", err)
	}
	return nil
}

func fileSum(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("study: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
