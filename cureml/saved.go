package cureml

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cure/cureml/nn"
)

// Networks of a run that [LoadRun] reads.
const (
	Student  = "student"  // the network that is trained
	Revision = "revision" // CURE's average of it
	Best     = "best"     // the student at its best validation accuracy
)

const revisionFile = "revision.safetensors"

// IsRun reports whether dir is a run folder.
func IsRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, configFile))
	return err == nil
}

// ReadConfig reads the config of the run in dir.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, configFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("cureml: %s holds no run: there is no %s", dir, configFile)
	}
	if err != nil {
		return Config{}, fmt.Errorf("cureml: %w", err)
	}
	c, err := ParseConfig(text)
	if err != nil {
		return c, fmt.Errorf("%w (in %s)", err, path)
	}
	return c, nil
}

// LoadRun reads a network of the run in dir, one of Student, Revision and Best: from the files that a finished run
// leaves, or from the checkpoint of an unfinished one. warnings say so in that case, and name tensors that hold NaN or
// Inf.
func LoadRun(dir, network string) (s *nn.State, warnings []string, err error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, nil, err
	}
	files := map[string]string{Student: finalFile, Revision: revisionFile, Best: bestFile}
	path := filepath.Join(dir, files[network])
	method, err := NewMethod(c)
	switch {
	case err != nil:
		return nil, nil, err
	case files[network] == "":
		return nil, nil, fmt.Errorf("cureml: unknown network %q of a run: accepted are %s", network, strings.Join([]string{Student, Revision, Best}, ", "))
	case network == Revision && !method.Revision:
		return nil, nil, fmt.Errorf("cureml: %s: method %s has no revision model", dir, c.Method)
	}
	s, warnings, err = nn.LoadFile(c.Arch, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, warnings, err
	}
	if network == Best {
		return nil, nil, fmt.Errorf("cureml: %s holds no %s: only runs with a validation split select one", dir, bestFile)
	}
	start, err := nn.Init(c.Arch, 0) // shapes only: every value is replaced
	if err != nil {
		return nil, nil, err
	}
	memory := newMemory(start, method.Revision)
	defer memory.Free()
	at, err := loadCheckpoint(dir, memory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("cureml: %s holds neither %s nor a checkpoint yet", dir, files[network])
	}
	if err != nil {
		return nil, nil, err
	}
	s, err = memory.network(network+"/", c.Arch, start.Tensors, at.Tracked)
	if err != nil {
		return nil, nil, err
	}
	warnings = append(warnings, fmt.Sprintf("the run in %s is not finished: this is its checkpoint of step %d", dir, at.Step))
	for _, name := range s.Dict().NonFinite() {
		warnings = append(warnings, fmt.Sprintf("tensor %s of %s holds NaN or Inf", name, filepath.Join(dir, checkpointFile)))
	}
	return s, warnings, nil
}
