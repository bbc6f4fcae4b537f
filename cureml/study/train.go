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
// A run that Saved holds counts as finished, unless Dir has one of that name.
//
// each, which may be nil, is called with every line of metrics.jsonl in its order: those of earlier at once, those of
// this training within a second. It is never called twice at the same time.
func (s *Study) Train(name string, c cureml.Config, each func(Line)) (Metrics, error) {
	if each == nil {
		each = func(Line) {}
	}
	saved, err := s.saved(name, c)
	if err != nil {
		return nil, err
	}
	f := &follower{dir: s.folder(name), each: each}
	if !saved {
		if err := s.finish(f, s.Run(name), c); err != nil {
			return nil, err
		}
	}
	if err := f.drain(); err != nil {
		return nil, err
	}
	return f.seen, nil
}

// finish trains the run in dir to its end, if it is not there yet.
func (s *Study) finish(f *follower, dir string, c cureml.Config) error {
	f.dir = dir
	if err := checkStart(dir, c.Init); err != nil {
		return err
	}
	if !cureml.IsRun(dir) {
		if err := recordStart(dir, c.Init); err != nil {
			return err
		}
		return s.train(dir, c, f)
	}
	old, same, err := s.same(dir, c)
	switch {
	case err != nil:
		return err
	case !same:
		return fmt.Errorf("study: %s holds a run with another config: give this one another name, or delete that folder", dir)
	case Finished(dir, c):
		return nil
	}
	return s.train(dir, old, f)
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
	ctx, cancel := untilInterrupted()
	defer cancel()
	stop := f.follow()
	_, err = cureml.Train(ctx, device, c, sets, dir, true, f)
	stop()
	if errors.Is(err, cureml.ErrInterrupted) {
		return fmt.Errorf("study: interrupted; %s keeps all of it, and doing the same again goes on from there", dir)
	}
	return err
}

// same reads the config of the run in dir and reports whether it is c. Networks that a run starts or learns from are the
// same where they lie at the same place of the study: its own folder may have been moved, or be called from elsewhere.
func (s *Study) same(dir string, c cureml.Config) (old cureml.Config, same bool, err error) {
	if old, err = cureml.ReadConfig(dir); err != nil {
		return old, false, err
	}
	moved := old
	for _, ref := range []struct{ old, now *string }{
		{&moved.Init, &c.Init}, {&moved.Teacher.Robust, &c.Teacher.Robust}, {&moved.Teacher.Natural, &c.Teacher.Natural},
	} {
		place, err := filepath.Rel(s.Dir, *ref.now)
		inside := err == nil && *ref.now != "" && filepath.IsLocal(place)
		if inside && strings.HasSuffix("/"+filepath.ToSlash(*ref.old), "/"+filepath.ToSlash(place)) {
			*ref.old = *ref.now
		}
	}
	a, err := json.Marshal(moved)
	if err != nil {
		return old, false, fmt.Errorf("study: %w", err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return old, false, fmt.Errorf("study: %w", err)
	}
	return old, string(a) == string(b), nil
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
