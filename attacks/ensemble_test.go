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
		"without attacks":                      {},
		"two stages are called":                {Stages: []Attack{ce, ce}},
		"different balls":                      {Stages: []Attack{ce, other}},
		"ensemble within":                      {Stages: []Attack{{Name: "in", Method: Ensemble{Stages: []Attack{ce}}}}},
		"want an attack":                       {Stages: []Attack{{Name: "natural"}}},
		"in: method of type *attacks.Ensemble": {Stages: []Attack{{Name: "in", Method: &Ensemble{Stages: []Attack{ce}}}}},
		"x: targets 9: want at most":           {Stages: []Attack{{Name: "x", Method: APGD{Ball: standardBall, Steps: 5, Targets: 9}}}},
	} {
		if err := s.Validate(5); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	for want, names := range map[string]string{
		"two stages are called pgd20":       "pgd20+fgsm+pgd20",
		`stage "natural": want an attack`:   "natural+fgsm",
		`"fab-min" looks for smallest`:      "fgsm+fab-min",
		`"pgd20-targeted" aims at target`:   "pgd20-targeted+square",
		`"autoattack": an ensemble within`:  "fgsm+autoattack",
		`attacks: unknown attack "": want `: "fgsm+",
	} {
		if _, err := Preset(names); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "attacks: ") {
			t.Errorf("%s: error %v, want %q", names, err, want)
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

// TestPointers: a pointer to an ensemble is refused, and one to a search runs as the search does.
func TestPointers(t *testing.T) {
	apgd := APGD{Ball: Ball{Linf, .05}, Steps: 3, Loss: "ce"}
	model, images, labels := perceptron(goBackend(t), 6)
	bad := Attack{Name: "bad", Method: &Ensemble{Stages: []Attack{{Name: "a", Method: apgd}}}}
	if _, err := Evaluate(t.Context(), model, images, labels, []Attack{bad}, Options{}); err == nil || !strings.Contains(err.Error(), "bad: method of type *attacks.Ensemble") {
		t.Errorf("error %v", err)
	}
	got := evaluate(t, model, images, labels, []Attack{{Name: "a", Method: &apgd}}, Options{})
	want := evaluate(t, model, images, labels, []Attack{{Name: "a", Method: apgd}}, Options{})
	if !slices.Equal(got.RobustFlags, want.RobustFlags) {
		t.Errorf("%v by the pointer, %v by the value", got.RobustFlags, want.RobustFlags)
	}
}

// TestLargerBalls: of the versions, the standard one and its fast form pass through larger balls, in L1.
func TestLargerBalls(t *testing.T) {
	for name, wanted := range map[string]bool{"autoattack": true, "autoattack-fast": true, "autoattack-plus": false, "autoattack-rand": false} {
		a, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		for norm, eps := range map[Norm]float64{Linf: .1, L2: .5, L1: 12} {
			changed, err := a.With(Override{Norm: &norm, Eps: &eps})
			if err != nil {
				t.Fatal(err)
			}
			for _, stage := range changed.Method.(Ensemble).Stages {
				if m, ok := stage.Method.(APGD); ok && m.Shrink != (wanted && norm == L1) {
					t.Errorf("%s in %s: %s shrinks balls: %v", name, norm, stage.Name, m.Shrink)
				}
			}
		}
	}
}

// TestStepsAndQueries: an override's steps go to the attacks by gradients of an ensemble, its queries to Square.
func TestStepsAndQueries(t *testing.T) {
	for _, name := range []string{"autoattack", "autoattack-plus", "apgd-dlr+square"} {
		before, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, ball := range []Ball{standardBall, {L2, .5}, {L1, 12}} {
			for given, o := range map[string]Override{"steps": {Steps: new(50)}, "queries": {Queries: new(200)}, "both": {Steps: new(50), Queries: new(200)}} {
				o.Norm, o.Eps = &ball.Norm, &ball.Eps
				after, err := before.With(o)
				if err != nil {
					t.Fatal(err)
				}
				steps, queries := 100, 5000
				if given != "queries" {
					steps = 50
				}
				if given != "steps" {
					queries = 200
				}
				for _, stage := range after.Method.(Ensemble).Stages {
					var got, want int
					switch m := stage.Method.(type) {
					case APGD:
						got, want = m.Steps, steps
					case FAB:
						got, want = m.Steps, steps
					case SquareAttack:
						got, want = m.Queries, queries
					}
					if got != want || want == 0 {
						t.Errorf("%s in %s with %s: %s has %d, want %d", name, ball.Norm, given, stage.Name, got, want)
					}
				}
			}
		}
	}
}
