package cureml

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cure/cureml/nn"
)

// Networks of a run that [LoadRun] reads.
const (
	Student  = student    // the network that is trained
	Revision = "revision" // CURE's average of it
	Best     = "best"     // the student, or its average, at its best validation accuracy
)

const weightsSuffix = ".safetensors"

// RunNetworks lists what [LoadRun] accepts for a run of c.
func RunNetworks(c Config) ([]string, error) {
	m, err := NewMethod(c)
	return networksOf(m), err
}

func networksOf(m Method) []string {
	names := []string{Student, Best}
	for _, n := range m.Networks {
		if n.Kind != Frozen {
			names = append(names, n.Role)
		}
	}
	return names
}

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

// Saved is a network that was read, and the file it came from.
type Saved struct {
	*nn.State
	Path     string
	Warnings []string // values that make no sense, an unfinished run
}

// LoadRun reads a network of the run in dir, one of Student and Best, or the role of a network that its method keeps
// beside the student (Revision, Averaged, ...): from the files that a finished run
// leaves, or from the checkpoint of an unfinished one, with a warning that says so.
func LoadRun(dir, network string) (*Saved, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	method, err := NewMethod(c)
	if err != nil {
		return nil, err
	}
	arch, file := c.Arch, map[string]string{Student: finalFile, Best: bestFile}[network]
	for _, n := range method.Networks {
		if n.Role == network && n.Kind != Frozen {
			file = n.Role + weightsSuffix
			if n.Arch.Name != "" {
				arch = n.Arch
			}
		}
	}
	if file == "" {
		return nil, fmt.Errorf("cureml: %s: a run of method %s has no network %q: accepted are %s", dir, c.Method, network, strings.Join(networksOf(method), ", "))
	}
	path := filepath.Join(dir, file)
	s, warnings, err := nn.LoadFile(arch, path)
	switch {
	case err == nil:
		return &Saved{s, path, warnings}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case network == Best:
		return nil, fmt.Errorf("cureml: %s holds no %s: only runs that evaluate a validation split select one", dir, bestFile)
	}
	return fromCheckpoint(dir, network, c, method)
}

// fromCheckpoint reads a network that moves, of an unfinished run.
func fromCheckpoint(dir, network string, c Config, method Method) (*Saved, error) {
	start, err := nn.Init(c.Arch, 0) // every value is replaced
	if err != nil {
		return nil, err
	}
	isTeacher := func(n Network) bool { return n.Kind == Frozen } // checkpoints leave them out
	method.Networks = slices.DeleteFunc(method.Networks, isTeacher)
	memory, _, err := newMemory(start, c, method)
	if err != nil {
		return nil, err
	}
	defer memory.Free()
	at, err := loadCheckpoint(dir, memory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cureml: the run in %s has no checkpoint yet", dir)
	}
	if err != nil {
		return nil, err
	}
	s, err := memory.state(network, at.Tracked)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, checkpointFile)
	warnings := []string{fmt.Sprintf("the run in %s is not finished: this is its checkpoint of step %d", dir, at.Step)}
	if bad := s.Dict().NonFinite(); bad != nil {
		warnings = append(warnings, fmt.Sprintf("tensors of %s hold NaN or Inf: %s", path, strings.Join(bad, ", ")))
	}
	return &Saved{s, path, warnings}, nil
}
