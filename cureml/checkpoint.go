package cureml

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"cure/cureml/weights"
)

// progress is what a checkpoint knows beside the tensors.
type progress struct {
	Step    int     `json:"step"`    // steps done
	Tracked int64   `json:"tracked"` // training-mode passes of the student
	Metrics int64   `json:"metrics"` // bytes of metrics.jsonl that belong to those steps
	Seconds float64 `json:"seconds"` // spent training, evaluations included
	Best    float64 `json:"best"`    // best validation robust accuracy so far, -1 for none
	// Evaluated is the last epoch that was evaluated, Means the open logging interval.
	Evaluated int   `json:"evaluated"`
	Means     means `json:"means"`
}

const (
	checkpointFile = "checkpoint.safetensors"
	checkpointMeta = "cure.progress"
)

// saveCheckpoint writes memory and progress as one file, atomically: there is always one whole checkpoint, old or new.
func saveCheckpoint(dir string, m *Memory, p progress) error {
	meta, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	d := &weights.Dict{Meta: map[string]string{checkpointMeta: string(meta)}}
	for _, name := range m.names {
		v, err := m.host(name)
		if err != nil {
			return fmt.Errorf("cureml: checkpoint: %w", err)
		}
		d.Set(name, weights.Float32s(m.values[name].Shape().Dimensions, v))
	}
	return weights.WriteSafetensors(filepath.Join(dir, checkpointFile), d)
}

// loadCheckpoint puts the tensors of the folder's checkpoint into m.
func loadCheckpoint(dir string, m *Memory) (p progress, err error) {
	path := filepath.Join(dir, checkpointFile)
	d, err := weights.Read(path)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(d.Meta[checkpointMeta]), &p); err != nil {
		return p, fmt.Errorf("cureml: %s is not a checkpoint of a run: %w", path, err)
	}
	if len(d.Names) != len(m.names) {
		return p, fmt.Errorf("cureml: %s holds %d tensors, this run needs %d", path, len(d.Names), len(m.names))
	}
	for _, name := range m.names {
		t, ok := d.Get(name)
		if !ok {
			return p, fmt.Errorf("cureml: %s has no tensor %s", path, name)
		}
		v, err := t.Float32()
		if err != nil {
			return p, fmt.Errorf("cureml: %s: tensor %s: %w", path, name, err)
		}
		if err := m.set(name, v); err != nil {
			return p, err
		}
	}
	return p, nil
}
