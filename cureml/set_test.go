package cureml

import (
	"math"
	"testing"
)

// TestSet: a value is read as the type that its field has, and nothing else changes.
func TestSet(t *testing.T) {
	c := smallConfig("cure")
	c.Seed = math.MaxUint64
	for _, s := range []struct{ path, value string }{
		{"epochs", "3"}, {"attack.eps", "8/255"}, {"layerwise.train", "23"}, {"extra.data", "2024/10"}, {"augment", "false"},
		{"cure.face", "released"}, {"schedule.milestones", "[1,2]"},
	} {
		if err := c.Set(s.path, s.value); err != nil {
			t.Error(err)
		}
	}
	if c.Epochs != 3 || c.Attack.Eps != 8./255 || c.Layerwise.Train != "23" || c.Extra.Data != "2024/10" || c.Augment || c.Cure.Face != "released" {
		t.Errorf("got %+v", c)
	}
	if c.Seed != math.MaxUint64 {
		t.Errorf("the seed became %d", c.Seed)
	}
	for path, value := range map[string]string{"epochs": "many", "attack": "8/255", "cure.colour": "1", "schedule.milestones": "2"} {
		before := c
		if err := c.Set(path, value); err == nil || len(differences(before, c)) > 0 {
			t.Errorf("%s=%s: error %v, changes %v, want an error and none", path, value, err, differences(before, c))
		}
	}
}
