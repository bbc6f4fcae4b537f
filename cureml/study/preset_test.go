package study

import (
	"strings"
	"testing"

	"cure/cureml"
)

func TestFromEnv(t *testing.T) {
	for name, want := range map[string]string{"": "mini", "ci": "ci", "mini": "mini", "paper": "paper"} {
		t.Setenv(PresetEnv, name)
		if p, err := FromEnv(); err != nil || p.Name != want {
			t.Errorf("%s=%q: got %q, %v, want %s", PresetEnv, name, p.Name, err, want)
		}
	}
	t.Setenv(PresetEnv, "huge")
	if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "ci, mini, paper") {
		t.Errorf("unknown preset: got error %v, want one that lists those known", err)
	}
}

func TestConfigs(t *testing.T) {
	for _, p := range presets {
		for _, method := range cureml.MethodNames() {
			c := p.Config(method)
			if err := c.Validate(); err != nil {
				t.Errorf("%s, %s: %v", p.Name, method, err)
			}
			if c.Method != method || c.Arch.Width != p.Arch.Width {
				t.Errorf("%s: got a config of %s, width %d, want %s, width %d", p.Name, c.Method, c.Arch.Width, method, p.Arch.Width)
			}
		}
	}
	for _, p := range presets {
		eps := 0.031 // TRADES'
		if p.Name == "paper" {
			eps = 8.0 / 255
		}
		if c := p.Config("cure"); c.Attack.Eps != eps {
			t.Errorf("%s, cure: eps %g, want %g", p.Name, c.Attack.Eps, eps)
		}
	}
	// The papers' schedules: the last of these epochs (1-based) has this rate.
	for _, c := range []struct {
		method string
		epoch  int
		lr     float64
	}{{"cure", 99, .1}, {"cure", 100, .01}, {"cure", 150, .001}, {"trades", 99, .1}, {"trades", 105, .001}} {
		config := presets[2].Config(c.method)
		if got := config.Schedule.At((c.epoch-1)*391, config.Epochs*391, 391); got < .99*c.lr || got > 1.01*c.lr {
			t.Errorf("paper, %s: rate %g in epoch %d, want %g", c.method, got, c.epoch, c.lr)
		}
	}
}

func TestSets(t *testing.T) {
	s := &Study{Preset: presets[0]}
	sets, err := s.Sets()
	if err != nil {
		t.Fatal(err)
	}
	if sets.Train.Len() != 256 || sets.Test.Len() != 32 {
		t.Errorf("got %d and %d images, want 256 and 32", sets.Train.Len(), sets.Test.Len())
	}
	t.Setenv("CURE_DATA", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := readSets("CIFAR-100"); err == nil || !strings.Contains(err.Error(), "cure data download cifar-100") {
		t.Errorf("no data: got error %v, want one that says how to get them", err)
	}
}
