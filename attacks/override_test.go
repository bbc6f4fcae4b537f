package attacks

import (
	"slices"
	"strings"
	"testing"
)

// TestRefusedSettings gives each kind of attack the settings that say what it does; those that it does not take it names.
func TestRefusedSettings(t *testing.T) {
	settings := map[string]Override{"start": {Start: new(Normal)}, "loss": {Loss: "ce"}, "best": {Best: new(true)}, "target": {Target: new(Likeliest)}}
	for _, tc := range []struct {
		preset string
		takes  string
	}{
		{"pgd20", "start loss best target"},
		{"fgsm", "loss target"},
		{"fgsm-rs", "loss target"},
		{"rfgsm", "loss target"},
		{"mi-fgsm", "loss target"},
		{"apgd-ce", "loss"},
		{"apgd-t", ""},
		{"square", ""},
		{"spsa", ""},
		{"fab-t", ""},
		{"ddn", ""},
		{"fmn-l2", ""},
		{"alma", ""},
		{"deepfool-l2", ""},
		{"cw-l2", ""},
		{"cw-linf", ""},
		{"min-pgd", "start loss best target"}, // the last refused by Validate
		{"min-apgd", "loss"},
		{"autoattack", ""},
		{"autoattack-rand", ""},
		{"pgd20+square", ""},
		{"pgd20+apgd-ce", "loss"},
	} {
		a, err := Preset(tc.preset)
		if err != nil {
			t.Fatal(err)
		}
		for name, o := range settings {
			_, err := a.With(o)
			if slices.Contains(strings.Fields(tc.takes), name) {
				if err != nil {
					t.Errorf("%s with %s: %v", tc.preset, name, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), "takes no "+name+": want norm, eps, ") {
				t.Errorf("%s with %s: error %v", tc.preset, name, err)
			}
		}
		if _, err := a.With(Override{Target: new(Untargeted)}); err != nil {
			t.Errorf("%s without target: %v", tc.preset, err)
		}
	}
}
