package study

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
)

// listing are the files below dir, without dir.
func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What is kept of a run is read in its place: same lines, no computing, no weights. Another config is trained.
func TestKeep(t *testing.T) {
	s, c := small(t)
	s.device = mltest.GoBackend(t)
	m, err := s.Train("natural", c, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := attacks.ParseList("fgsm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Attack([]string{"natural"}, list); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "saved")
	for range 2 { // the second time it replaces
		if err := s.Keep(kept, "natural"); err != nil {
			t.Fatal(err)
		}
	}
	names := listing(t, kept)
	if len(names) != 3 || names[0] != "natural/config.json" || !strings.HasPrefix(names[1], "natural/eval-") || names[2] != "natural/metrics.jsonl" {
		t.Errorf("kept files %v, want config, metrics and one report", names)
	}

	other := &Study{Preset: s.Preset, Dir: t.TempDir(), Saved: kept}
	withoutBackend(t, other)
	var seen Metrics
	read, err := other.Train("natural", c, func(l Line) { seen = append(seen, l) })
	if err != nil || !reflect.DeepEqual(read, m) || !reflect.DeepEqual(seen, m) {
		t.Errorf("saved run: error %v, or other lines", err)
	}
	if again, err := other.Metrics("natural"); err != nil || !reflect.DeepEqual(again, m) {
		t.Errorf("Metrics of a saved run: error %v, or other lines", err)
	}
	if done, err := other.Trained("natural", c); !done || err != nil {
		t.Errorf("Trained: got %v, %v", done, err)
	}
	if err := other.Keep(kept, "natural"); err != nil {
		t.Errorf("keeping what is kept: %v", err)
	}
	changed := c
	changed.Epochs++
	if done, err := other.Trained("natural", changed); done || err != nil {
		t.Errorf("Trained with another config: got %v, %v", done, err)
	}
	if _, err := other.Train("natural", changed, nil); err == nil {
		t.Error("another config: read what was saved, want an attempt to compute")
	}
	if names := listing(t, kept); len(names) != 3 {
		t.Errorf("kept files %v afterwards", names)
	}
}

// A run that is under way is not kept, and what is wrong leaves what was kept before.
func TestKeepUnfinished(t *testing.T) {
	s, c := small(t)
	s.device = mltest.GoBackend(t)
	if _, err := s.Train("natural", c, nil); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "saved")
	if err := s.Keep(kept, "natural"); err != nil {
		t.Fatal(err)
	}
	before := listing(t, kept)
	if err := os.Remove(s.Final("natural")); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(kept, "natural"); err == nil || !strings.Contains(err.Error(), "not finished") {
		t.Errorf("unfinished run: got error %v", err)
	}
	if err := s.Keep(kept, "none"); err == nil {
		t.Error("no such run: got no error")
	}
	if after := listing(t, kept); !slices.Equal(before, after) {
		t.Errorf("kept files %v, want %v", after, before)
	}
}

// The folder of a study may move, and be named from elsewhere: runs that start from others in it are the same.
func TestMovedStudy(t *testing.T) {
	for _, c := range []struct {
		old, now string
		want     bool
	}{
		{"runs/mini/natural/final.safetensors", "notebooks/runs/mini/natural/final.safetensors", true},
		{"natural/final.safetensors", "notebooks/runs/mini/natural/final.safetensors", true},
		{"runs/mini/unnatural/final.safetensors", "notebooks/runs/mini/natural/final.safetensors", false},
		{"runs/mini/natural/final.safetensors", "elsewhere/natural/final.safetensors", false},
		{"zoo:natural", "zoo:natural", true},
		{"zoo:natural", "zoo:cure", false},
		{"", "notebooks/runs/mini/natural/final.safetensors", false},
		{"runs/mini/natural/final.safetensors", "", false},
	} {
		s := &Study{Preset: presets[0], Dir: "notebooks/runs/mini"}
		config, dir := s.Config("cure"), t.TempDir()
		config.Init = c.old
		writeConfig(t, dir, config)
		config.Init = c.now
		if _, same, err := s.same(dir, config); same != c.want || err != nil {
			t.Errorf("init %q, then %q: same %v, %v, want %v", c.old, c.now, same, err, c.want)
		}
		config.Epochs++
		if _, same, err := s.same(dir, config); same || err != nil {
			t.Errorf("other epochs: same %v, %v", same, err)
		}
	}
}

// A run that was interrupted goes on where its study has been moved to, with the weights that it starts from.
func TestMovedRunGoesOn(t *testing.T) {
	s, c := small(t)
	s.Dir, s.device = filepath.Join(t.TempDir(), "old"), mltest.GoBackend(t)
	if _, err := s.Train("natural", c, nil); err != nil {
		t.Fatal(err)
	}
	next := c
	next.Seed, next.Init = 1, s.Final("natural")
	sets, err := s.Sets()
	if err != nil {
		t.Fatal(err)
	}
	if err := recordStart(s.Run("next"), next.Init); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cureml.Train(ctx, s.device, next, sets, s.Run("next"), true, nil); !errors.Is(err, cureml.ErrInterrupted) {
		t.Fatalf("got %v, want a run that is interrupted", err)
	}
	moved := &Study{Preset: s.Preset, Dir: filepath.Join(t.TempDir(), "new"), device: s.device}
	if err := os.Rename(s.Dir, moved.Dir); err != nil {
		t.Fatal(err)
	}
	next.Init = moved.Final("natural")
	if _, err := moved.Train("next", next, nil); err != nil {
		t.Error(err)
	}
	if !Finished(moved.Run("next"), next) {
		t.Error("the run is not finished")
	}
}

func writeConfig(t *testing.T, dir string, c cureml.Config) {
	t.Helper()
	text, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What the repository holds of runs is what their studies would train today, and no more than that.
func TestSavedMeasurements(t *testing.T) {
	const root = "../../notebooks/saved"
	for _, p := range presets {
		configs := map[string]map[string]cureml.Config{"layerwise": {}, "overfitting": {}}
		in := func(name string) *Study { return &Study{Preset: p, Dir: filepath.Join("runs", p.Name, name)} }
		l, err := in("layerwise").Layerwise(LayerwiseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range l.Variants() {
			configs["layerwise"][v.run()] = l.Config(v)
		}
		o, err := in("overfitting").Overfitting()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range o.Methods {
			configs["overfitting"][name] = o.Config(name)
		}
		for name, runs := range configs {
			found, err := filepath.Glob(filepath.Join(root, p.Name, name, "*", "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range found {
				dir := filepath.Dir(path)
				c, known := runs[filepath.Base(dir)]
				if !known {
					if filepath.Base(dir) != naturalRun {
						t.Errorf("%s is no run of the study", dir)
					}
					continue
				}
				if _, same, err := in(name).same(dir, c); !same || err != nil {
					t.Errorf("%s was measured with another config than that of the study (%v): measure it again", dir, err)
				}
			}
		}
	}
	_ = filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if ext := filepath.Ext(path); ext != ".json" && ext != ".jsonl" || info.Size() > 1<<18 {
			t.Errorf("%s: %d bytes, want JSON of at most 256 KB", path, info.Size())
		}
		return nil
	})
}
