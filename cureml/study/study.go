package study

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/gomlx/compute"

	"cure/cureml"
	"cure/cureml/backend"
)

// Study is a folder of runs of one size. Its methods answer an interrupt, such as Jupyter's stop button, by saving what
// they have and returning an error.
type Study struct {
	Preset
	Dir string // of the runs

	device compute.Backend
	sets   cureml.Sets
}

// Open is the study in the folder of root that is called as the preset of CURE_PRESET, such as runs/mini. The folder is
// made by the first run.
func Open(root string) (*Study, error) {
	p, err := FromEnv()
	if err != nil {
		return nil, err
	}
	return &Study{Preset: p, Dir: filepath.Join(root, p.Name)}, nil
}

// Run is the folder of a run.
func (s *Study) Run(name string) string { return filepath.Join(s.Dir, name) }

// Final is the file that holds the weights of a finished run, for Config.Init of another one.
func (s *Study) Final(run string) string { return filepath.Join(s.Dir, run, "final.safetensors") }

// Metrics reads metrics.jsonl of a run.
func (s *Study) Metrics(run string) (Metrics, error) { return ReadMetrics(s.Run(run)) }

// Backend is where the study computes: XLA, which is installed when it is missing, or what GOMLX_BACKEND names.
func (s *Study) Backend() (compute.Backend, error) {
	if s.device != nil {
		return s.device, nil
	}
	b, err := backend.Open(backend.Options{Install: true, Deterministic: true})
	if err == nil {
		s.device = b
	}
	return b, err
}

// untilInterrupted is a context that ends with the first interrupt.
func untilInterrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
