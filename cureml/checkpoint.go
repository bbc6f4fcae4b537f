package cureml

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

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
	Evaluated int     `json:"evaluated"`
	Means     means   `json:"means"`
	Guard     guarded `json:"guard,omitzero"`
	// Frozen are the fingerprints of the teachers, which the checkpoint leaves out.
	Frozen map[string]string `json:"frozen,omitempty"`
}

const (
	checkpointFile = "checkpoint.safetensors"
	checkpointMeta = "cure.progress"
)

// saveCheckpoint writes memory and progress as one file, atomically: there is always one whole checkpoint, old or new.
func saveCheckpoint(dir string, m *Memory, p progress) error {
	p.Frozen = m.frozen
	meta, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	d := &weights.Dict{Meta: map[string]string{checkpointMeta: string(meta)}}
	for _, name := range m.moving() {
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
	for role, now := range m.frozen {
		if then := p.Frozen[role]; then != now {
			return p, fmt.Errorf("cureml: %s was trained with another %s (fingerprint %s, now %s): give the same weights", path, strings.ReplaceAll(role, "_", " "), then, now)
		}
	}
	names := m.moving()
	if len(d.Names) != len(names) {
		return p, fmt.Errorf("cureml: %s holds %d tensors, this run needs %d", path, len(d.Names), len(names))
	}
	for _, name := range names {
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
