package attacks

import (
	"strings"
	"testing"
)

func TestPresets(t *testing.T) {
	// From the official codes: TRADES pgd_attack_cifar10.py, MART eval_attack.py, FAT, AWP, and their READMEs.
	want := map[string]PGD{
		"fgsm":           {Ball: Ball{Linf, 8. / 255}, Steps: 1, StepSize: 8. / 255, Start: None, Loss: "ce"},
		"bim":            {Ball: Ball{Linf, 8. / 255}, Steps: 10, StepSize: 2. / 255, Start: None, Loss: "ce"},
		"pgd10":          {Ball: Ball{Linf, 8. / 255}, Steps: 10, StepSize: 2. / 255, Start: Uniform, Loss: "ce"},
		"pgd20":          {Ball: Ball{Linf, .031}, Steps: 20, StepSize: .003, Start: UniformUnclipped, Loss: "ce"},
		"pgd20-trades":   {Ball: Ball{Linf, .031}, Steps: 20, StepSize: .003, Start: UniformUnclipped, Loss: "ce"},
		"pgd20-mart-wrn": {Ball: Ball{Linf, .031}, Steps: 20, StepSize: .0031, Start: UniformUnclipped, Loss: "ce"},
		"pgd20-fat":      {Ball: Ball{Linf, .031}, Steps: 20, StepSize: .031 / 4, Start: Uniform, Loss: "ce"},
		"pgd20-awp":      {Ball: Ball{Linf, 8. / 255}, Steps: 20, StepSize: 2. / 255, Start: Uniform, Loss: "ce"},
		"pgd20-nostart":  {Ball: Ball{Linf, .031}, Steps: 20, StepSize: .003, Start: None, Loss: "ce"},
		"pgd50":          {Ball: Ball{Linf, 8. / 255}, Steps: 50, StepSize: 2. / 255, Start: Uniform, Loss: "ce"},
		"cw20":           {Ball: Ball{Linf, .031}, Steps: 20, StepSize: .003, Start: UniformUnclipped, Loss: "cw"},
		"pgd-cw":         {Ball: Ball{Linf, .031}, Steps: 20, StepSize: .003, Start: UniformUnclipped, Loss: "cw"},
		"pgd20-l2":       {Ball: Ball{L2, .5}, Steps: 20, StepSize: .0625, Start: Uniform, Loss: "ce"},
	}
	for name, p := range want {
		p.Kappa, p.Restarts = 50, 1
		a, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		got := a.Method.(PGD)
		if !near(got.StepSize, p.StepSize, 1e-15) {
			t.Errorf("%s: step size %g, want %g", name, got.StepSize, p.StepSize)
		}
		got.StepSize = p.StepSize
		if got != p || a.Name != name {
			t.Errorf("%s: %+v, want %+v", a.Name, got, p)
		}
	}
	for _, name := range Presets() {
		a, err := Preset(name)
		if err != nil || a.Validate(10) != nil {
			t.Errorf("%s: %v, %v", name, err, a.Validate(10))
		}
	}
	_, err := Preset("pgd21")
	if err == nil {
		t.Fatal("pgd21 accepted")
	}
	for _, name := range Presets() {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not list %s", err, name)
		}
	}
}

func TestOverride(t *testing.T) {
	cases := []struct {
		name   string
		preset string
		given  Override
		want   PGD
	}{
		{"nothing", "pgd20", Override{}, PGD{Ball: Ball{Linf, .031}, Steps: 20, StepSize: .003, Start: UniformUnclipped, Loss: "ce"}},
		{"eps and steps", "pgd20", Override{Eps: new(8. / 255), Steps: new(50)},
			PGD{Ball: Ball{Linf, 8. / 255}, Steps: 50, StepSize: .003, Start: UniformUnclipped, Loss: "ce"}},
		{"everything", "bim", Override{Norm: new(L2), Eps: new(.5), StepSize: new(.1), Steps: new(7), Restarts: new(3), Start: new(Uniform), Loss: "dlr", Best: new(true)},
			PGD{Ball: Ball{L2, .5}, Steps: 7, StepSize: .1, Start: Uniform, Loss: "dlr", Restarts: 3, Best: true}},
		{"a step size tied to eps follows", "pgd20-fat", Override{Eps: new(.02)}, PGD{Ball: Ball{Linf, .02}, Steps: 20, StepSize: .005, Start: Uniform, Loss: "ce"}},
		{"unless given", "pgd20-fat", Override{Eps: new(.02), StepSize: new(.001)}, PGD{Ball: Ball{Linf, .02}, Steps: 20, StepSize: .001, Start: Uniform, Loss: "ce"}},
		{"another norm takes steps of its own", "pgd20", Override{Norm: new(L2), Eps: new(.5)},
			PGD{Ball: Ball{L2, .5}, Steps: 20, StepSize: .0625, Start: UniformUnclipped, Loss: "ce"}},
		{"the same norm changes nothing", "pgd20", Override{Norm: new(Linf)}, PGD{Ball: Ball{Linf, .031}, Steps: 20, StepSize: .003, Start: UniformUnclipped, Loss: "ce"}},
		{"FGSM stays one step of eps", "fgsm", Override{Eps: new(.02), Steps: new(20), StepSize: new(.003), Restarts: new(5)},
			PGD{Ball: Ball{Linf, .02}, Steps: 1, StepSize: .02, Start: None, Loss: "ce"}},
		{"FGSM in L2", "fgsm", Override{Norm: new(L2), Eps: new(.5)}, PGD{Ball: Ball{L2, .5}, Steps: 1, StepSize: .5, Start: None, Loss: "ce"}},
	}
	for _, tc := range cases {
		a, err := Preset(tc.preset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.With(tc.given)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		tc.want.Kappa, tc.want.Restarts = 50, max(tc.want.Restarts, 1)
		if p := got.Method.(PGD); p != tc.want || got.Name != tc.preset {
			t.Errorf("%s: %+v, want %+v", tc.name, p, tc.want)
		}
	}
	a, _ := Preset("pgd20")
	if _, err := a.With(Override{Norm: new(L2)}); err == nil || !strings.Contains(err.Error(), "needs an eps") {
		t.Errorf("another norm without eps: error %v", err)
	}
	if natural, err := (Attack{Name: "natural"}).With(Override{Eps: new(.1)}); err != nil || natural.Method != nil {
		t.Errorf("natural: %v, %v", natural, err)
	}
}

func TestOverrideOfSearches(t *testing.T) {
	a, err := Preset("apgd-t")
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.With(Override{Norm: new(L2), Eps: new(.5), Steps: new(7), Restarts: new(3), StepSize: new(.1), Queries: new(9)})
	if want := (APGD{Ball: Ball{L2, .5}, Steps: 7, Restarts: 3, Targets: 9}); err != nil || got.Method != want || got.Name != "apgd-t" {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := a.With(Override{Norm: new(L1)}); err == nil || !strings.Contains(err.Error(), "needs an eps") {
		t.Errorf("another norm without eps: error %v", err)
	}
	for _, tc := range []struct {
		change func(a *APGD)
		want   string
	}{
		{func(a *APGD) { a.Targets = 10 }, "targets 10: want at most 9"},
		{func(a *APGD) { a.Steps = 0 }, "steps 0"},
		{func(a *APGD) { a.Targets, a.Loss = 0, "kl" }, "want ce or dlr"},
		{func(a *APGD) { a.Shrink = true }, "shrinking balls for linf"},
		{func(a *APGD) { a.Rho = 2 }, "rho 2"},
		{func(a *APGD) { a.Restarts = -1 }, "restarts -1"},
		{func(a *APGD) { a.Ball.Eps = 8 }, "eps 8"},
	} {
		m := a.Method.(APGD)
		tc.change(&m)
		if err := m.Validate(10); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", m, err, tc.want)
		}
	}
	if err := (APGD{Ball: standardBall, Steps: 1, Targets: 2}).Validate(3); err == nil || !strings.Contains(err.Error(), "at least 4") {
		t.Errorf("targets of 3 classes: error %v", err)
	}
}
