package cureml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/cureml/mltest"
	"cure/cureml/weights"
)

// trial is a run of seconds that a test stops, kills and looks into.
type trial struct {
	config Config
	sets   Sets
	// hook, if set, is called after every step, before an epoch is evaluated.
	hook func(r *run, step int)
	// prepare, if set, changes a run before its first step.
	prepare func(r *run)
}

// killed is what a hook panics with to end a run as SIGKILL does: nothing more is written.
type killed struct{}

// run trains in dir, or goes on there, and cancels the run after step stop; 0 is never.
func (x trial) run(t *testing.T, dir string, resume bool, stop int) (s *Summary, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sets, err := x.config.split(x.sets)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := openFolder(dir, x.config, resume)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	r, err := newRun(mltest.GoBackend(t), x.config, smallStart(t, x.config), sets, folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.afterStep = func(step int) {
		if x.hook != nil {
			x.hook(r, step)
		}
		if step == stop {
			cancel()
		}
	}
	if x.prepare != nil {
		x.prepare(r)
	}
	defer func() {
		if p := recover(); p != nil {
			if p != (killed{}) {
				panic(p)
			}
			err = errors.New("killed")
		}
	}()
	return r.train(ctx)
}

// whole is the run without interruptions.
func (x trial) whole(t *testing.T) (dir string, s *Summary) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "whole")
	s, err := x.run(t, dir, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// wantResumes stops the run after each of the steps, cancelled and killed, and wants all to end in the bits of the whole
// run: metrics, weights, and every tensor of the checkpoint, cells included.
func (x trial) wantResumes(t *testing.T, what string, stops ...int) {
	t.Helper()
	whole, _ := x.whole(t)
	want := outcome(t, whole) + tensorsOf(t, whole)
	for _, stop := range stops {
		for _, kill := range []bool{false, true} {
			how, dir, broken := fmt.Sprintf("%s cancelled after step %d", what, stop), filepath.Join(t.TempDir(), "run"), x
			at := stop
			if kill {
				how, at = fmt.Sprintf("%s killed after step %d", what, stop), 0
				broken.hook = func(r *run, step int) {
					if x.hook != nil {
						x.hook(r, step)
					}
					if step == stop {
						panic(killed{})
					}
				}
			}
			if _, err := broken.run(t, dir, false, at); err == nil {
				t.Errorf("%s: the run ended", how)
			}
			if _, err := x.run(t, dir, true, 0); err != nil {
				t.Errorf("%s: %v", how, err)
			}
			if outcome(t, dir)+tensorsOf(t, dir) != want {
				t.Errorf("%s, the resumed run differs from an uninterrupted one", how)
			}
		}
	}
}

// tensorsOf is every tensor of a run's checkpoint, and every file of weights in its folder and among its snapshots.
func tensorsOf(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, snapshotsFolder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, path := range append(paths, kept...) {
		d, err := weights.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, filepath.Base(path))
		for _, name := range d.Names {
			fmt.Fprintln(&b, name)
			b.Write(d.Tensors[name].Data)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, lastEpochFolder)); err == nil {
		t.Errorf("%s is left behind", lastEpochFolder)
	}
	return b.String()
}

// metricsOf are the lines of a kind in a run's metrics.jsonl.
func metricsOf(t *testing.T, dir, kind string) (lines []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["kind"] == kind {
			lines = append(lines, m)
		}
	}
	return lines
}

// TestWrappersResume: what weight perturbation, Free-AT, averages and extra images keep between steps survives.
func TestWrappersResume(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"rwp": func(c *Config) { c.Method, c.RWP = "at", RWPConfig{Gamma: 0.01, Rounds: 2, Threshold: 3, Start: 1} },
		"awp": func(c *Config) { c.AWP = AWPConfig{Gamma: 0.01, Start: 1}; c.Cure.WarmupEpochs = 1 },
		"free-at with an average and extra images": func(c *Config) {
			*c = smallConfig("free-at")
			c.Free.Replays = 2
			c.Average = AverageConfig{Decay: 0.9, Start: 1}
			c.Extra = ExtraConfig{Data: "some", Fraction: 0.4}
		},
	} {
		c := smallConfig("cure")
		change(&c)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		c.Attack.Steps, c.EvalEvery = 1, 0
		sets := smallSets(t)
		extra, err := sets.Train.Slice(0, 9)
		if err != nil {
			t.Fatal(err)
		}
		sets.Extra = extra
		trial{config: c, sets: sets}.wantResumes(t, name, 1, 4)
	}
}
