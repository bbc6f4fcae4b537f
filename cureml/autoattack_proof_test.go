//go:build proof

package cureml

import (
	"path/filepath"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data/mini"
)

// TestAutoAttackParity compares AutoAttack's standard version with the official code on 256 images of network O, image by
// image: after each stage at most 3 more or fewer are robust, after the last at most 2, at least 98% of the verdicts are
// the same, and at most one image that the official code breaks stays robust. It takes no more passes than that code.
func TestAutoAttackParity(t *testing.T) {
	type stage struct {
		Flags attacks.Flags `json:"robust_flags"`
	}
	var file map[string]struct {
		Clean struct {
			Flags attacks.Flags `json:"correct_flags"`
		} `json:"clean"`
		Sequence struct {
			CE     stage `json:"apgd-ce"`
			T      stage `json:"apgd-t"`
			FAB    stage `json:"fab-t"`
			Square stage `json:"square"`
		} `json:"sequence"`
	}
	readOptional(t, filepath.Join(complete, "autoattack.json"), &file)
	set, err := mini.Test().Slice(0, 256)
	if err != nil {
		t.Fatal(err)
	}
	model := HostModel(mltest.XLA(t), networkO(t))
	for name, ball := range map[string]attacks.Ball{"Linf": {Norm: attacks.Linf, Eps: 8. / 255}, "L2": {Norm: attacks.L2, Eps: .5}} {
		a, err := attacks.Preset("autoattack")
		if err == nil {
			a, err = a.With(attacks.Override{Norm: &ball.Norm, Eps: &ball.Eps})
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := attacks.Evaluate(t.Context(), model, set.Images, set.Labels, []attacks.Attack{a}, attacks.Options{})
		if err != nil {
			t.Fatal(err)
		}
		official := file[name]
		for i, flag := range official.Clean.Flags {
			if flag != r.Clean.Flags[i] {
				t.Errorf("%s: clean verdict of image %d differs", name, i)
			}
		}
		for s, want := range []attacks.Flags{official.Sequence.CE.Flags, official.Sequence.T.Flags, official.Sequence.FAB.Flags, official.Sequence.Square.Flags} {
			got := r.Attacks[0].Stages[s]
			different, ours, theirs, missed := 0, 0, 0, 0
			for i, robust := range got.RobustFlags {
				if robust != want[i] {
					different++
				}
				if robust {
					ours++
				}
				if want[i] {
					theirs++
				}
				if robust && !want[i] {
					missed++
				}
			}
			allowed := 3
			if s == 3 {
				allowed = 2
			}
			if ours > theirs+allowed || ours < theirs-allowed || different > 256*2/100 || s == 3 && missed > 1 {
				t.Errorf("%s: after %s %d robust, the official code leaves %d; %d verdicts differ, %d images that it breaks are robust", name, got.Name, ours, theirs, different, missed)
			}
			t.Logf("%s: after %s %d robust (official %d), %d verdicts differ, %d forwards, %d backwards, %.0f s", name, got.Name, ours, theirs, different, got.Forwards, got.Backwards, got.Seconds)
		}
		formula, weights, err := attacks.OfficialPasses(model.Classes, a, r.Attacks[0], r.Clean.Flags)
		if err != nil {
			t.Fatal(err)
		}
		passes := 256 + r.Attacks[0].Forwards + r.Attacks[0].Backwards
		if passes > formula {
			t.Errorf("%s: %d passes, the official code needs %d", name, passes, formula)
		}
		t.Logf("%s: %d passes, %.3f of the official %d (%.3f with its passes back to the weights), %d left out, %.0f s", name, passes,
			float64(passes)/float64(formula), formula, float64(passes)/float64(formula+weights), r.Attacks[0].Skipped, r.Attacks[0].Seconds)
	}
}
