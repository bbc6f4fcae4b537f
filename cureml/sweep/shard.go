package sweep

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"os"
	"path/filepath"

	"cure/attacks"
)

// shard is what an evaluation task leaves, by encoding/gob, which keeps the losses of single images that the JSON of a
// report has not.
type shard struct {
	// SameAsBest says that the last network is the best one, which another task evaluates.
	SameAsBest bool
	Report     *attacks.Report
}

func (s *Sweep) shardFile(t Task) string {
	return filepath.Join(s.Dir, t.Data, "shards", t.Run, fmt.Sprintf("%s-%s-%d-%d.gob", t.Part.Checkpoint, t.Part.Attacks, t.From, t.To))
}

func (s *Sweep) save(t Task, v *shard) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return write(s.shardFile(t), b.Bytes())
}

func (s *Sweep) load(t Task) (*shard, error) {
	path := s.shardFile(t)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	v := new(shard)
	if err := gob.NewDecoder(bytes.NewReader(text)).Decode(v); err != nil {
		return nil, fmt.Errorf("sweep: %s: %w: delete it, and its task makes it again", path, err)
	}
	return v, nil
}

// gather merges the shards of an evaluation, which must be of the network with the SHA-256 weights.
func (s *Sweep) gather(tasks []Task, weights string) (*attacks.Report, error) {
	list, err := attacks.ParseList(tasks[0].Part.Attacks)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	var parts []*attacks.Report
	for _, t := range tasks {
		v, err := s.load(t)
		if err != nil {
			return nil, err
		}
		switch {
		case v.Report == nil:
			return nil, fmt.Errorf("sweep: %s has no report", s.shardFile(t))
		case v.Report.Weights != weights:
			return nil, fmt.Errorf("sweep: %s is of other weights (%.12s) than the run has now (%.12s): delete it, and its task makes it again",
				s.shardFile(t), v.Report.Weights, weights)
		case v.Report.Records != [2]int{t.From, t.To}:
			return nil, fmt.Errorf("sweep: %s is of the images %v, want %d to %d", s.shardFile(t), v.Report.Records, t.From, t.To-1)
		}
		parts = append(parts, v.Report)
	}
	return attacks.Merge(list, parts...)
}
