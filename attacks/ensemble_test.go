package attacks

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestEnsemble checks that an ensemble breaks exactly the images that some stage breaks on its own, with the stage's
// image, and that its passes are those of its stages.
func TestEnsemble(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 24)
	ball := Ball{Linf, .03}
	stages := []Attack{
		{Name: "weak", Method: PGD{Ball: ball, Steps: 1, StepSize: .01, Loss: "ce"}},
		{Name: "apgd-ce", Method: APGD{Ball: ball, Steps: 5, Loss: "ce"}},
		{Name: "apgd-t", Method: APGD{Ball: ball, Steps: 5, Targets: 4}},
	}
	alone := evaluate(t, model, images, labels, stages, Options{Batch: 7, Seed: 3, KeepAdv: true})
	report := evaluate(t, model, images, labels, []Attack{{Name: "all", Method: Ensemble{Stages: stages}}}, Options{Batch: 7, Seed: 3, KeepAdv: true})
	r := report.Attacks[0]
	if !slices.Equal(r.RobustFlags, alone.RobustFlags) || len(report.Attacks) != 1 || len(r.Stages) != 3 {
		t.Fatalf("flags %v of %d stages, want %v of 3", r.RobustFlags, len(r.Stages), alone.RobustFlags)
	}
	left, d := report.Clean.Flags, model.pixels()
	var forwards, backwards int64
	for k, stage := range r.Stages {
		if stage.Name != stages[k].Name || stage.RobustFlags.count() >= left.count() && k < 2 {
			t.Errorf("stage %s left %d of %d: the test needs progress", stage.Name, stage.RobustFlags.count(), left.count())
		}
		for i, robust := range stage.RobustFlags {
			if robust != (left[i] && alone.Attacks[k].RobustFlags[i]) {
				t.Errorf("stage %s: image %d: robust %v", stage.Name, i, robust)
			}
			if left[i] && !robust && !slices.Equal(r.Adv[i*d:(i+1)*d], stage.Adv[i*d:(i+1)*d]) {
				t.Errorf("stage %s: image %d is not the one returned", stage.Name, i)
			}
		}
		left = stage.RobustFlags
		forwards, backwards = forwards+stage.Forwards, backwards+stage.Backwards
		if k > 0 && stage.Forwards >= alone.Attacks[k].Forwards {
			t.Errorf("stage %s: %d forwards, alone %d", stage.Name, stage.Forwards, alone.Attacks[k].Forwards)
		}
	}
	if r.Forwards != forwards || r.Backwards != backwards || forwards == 0 {
		t.Errorf("%d forwards and %d backwards, the stages have %d and %d", r.Forwards, r.Backwards, forwards, backwards)
	}
	text, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(text), `"mean_loss":null`) || !strings.Contains(string(text), `"stages":[{"name":"weak"`) {
		t.Errorf("JSON %s, %v", text, err)
	}
}

func TestEnsembleValidate(t *testing.T) {
	ce := Attack{Name: "apgd-ce", Method: APGD{Ball: standardBall, Steps: 5, Loss: "ce"}}
	other := Attack{Name: "other", Method: APGD{Ball: Ball{L2, .5}, Steps: 5, Loss: "ce"}}
	for want, s := range map[string]Ensemble{
		"without attacks":            {},
		"two stages are called":      {Stages: []Attack{ce, ce}},
		"different balls":            {Stages: []Attack{ce, other}},
		"ensemble within":            {Stages: []Attack{{Name: "in", Method: Ensemble{Stages: []Attack{ce}}}}},
		"want an attack":             {Stages: []Attack{{Name: "natural"}}},
		"x: targets 9: want at most": {Stages: []Attack{{Name: "x", Method: APGD{Ball: standardBall, Steps: 5, Targets: 9}}}},
	} {
		if err := s.Validate(5); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	a, err := Preset("autoattack-fast")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = a.With(Override{Norm: new(L1), Eps: new(12.), Steps: new(50)}); err != nil || a.Validate(10) != nil {
		t.Fatal(err, a.Validate(10))
	}
	if got, want := a.Method.(Ensemble).Stages[1].Method, (APGD{Ball: Ball{L1, 12}, Steps: 50, Restarts: 1, Targets: 5, Shrink: true}); got != want {
		t.Errorf("in L1 %+v, want %+v", got, want)
	}
}
