package cureml

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cure/cureml/nn"
)

// snapshotsFolder holds the networks of a run folder at several points of its training, such as
// snapshots/student-0002.safetensors: the student after two epochs.
const snapshotsFolder = "snapshots"

func snapshotFile(dir, network string, epoch int) string {
	return filepath.Join(dir, snapshotsFolder, fmt.Sprintf("%s-%04d%s", network, epoch, weightsSuffix))
}

// snapshot writes the networks that training moves, where one is due: at the start, every Config.SaveEvery epochs and at
// the end. A run that is resumed between two of them writes the same bits again.
func (r *run) snapshot() error {
	epoch := r.at.Step / r.perEpoch
	due := r.cfg.SaveEvery > 0 && r.at.Step%r.perEpoch == 0 && (epoch%r.cfg.SaveEvery == 0 || epoch == r.cfg.Epochs)
	if !due {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(r.folder.dir, snapshotsFolder), 0o755); err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	for _, n := range r.memory.roles {
		if n.Kind == Frozen {
			continue
		}
		s, err := r.memory.state(n.Role, r.at.Tracked)
		if err == nil {
			err = s.Save(snapshotFile(r.folder.dir, n.Role, epoch))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Snapshots lists the epochs of which the run in dir has kept the student, in order; 0 is its start. A run without
// Config.SaveEvery has none.
func Snapshots(dir string) (epochs []int, err error) {
	files, err := os.ReadDir(filepath.Join(dir, snapshotsFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cureml: %w", err)
	}
	for _, f := range files {
		digits, student := strings.CutPrefix(f.Name(), Student+"-")
		digits, whole := strings.CutSuffix(digits, weightsSuffix)
		if epoch, err := strconv.Atoi(digits); student && whole && err == nil {
			epochs = append(epochs, epoch)
		}
	}
	slices.Sort(epochs)
	return epochs, nil
}

// LoadSnapshot reads a network of the run in dir as it was after an epoch: Student, or the role of one that its method
// keeps beside the student (Revision, Averaged, ...). Where the run has none, the error is fs.ErrNotExist.
func LoadSnapshot(dir, network string, epoch int) (*Saved, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	method, err := NewMethod(c)
	if err != nil {
		return nil, err
	}
	arch, names := c.Arch, []string{Student}
	for _, n := range method.Networks {
		if n.Kind == Frozen {
			continue
		}
		names = append(names, n.Role)
		if n.Role == network && n.Arch.Name != "" {
			arch = n.Arch
		}
	}
	if !slices.Contains(names, network) {
		return nil, fmt.Errorf("cureml: %s: a run of method %s keeps no snapshots of %q: accepted are %s: %w", dir, c.Method, network, strings.Join(names, ", "), fs.ErrNotExist)
	}
	path := snapshotFile(dir, network, epoch)
	s, warnings, err := nn.LoadFile(arch, path)
	if errors.Is(err, fs.ErrNotExist) {
		epochs, _ := Snapshots(dir)
		return nil, fmt.Errorf("cureml: %w: %s keeps its networks after epochs %v", err, dir, epochs)
	}
	if err != nil {
		return nil, err
	}
	return &Saved{s, path, warnings}, nil
}
