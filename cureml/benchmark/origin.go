package benchmark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cure/cureml/bench"
)

// origin is where a run was trained, which need not be where its card is made: a sweep trains on many machines.
type origin struct {
	Machine string `json:"machine"`
	Commit  string `json:"commit,omitempty"`
}

// originFile lies in the run folder.
const originFile = "origin.json"

func writeOrigin(run string) error {
	text, err := json.Marshal(origin{bench.Machine(), commit()})
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return write(filepath.Join(run, originFile), append(text, '\n'))
}

// readOrigin returns nil for a run that was trained by `cure train`, or before there was this file.
func readOrigin(run string) (*origin, error) {
	path := filepath.Join(run, originFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	o := new(origin)
	if err == nil {
		err = json.Unmarshal(text, o)
	}
	if err != nil {
		return nil, fmt.Errorf("benchmark: %s: %w", path, err)
	}
	return o, nil
}
