package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/google/renameio/v2"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/benchmark"
	"cure/data"
)

// Sweep is a folder with the tasks of a grid. It is for one goroutine; processes on any number of machines that see the
// folder may work on it at once.
type Sweep struct {
	Grid  Grid   `json:"grid"`
	Sets  []Set  `json:"sets"`
	Tasks []Task `json:"tasks"`

	Dir string `json:"-"`
	Env `json:"-"`

	opened map[string]cureml.Sets // by their references
}

// Env is what a sweep computes with.
type Env struct {
	// OpenSets reads the images of a data set as a grid names it; "" is the preset's.
	OpenSets func(preset, ref string) (cureml.Sets, error)
	// OpenDevice opens the backend, with the preset's choice where the user has none.
	OpenDevice func(preset string) (compute.Backend, error)
	// Log gets lines of progress, nil for none; Progress follows the attacks.
	Log      io.Writer
	Progress func(attacks.Progress)
}

// listFile is the file of a sweep folder that says what its tasks are.
const listFile = "sweep.json"

// Create makes the sweep of a grid in the folder dir. A folder that has the same sweep already stays as it is; one with
// another is refused, and so are data sets that cannot be read and settings that no recipe has.
func Create(dir string, g Grid, env Env) (*Sweep, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	s := &Sweep{Grid: g, Dir: dir, Env: env}
	old, err := Open(dir, env)
	if err != nil && !errors.Is(err, ErrNone) {
		return nil, err
	}
	if old != nil && !same(old.Grid, g) {
		return nil, fmt.Errorf("sweep: %s holds the sweep of another grid (%s): choose another folder, or delete it", dir, difference(old.Grid, g))
	}
	for _, ref := range g.data() {
		set, err := s.read(ref)
		if err != nil {
			return nil, err
		}
		s.Sets = append(s.Sets, set)
	}
	if s.Tasks, err = s.expand(); err != nil {
		return nil, err
	}
	if old != nil {
		if !same(old.Tasks, s.Tasks) {
			return nil, fmt.Errorf("sweep: %s has %d tasks, and the same grid gives %d others now: its data or the recipes have changed; choose another folder", dir, len(old.Tasks), len(s.Tasks))
		}
		return old, nil
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return s, write(filepath.Join(dir, listFile), append(text, '\n'))
}

// ErrNone is the cause of the error about a folder without a sweep.
var ErrNone = errors.New("holds no sweep")

// Open reads the sweep of a folder.
func Open(dir string, env Env) (*Sweep, error) {
	path := filepath.Join(dir, listFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("sweep: %s %w: 'cure sweep plan' makes one", dir, ErrNone)
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	s := &Sweep{Dir: dir, Env: env}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("sweep: %s: %w", path, err)
	}
	for i, t := range s.Tasks {
		if t.Index != i {
			return nil, fmt.Errorf("sweep: %s: task %d has the index %d", path, i, t.Index)
		}
	}
	return s, nil
}

// read gets what the list of tasks depends on of a data set.
func (s *Sweep) read(ref string) (Set, error) {
	p, err := s.Grid.preset(ref)
	if err != nil {
		return Set{}, err
	}
	sets, err := s.images(ref)
	if err != nil {
		return Set{}, err
	}
	at := ref
	if at == "" {
		at = p.Data
	}
	cut := func(set *data.Set, n int) int {
		if n <= 0 {
			return set.Len()
		}
		return min(n, set.Len())
	}
	return Set{Folder: folderOf(at), Ref: ref, Name: sets.Test.Name, Classes: len(sets.Train.Classes),
		Train: cut(sets.Train, p.TrainImages), Test: cut(sets.Test, p.TestImages)}, nil
}

// images reads a data set once.
func (s *Sweep) images(ref string) (cureml.Sets, error) {
	if sets, ok := s.opened[ref]; ok {
		return sets, nil
	}
	sets, err := s.OpenSets(s.Grid.Preset, ref)
	if err != nil {
		return sets, err
	}
	if s.opened == nil {
		s.opened = map[string]cureml.Sets{}
	}
	s.opened[ref] = sets
	return sets, nil
}

// Task is the one of an index.
func (s *Sweep) Task(index int) (Task, error) {
	if index < 0 || index >= len(s.Tasks) {
		return Task{}, fmt.Errorf("sweep: index %d: %s has tasks 0 to %d", index, s.Dir, len(s.Tasks)-1)
	}
	return s.Tasks[index], nil
}

// benchmark is the one of a data set.
func (s *Sweep) benchmark(set Set) (*benchmark.Benchmark, error) {
	p, err := s.Grid.preset(set.Ref)
	if err != nil {
		return nil, err
	}
	archs, err := s.Grid.archs(p, set.Classes)
	if err != nil {
		return nil, err
	}
	return &benchmark.Benchmark{
		Preset: p, Dir: filepath.Join(s.Dir, set.Folder), Archs: archs, Seeds: s.Grid.seeds(), Epochs: s.Grid.Epochs, Rows: s.Grid.Rows,
		OpenSets:   func() (cureml.Sets, error) { return s.images(set.Ref) },
		OpenDevice: func() (compute.Backend, error) { return s.OpenDevice(s.Grid.Preset) },
		Log:        s.Log, Progress: s.Progress,
	}, nil
}

// set is the one in a folder of the sweep.
func (s *Sweep) set(folder string) (Set, error) {
	for _, set := range s.Sets {
		if set.Folder == folder {
			return set, nil
		}
	}
	return Set{}, fmt.Errorf("sweep: %s has no data set %s", s.Dir, folder)
}

// same compares what two values are in JSON.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// difference lists the keys in which two grids differ, as "key old -> new".
func difference(old, now Grid) string {
	values := func(g Grid) (v map[string]json.RawMessage) {
		text, _ := json.Marshal(g) // a grid has nothing that JSON has no words for
		_ = json.Unmarshal(text, &v)
		return v
	}
	a, b := values(old), values(now)
	keys := map[string]bool{}
	for _, v := range []map[string]json.RawMessage{a, b} {
		for key := range v {
			keys[key] = true
		}
	}
	var changes []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !bytes.Equal(a[key], b[key]) {
			changes = append(changes, fmt.Sprintf("%s %s -> %s", key, orNone(a[key]), orNone(b[key])))
		}
	}
	return strings.Join(changes, ", ")
}

func orNone(value json.RawMessage) string {
	if value == nil {
		return "none"
	}
	return string(value)
}

func join(list []string) string { return strings.Join(list, ",") }

// write writes a file, complete or not at all, and its folder where that is missing.
func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if err := renameio.WriteFile(path, text, 0o644, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}
