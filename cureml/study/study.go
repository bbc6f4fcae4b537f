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
	// Saved is a folder with what runs have measured, and without their weights, as [Study.Keep] fills it; it may be empty or
	// missing. What Dir lacks is read from there, as long as it was made with the same config.
	Saved string
	// OpenDevice opens the backend, once; nil means what [Study.Backend] says.
	OpenDevice func() (compute.Backend, error)

	device compute.Backend
	sets   cureml.Sets
	added  map[string]*network // by the names that Add gave them
}

// Open is the study in the folder of root that is called as the preset of CURE_PRESET, such as runs/mini, or, where
// folders are named, further inside: Open("runs", "layerwise") is in runs/mini/layerwise. The folder is made by the first
// run. Saved is the folder of the same name in saved instead of root.
func Open(root string, folders ...string) (*Study, error) {
	p, err := FromEnv()
	if err != nil {
		return nil, err
	}
	inside := filepath.Join(append([]string{p.Name}, folders...)...)
	return &Study{Preset: p, Dir: filepath.Join(root, inside), Saved: filepath.Join(filepath.Dir(root), "saved", inside)}, nil
}

// Run is the folder of a run.
func (s *Study) Run(name string) string { return filepath.Join(s.Dir, name) }

// Final is the file that holds the weights of a finished run, for Config.Init of another one.
func (s *Study) Final(run string) string { return filepath.Join(s.Dir, run, "final.safetensors") }

// Metrics reads metrics.jsonl of a run, or of what was saved of it.
func (s *Study) Metrics(run string) (Metrics, error) { return ReadMetrics(s.folder(run)) }

// Backend is where the study computes: XLA, which is installed when it is missing, or what GOMLX_BACKEND names.
func (s *Study) Backend() (compute.Backend, error) {
	if s.device != nil {
		return s.device, nil
	}
	open := s.OpenDevice
	if open == nil {
		open = func() (compute.Backend, error) {
			return backend.Open(backend.Options{Install: true, Deterministic: true})
		}
	}
	b, err := open()
	if err == nil {
		s.device = b
	}
	return b, err
}

// sized is the study with other numbers of images, in the same folder. In preset ci it computes without XLA, unless told
// otherwise: compiling its many small programs takes longer than all of their steps.
func (s *Study) sized(train, test int) *Study {
	own := *s
	own.sets = cureml.Sets{}
	own.TrainImages, own.TestImages = train, test
	if own.OpenDevice == nil && own.Name == "ci" {
		own.OpenDevice = func() (compute.Backend, error) { return backend.Open(backend.Options{Name: "go"}) }
	}
	return &own
}

// untilInterrupted is a context that ends with the first interrupt.
func untilInterrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
