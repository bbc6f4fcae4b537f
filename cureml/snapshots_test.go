package cureml

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cure/cureml/nn"
)

// TestSnapshots: networks are kept at the start, every so many epochs and at the end, and are those of the run then.
func TestSnapshots(t *testing.T) {
	c := smallConfig("cure")
	c.EvalEvery = 0
	if err := c.Set("save_every", "1"); err != nil {
		t.Fatal(err)
	}
	dir, short := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "short")
	trainSmall(t, c, dir, false)
	c.Epochs, c.SaveEvery = 1, 0 // the schedule is constant: this is the first half of the run
	trainSmall(t, c, short, false)
	if epochs, err := Snapshots(dir); err != nil || !slices.Equal(epochs, []int{0, 1, 2}) {
		t.Fatalf("snapshots of epochs %v, error %v, want 0, 1, 2", epochs, err)
	}
	start := smallStart(t, c)
	for _, network := range []string{Student, Revision} {
		for epoch, want := range []func() *nn.State{
			func() *nn.State { return start },
			func() *nn.State { return loaded(t, short, network) },
			func() *nn.State { return loaded(t, dir, network) },
		} {
			got, err := LoadSnapshot(dir, network, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Values, want().Values) {
				t.Errorf("%s after epoch %d differs from that of the run", network, epoch)
			}
		}
	}
	if epochs, err := Snapshots(short); err != nil || epochs != nil {
		t.Errorf("a run without snapshots has those of epochs %v, error %v", epochs, err)
	}
	if _, err := LoadSnapshot(dir, Student, 7); err == nil || !strings.Contains(err.Error(), "after epochs [0 1 2]") {
		t.Errorf("no such epoch: error %v", err)
	}
	if _, err := LoadSnapshot(dir, Best, 1); err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `no snapshots of "best": accepted are student`) {
		t.Errorf("no such network: error %v", err)
	}
	if _, err := LoadSnapshot(t.TempDir(), Student, 0); err == nil || !strings.Contains(err.Error(), "holds no run") {
		t.Errorf("no run: error %v", err)
	}
}

func loaded(t *testing.T, dir, network string) *nn.State {
	t.Helper()
	s, err := LoadRun(dir, network)
	if err != nil || len(s.Warnings) > 0 {
		t.Fatal(err, s.Warnings)
	}
	return s.State
}

// TestSaveFrequency: with every second of three epochs, the last is kept too; other files are no snapshots.
func TestSaveFrequency(t *testing.T) {
	c := smallConfig("natural")
	c.Epochs, c.EvalEvery, c.SaveEvery = 3, 0, 2
	dir := filepath.Join(t.TempDir(), "run")
	trainSmall(t, c, dir, false)
	for _, name := range []string{"student-x.safetensors", "student-0009.safetensors.tmp", "revision-0005.safetensors"} {
		if err := os.WriteFile(filepath.Join(dir, snapshotsFolder, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if epochs, err := Snapshots(dir); err != nil || !slices.Equal(epochs, []int{0, 2, 3}) {
		t.Errorf("snapshots of epochs %v, error %v, want 0, 2, 3", epochs, err)
	}
}

// TestSnapshotsResume: what a stopped run keeps is that of a whole one.
func TestSnapshotsResume(t *testing.T) {
	c := smallConfig("cure")
	c.Attack.Steps, c.EvalEvery, c.SaveEvery = 1, 0, 1
	trial{config: c, sets: smallSets(t)}.wantResumes(t, "snapshots", 3)
}

// TestSaveEveryConfig: configs of runs without snapshots are what they were before there were any.
func TestSaveEveryConfig(t *testing.T) {
	c := Defaults("cure")
	text, err := json.Marshal(c)
	if err != nil || strings.Contains(string(text), "save_every") {
		t.Errorf("config %s, error %v, want no save_every", text, err)
	}
	c.SaveEvery = -1
	c.Arch = nn.Arch{Name: "resnet18", Width: 2, Classes: 10}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "save_every -1: want 0 to") {
		t.Errorf("save_every -1: error %v", err)
	}
}
