package recipes

import (
	"math"
	"slices"
	"strings"
	"testing"

	"cure/cureml"
	"cure/cureml/nn"
)

// Every method has a row, but for those that need images of the user's own.
func TestMethods(t *testing.T) {
	for _, method := range cureml.MethodNames() {
		if method != "score-generated" && !slices.ContainsFunc(Rows(), func(r Row) bool { return r.Method == method }) {
			t.Errorf("no row of method %s", method)
		}
	}
}

// Every row is valid at every size on every network it has a recipe for, and is what it says.
func TestConfigs(t *testing.T) {
	for _, r := range Rows() {
		if r.Title == "" || r.Kind == "" || r.Source == "" || !(r.Cost > 0) || len(r.Paper) == 0 {
			t.Errorf("row %s lacks a title, kind, source, cost or paper recipe", r.Name)
		}
		for _, p := range Presets() {
			archs := []nn.Arch{p.Arch}
			if p.Name == Paper.Name {
				archs = nil
				for name := range r.Paper {
					a, err := nn.Parse(name, 0, 10)
					if err != nil {
						t.Fatal(err)
					}
					archs = append(archs, a)
				}
			}
			for _, a := range archs {
				c, err := p.Config(r, a, 3, "runs")
				if err != nil {
					t.Errorf("%s, %s, %s: %v", r.Name, p.Name, a, err)
					continue
				}
				if c.Method != r.Method || c.Seed != 3 || c.Arch.String() != a.String() || c.Validation == 0 || c.Epochs < 2 {
					t.Errorf("%s, %s: config %+v", r.Name, p.Name, c)
				}
				if (c.Init != "") != (r.Init != "") || (c.Teacher.Robust != "") != (r.Robust != "") || (c.Teacher.Natural != "") != (r.Natural != "") {
					t.Errorf("%s, %s: starts from %q, teachers %+v", r.Name, p.Name, c.Init, c.Teacher)
				}
			}
		}
	}
	if _, err := Paper.Config(must(t, "natural"), nn.Arch{Name: "resnet50", Width: 64, Classes: 10}, 0, "runs"); err == nil || !strings.Contains(err.Error(), "it has one for resnet18, wrn-34-10") {
		t.Errorf("paper recipe for resnet50: error %v", err)
	}
	if c, err := Mini.Config(must(t, "cure"), Mini.Arch, 2, "dir/runs"); err != nil || c.Init != "dir/runs/natural-resnet18-w16-s2/final.safetensors" {
		t.Errorf("CURE starts from %q (%v)", c.Init, err)
	}
}

func must(t *testing.T, name string) Row {
	t.Helper()
	r, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Rows need only rows that come before them, whatever the list.
func TestNeeds(t *testing.T) {
	var seen []string
	for _, r := range Rows() {
		for _, need := range r.Needs() {
			if !slices.Contains(seen, need) {
				t.Errorf("%s needs %s, which does not come before it", r.Name, need)
			}
		}
		if slices.Contains(seen, r.Name) {
			t.Errorf("two rows are called %s", r.Name)
		}
		seen = append(seen, r.Name)
	}
	for _, s := range AblationSeries() {
		for i, name := range s.Rows {
			c, err := Mini.Config(must(t, name), Mini.Arch, 0, "runs")
			got := map[string]float64{"percentile": c.Cure.Percentile, "alpha": c.Cure.Alpha, "gamma": c.Cure.Gamma}[s.Setting]
			if err != nil || got != s.Values[i] {
				t.Errorf("series %s: row %s has %g, want %g (%v)", s.Setting, name, got, s.Values[i], err)
			}
		}
	}
}

// Learning rates at the epochs (1-based) where papers change them.
func TestPaperSchedules(t *testing.T) {
	for _, c := range []struct {
		row, arch string
		rates     map[int]float64
	}{
		{"natural", resnet18, map[int]float64{1: .1, 99: .1, 100: .01, 150: .001, 200: .001}},
		{"at", resnet18, map[int]float64{99: .1, 100: .01, 105: .001, 110: .001}},
		{"trades", wideResNet, map[int]float64{74: .1, 75: .01, 76: .01}},
		{"mart", resnet18, map[int]float64{1: .01, 74: .01, 75: .001, 90: 1e-4, 100: 1e-5, 120: 1e-5}},
		{"mart", wideResNet, map[int]float64{1: .1, 75: .01, 90: .001}},
		{"fat", resnet18, map[int]float64{59: .1, 60: .01, 90: .001, 110: .0005, 120: .0005}},
		{"st-at", resnet18, map[int]float64{79: .1, 80: .01, 100: .001}},
		{"act", resnet18, map[int]float64{59: .1, 60: .02, 120: .004, 160: .0008}},
		{"ard", resnet18, map[int]float64{100: .1, 101: .01, 200: .01}},
		{"las-at", resnet18, map[int]float64{99: .1, 100: .01, 105: .001}},
		{"cure", resnet18, map[int]float64{99: .1, 100: .01, 150: .001}},
		{"lbgat", wideResNet, map[int]float64{1: .02, 2: .1, 75: .1, 76: .01, 91: .001}},
		{"score", resnet18, map[int]float64{1: .05, 100: .005, 105: .0005}},
		{"at-awp", resnet18, map[int]float64{100: .1, 101: .01, 150: .01, 151: .001}},
		{"trades-awp", resnet18, map[int]float64{99: .1, 100: .01, 150: .001}},
	} {
		training := must(t, c.row).Paper[c.arch]
		if err := training.Schedule.Validate(); err != nil {
			t.Errorf("%s: %v", c.row, err)
		}
		for epoch, want := range c.rates {
			if got := training.Schedule.At((epoch-1)*382, training.Epochs*382, 382); math.Abs(got-want) > 1e-9 || epoch > training.Epochs {
				t.Errorf("%s on %s: rate %g in epoch %d of %d, want %g", c.row, c.arch, got, epoch, training.Epochs, want)
			}
		}
	}
}

// The ratios are the harmonic means of natural and C&W accuracy, but for the one misprint that is known.
func TestPublishedRatios(t *testing.T) {
	var misprints []string
	for _, r := range Rows() {
		for arch, p := range r.Published {
			if math.IsNaN(p.CW) {
				if !math.IsNaN(p.NRR) {
					t.Errorf("%s, %s: NRR %g without C&W", r.Name, arch, p.NRR)
				}
				continue
			}
			if want := 2 * p.Nat * p.CW / (p.Nat + p.CW); math.Abs(p.NRR-want) > 0.01 {
				misprints = append(misprints, r.Name+" "+arch)
				if p.NRR != 65.04 || math.Abs(want-65.40) > 0.005 || !slices.ContainsFunc(p.Notes, func(n Note) bool { return n.Column == "nrr" && strings.Contains(n.Text, "65.40") }) {
					t.Errorf("%s, %s: NRR %g, by the formula %.2f, notes %v", r.Name, arch, p.NRR, want, p.Notes)
				}
			}
			for _, v := range []float64{p.PGD20, p.CW, p.AA} {
				if v > p.Nat {
					t.Errorf("%s, %s: robust accuracy %g above the natural %g", r.Name, arch, v, p.Nat)
				}
			}
		}
	}
	if !slices.Equal(misprints, []string{"cure resnet18"}) {
		t.Errorf("ratios that are no harmonic means: %v, want CURE on ResNet-18 alone", misprints)
	}
}

func TestSelect(t *testing.T) {
	names := func(list string) string {
		t.Helper()
		rows, err := Select(list)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range rows {
			names = append(names, r.Name)
		}
		return strings.Join(names, " ")
	}
	if got := names("cure, natural,trades,cure"); got != "natural trades cure" {
		t.Errorf("got %s, want each once, in the order of the table", got)
	}
	if table := names(""); table != names("table") || table != "natural at trades mart fat st-at act ard iad-1 las-at cure" {
		t.Errorf("table: %s", table)
	}
	if got := names("ablations"); strings.Count(got, " ")+1 != len(ablationRows()) || names("all") != names("table,extras,ablations") {
		t.Errorf("groups: %s", got)
	}
	for list, want := range map[string]string{"sgd": `unknown row "sgd": accepted are natural, at`, "trades,,cure": `unknown row ""`} {
		if _, err := Select(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", list, err, want)
		}
	}
}

func TestShorten(t *testing.T) {
	c, err := Paper.Config(must(t, "natural"), Paper.Arch, 0, "runs") // drops from epochs 100 and 150 of 200 on
	if err != nil {
		t.Fatal(err)
	}
	Shorten(&c, 20)
	if c.Epochs != 20 || !slices.Equal(c.Schedule.Milestones, []int{11, 16}) {
		t.Errorf("%d epochs, milestones %v, want 20 and 11, 16", c.Epochs, c.Schedule.Milestones)
	}
	again, _ := Paper.Config(must(t, "natural"), Paper.Arch, 0, "runs")
	if !slices.Equal(again.Schedule.Milestones, []int{100, 150}) {
		t.Errorf("the recipe's own milestones became %v", again.Schedule.Milestones)
	}
	for _, row := range Rows() { // none begins anything after its end
		for _, epochs := range []int{2, 10} {
			c, err := Paper.Config(row, Paper.Arch, 0, "runs")
			if err != nil {
				t.Fatal(err)
			}
			Shorten(&c, epochs)
			if err := c.Validate(); err != nil {
				t.Errorf("%s in %d epochs: %v", row.Name, epochs, err)
			}
		}
	}
	if c, _ = Paper.Config(must(t, "trades-awp"), Paper.Arch, 0, "runs"); c.AWP.Start != 9 {
		t.Errorf("awp.start %d, want 9", c.AWP.Start)
	}
	c.Average.Start, c.RWP.Start, c.Cure.WarmupEpochs, c.Dafa.WarmupEpochs = 100, 199, 80, 1
	Shorten(&c, 20)
	if got := []int{c.AWP.Start, c.Average.Start, c.RWP.Start, c.Cure.WarmupEpochs, c.Dafa.WarmupEpochs}; !slices.Equal(got, []int{1, 10, 19, 8, 1}) {
		t.Errorf("starts and warm-ups %v, want a tenth of 9, 100, 199, 80, and 1", got)
	}
}

func TestChanges(t *testing.T) {
	a, err := Mini.Config(must(t, "cure"), Mini.Arch, 0, "here")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Mini.Config(must(t, "cure"), Mini.Arch, 0, "there")
	if changes := Changes(a, b); changes != nil {
		t.Errorf("another folder: %v, want no change", changes)
	}
	b.Epochs, b.Cure.Gamma, b.Average.Decay = 7, 0.5, 0.9
	if got := strings.Join(Changes(a, b), "; "); got != "average.decay none -> 0.9; average.start none -> 0; cure.gamma 1 -> 0.5; epochs 6 -> 7" {
		t.Errorf("changes: %s", got)
	}
}

// CURE's budget is the paper's by default and at paper scale; small tables train it in that of TRADES.
func TestBudgetOfCURE(t *testing.T) {
	for _, name := range []string{"cure", "cure-eff", "cure-rgp-only"} {
		row := must(t, name)
		for _, p := range Presets() {
			c, err := p.Config(row, p.Arch, 0, "runs")
			if err != nil {
				t.Fatal(err)
			}
			eps, step := 0.031, 0.007
			if p.Name == Paper.Name {
				eps, step = 8.0/255, 2.0/255
			}
			if c.Attack.Eps != eps || c.Attack.StepSize != step {
				t.Errorf("%s at %s: eps %g, step size %g, want %g and %g", name, p.Name, c.Attack.Eps, c.Attack.StepSize, eps, step)
			}
		}
		if a := cureml.Defaults(row.Method).Attack; a.Eps != 8.0/255 || a.StepSize != 2.0/255 {
			t.Errorf("%s: default eps %g, step size %g", row.Method, a.Eps, a.StepSize)
		}
	}
}

// What is known of times: mini goes by a measured run, paper is an estimate, others have none.
func TestExpected(t *testing.T) {
	c, err := Mini.Config(must(t, "trades"), Mini.Arch, 0, "runs")
	if err != nil {
		t.Fatal(err)
	}
	// 6 epochs of 4,576 images, and half of 509 to select, 82 a second: 5.9 minutes
	if got := Mini.Expected(must(t, "trades"), c); got != "about 6 minutes on two idle CPU cores, going by measured steps" {
		t.Errorf("mini: %q", got)
	}
	c.Arch.Width = 32
	if got := Mini.Expected(must(t, "trades"), c); got != "" {
		t.Errorf("another width: %q, want nothing", got)
	}
}
