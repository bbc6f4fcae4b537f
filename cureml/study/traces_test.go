package study

import (
	"errors"
	"strings"
	"testing"

	"cure/cureml"
	"cure/cureml/mltest"
)

// tinyTraces is the study at a size of seconds.
func tinyTraces(t *testing.T) *Traces {
	t.Helper()
	s, _ := small(t)
	s.device = mltest.GoBackend(t)
	s.TrainImages, s.TestImages = 8, 4
	recipe := s.recipe
	s.recipe = func(c *cureml.Config) {
		recipe(c)
		c.Batch, c.Attack.Steps, c.EvalEvery, c.LogEvery = 4, 1, 0, 1
	}
	return &Traces{s, traceSize{arch: s.Arch, epochs: map[string]int{"natural": 1, "trades": 1, "cure": 2}, every: 1, batch: 4, batches: 2, images: 4}}
}

// TestTraces: runs keep their networks, CURE starts from the natural one, and what was found is not computed again.
func TestTraces(t *testing.T) {
	x := tinyTraces(t)
	for _, run := range []string{"cure-released", "trades"} {
		if _, err := x.Train(run, nil); err != nil {
			t.Fatal(err)
		}
	}
	cure, err := x.Moments("cure-released")
	if err != nil || len(cure) != 3 || cure[2].Name != "cure-released, epoch 2" {
		t.Fatalf("moments %+v, error %v", cure, err)
	}
	natural, err := x.Network("natural")
	if err != nil || natural.Sum() != cure[0].Sum() {
		t.Errorf("CURE does not start from the natural network (%v)", err)
	}
	rule, err := x.Rule("released")
	if err != nil {
		t.Fatal(err)
	}
	last, err := x.Last("cure-released")
	if err != nil || len(last) != 1 || last[0].Epoch != 2 {
		t.Fatalf("last %+v, error %v", last, err)
	}
	still, err := x.Still("trades")
	if err != nil {
		t.Fatal(err)
	}
	measure := func() error {
		_, masks := x.Masks(last, rule)
		_, revision := x.Revision(last)
		_, gradients := x.Gradients(still)
		return errors.Join(masks, revision, gradients)
	}
	if err := measure(); err != nil {
		t.Fatal(err)
	}
	withoutBackend(t, x.Study)
	if err := measure(); err != nil {
		t.Errorf("what was found before is computed again: %v", err)
	}
	if _, err := x.Masks(cure, rule); err == nil {
		t.Error("other networks: read from a file, want an attempt to compute")
	}
	if _, err := x.Train("sgd", nil); err == nil || !strings.Contains(err.Error(), `unknown run "sgd"`) {
		t.Errorf("unknown run: error %v", err)
	}
}

func TestRule(t *testing.T) {
	x := &Traces{Study: &Study{Preset: presets[0]}}
	if r, err := x.Rule("released+alpha=1+percentile=0.5"); err != nil || r.Name != "released+alpha=1+percentile=0.5" || r.Cure.Face != "released" || r.Cure.Alpha != 1 || r.Cure.Percentile != 0.5 {
		t.Errorf("%+v, error %v", r, err)
	}
	for name, want := range map[string]string{"theta=1": "theta", "alpha=2": "alpha", "alpha=x": "alpha", "none": "face", "": "face"} {
		if _, err := x.Rule(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `rule "`+name+`"`) {
			t.Errorf("%q: error %v, want one about %s", name, err, want)
		}
	}
}

// TestTraceConfigs: every run is valid at every size, keeps snapshots, and CURE starts from a network of its form.
func TestTraceConfigs(t *testing.T) {
	for _, p := range presets {
		t.Setenv(PresetEnv, p.Name)
		x, err := OpenTraces(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for run, r := range traced {
			c, err := x.Config(run)
			if err == nil {
				err = c.Validate()
			}
			if err != nil || c.Method != r.method || c.SaveEvery == 0 || c.Arch.Width != x.size.arch.Width || (c.Init != "") != (r.face != "") {
				t.Errorf("%s, %s: %+v, error %v", p.Name, run, c, err)
			}
			if strings.HasPrefix(c.Init, "zoo:") != (r.face != "" && c.Arch.Width == 16) {
				t.Errorf("%s, %s starts from %q", p.Name, run, c.Init)
			}
		}
		if sets, err := x.Sets(); err == nil && sets.Train.Len() < x.size.batch*x.size.batches {
			t.Errorf("%s: %d training images for %d batches of %d", p.Name, sets.Train.Len(), x.size.batches, x.size.batch)
		}
	}
}
