package study

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cure/cureml/analysis"
	"cure/data"
	"cure/data/corrupt"
)

// CorruptedEnv is the variable that names a folder in the layout of CIFAR-10-C, whose images [Study.Corruptions] takes in
// place of corruptions made here. It is of CIFAR-10's test images, of which the study's are the first.
const CorruptedEnv = "CURE_CORRUPTED"

// corruptedImages is how many of the test images are corrupted, by the preset; 0 is all of them.
var corruptedImages = map[string]int{"ci": 16, "mini": 256, "paper": 0}

// Corruptions measures networks, named as for [Study.Attack], on the first test images under all 19 corruptions, or those in
// the folder that [CorruptedEnv] names, with seed 0; the first network is the baseline of mCE. What was measured before is
// read from its file, and an interrupted measurement goes on where it was. tell, which may be nil, gets a line when a group
// of corruptions is done.
func (s *Study) Corruptions(networks []string, tell func(line string)) (*analysis.Corruptions, error) {
	nets, sums, err := s.analysed(networks)
	if err != nil {
		return nil, err
	}
	sets, err := s.Sets()
	if err != nil {
		return nil, err
	}
	set, err := first(sets.Test, corruptedImages[s.Name])
	if err != nil {
		return nil, err
	}
	o := analysis.CorruptionOptions{}
	for _, c := range corrupt.All() {
		o.Names = append(o.Names, c.Name)
	}
	source := os.Getenv(CorruptedEnv)
	if source != "" {
		if o.Folder, err = data.OpenCorrupted(source); err != nil {
			return nil, fmt.Errorf("study: %s: %w", CorruptedEnv, err)
		}
		o.Names = slices.DeleteFunc(o.Names, func(name string) bool { return !slices.Contains(o.Folder.Names, name) })
	}
	key := []any{sums, set.Name, set.Len(), o.Names, source}
	o.Progress = sayGroups(tell)
	r, err := Remember(s, "corruptions", key, func(ctx context.Context) (*analysis.Corruptions, error) {
		device, err := s.Backend()
		if err != nil {
			return nil, err
		}
		if o.State, err = s.state("corruptions", key); err != nil {
			return nil, err
		}
		r, err := analysis.MeasureCorruptions(ctx, device, nets, set, o)
		return r, stopped(err)
	})
	return r, s.tidy(err, "corruptions", key)
}

// sayGroups makes lines of progress.
func sayGroups(tell func(line string)) func(name string, severity, done, total int) {
	if tell == nil {
		return nil
	}
	began, group := time.Now(), corrupt.Group("clean")
	say := func(done, total int) {
		tell(fmt.Sprintf("%s: done, %d of %d sets of images after %.0f s", group, done, total, time.Since(began).Seconds()))
	}
	return func(name string, severity, done, total int) {
		now := group
		if c, err := corrupt.Lookup(name); err == nil { // not the clean images
			if now = c.Group; c.Extra {
				now = "extra"
			}
		}
		if now != group {
			say(done-1, total)
			group = now
		}
		if done == total {
			say(done, total)
		}
	}
}

// state is a file for a measurement under way, whose result [Remember] keeps under the same name and key.
func (s *Study) state(name string, key any) (string, error) {
	path, err := s.remembered(name, key)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("study: %w", err)
	}
	return path + ".state", nil
}

// tidy removes the files of a measurement that is done, unless there is an error, which it returns.
func (s *Study) tidy(err error, name string, key any) error {
	if err != nil {
		return err
	}
	path, err := s.state(name, key)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(path + "*")
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	return nil
}

// stopped says how an interrupted measurement goes on.
func stopped(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("study: interrupted; what was measured is kept, and running the cell again goes on from there")
	}
	return err
}
