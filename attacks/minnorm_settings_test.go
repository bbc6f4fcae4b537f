package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestExcess compares ALMA's constraint with the formula by full sort.
func TestExcess(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 43))
	logits, y := make2d(10, 5), make([]int32, 10)
	for i := range logits {
		for k := range logits[i] {
			logits[i][k] = float32(3 * rng.NormFloat64())
		}
		y[i] = int32(rng.IntN(5))
	}
	got := eval(t, goBackend(t), func(in []*Node) []*Node { return []*Node{excess(in[0], in[1], .01)} }, logits, y)[0].Value().([]float32)
	for i, z := range logits {
		sorted := widen(z)
		slices.Sort(sorted)
		other := sorted[4]
		if float64(z[y[i]]) == other {
			other = sorted[3]
		}
		want := (float64(z[y[i]]) - other + .01) / (sorted[4] - sorted[2] + 1e-8)
		if !near(float64(got[i]), want, 1e-5) {
			t.Errorf("image %d: %g, want %g", i, got[i], want)
		}
	}
}

func TestBadApproaches(t *testing.T) {
	l2, nan := Ball{L2, .5}, math.NaN()
	for want, m := range map[string]Method{
		"norm linf: DDN":         DDN{Ball: standardBall},
		"eps -1 for l2":          DDN{Ball: Ball{L2, -1}},
		"steps -1: want":         DDN{Ball: l2, Steps: -1},
		"initial eps -2":         DDN{Ball: l2, InitEps: -2},
		"gamma 1:":               DDN{Ball: l2, Gamma: 1},
		"levels 1:":              DDN{Ball: l2, Levels: 1},
		"norm Norm(9)":           FMN{Ball: Ball{9, 1}},
		"eps NaN for l0":         FMN{Ball: Ball{L0, nan}},
		"eps 8 for linf":         FMN{Ball: Ball{Linf, 8}},
		"steps -3":               FMN{Ball: l2, Steps: -3},
		"step size NaN":          FMN{Ball: l2, StepSize: nan},
		"last step size -1":      FMN{Ball: l2, LastStepSize: -1},
		"gamma -0.1":             FMN{Ball: l2, Gamma: -.1},
		"last gamma 2":           FMN{Ball: l2, LastGamma: 2},
		"norm l1: ALMA":          ALMA{Ball: Ball{L1, 2}},
		"norm l0: ALMA":          ALMA{Ball: Ball{L0, 2}},
		"eps +Inf for l2":        ALMA{Ball: Ball{L2, math.Inf(1)}},
		"steps -2":               ALMA{Ball: l2, Steps: -2},
		"check -1":               ALMA{Ball: l2, Check: -1},
		"step size -0.1":         ALMA{Ball: l2, StepSize: -.1},
		"first distance NaN":     ALMA{Ball: l2, FirstDistance: nan},
		"mu -1":                  ALMA{Ball: l2, Mu: -1},
		"rho +Inf":               ALMA{Ball: l2, Rho: math.Inf(1)},
		"tolerance -1":           ALMA{Ball: l2, Tolerance: -1},
		"growth 0.5":             ALMA{Ball: l2, Growth: .5},
		"decay 1.5":              ALMA{Ball: l2, Decay: 1.5},
		"tau 2":                  ALMA{Ball: l2, Tau: 2},
		"smoothing 1":            ALMA{Ball: l2, Smoothing: 1},
		"norm l0: want linf or ": PGD{Ball: Ball{L0, 3}, Steps: 1, Loss: "ce"},
		"only FMN takes l0":      APGD{Ball: Ball{L0, 3}, Steps: 1, Loss: "ce"},
	} {
		if err := m.Validate(10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want it to have %q", m, err, want)
		}
	}
	if err := (ALMA{Ball: l2}).Validate(2); err == nil || !strings.Contains(err.Error(), "2 classes") {
		t.Errorf("ALMA with 2 classes: %v", err)
	}
}

// TestMinimumPresets checks the presets and what can be overridden.
func TestMinimumPresets(t *testing.T) {
	var names []string
	for _, a := range minimumPresets {
		names = append(names, a.Name)
		if err := a.Validate(10); err != nil {
			t.Error(err)
		}
		if !minimizes(a.Method) {
			t.Errorf("%s does not minimise", a.Name)
		}
	}
	if want := "ddn fmn-l2 fmn-linf fmn-l1 fmn-l0 alma"; strings.Join(names, " ") != want {
		t.Errorf("presets %v, want %s", names, want)
	}
	steps, eps, size, norm := 7, .25, .3, L1
	for i, want := range map[int]Method{
		0: DDN{Ball: Ball{L2, .25}, Steps: 7}, 2: FMN{Ball: Ball{L1, .25}, Steps: 7, StepSize: .3}, 5: ALMA{Ball: Ball{L2, .25}, Steps: 7, StepSize: .3},
	} {
		o := Override{Eps: &eps, Steps: &steps, StepSize: &size}
		if i == 2 {
			o.Norm = &norm
		}
		if got, err := minimumPresets[i].With(o); err != nil || got.Method != want {
			t.Errorf("%s: %+v, %v, want %+v", names[i], got.Method, err, want)
		}
	}
	if got, err := minimumPresets[0].With(Override{Norm: &norm, Eps: &eps}); err != nil || got.Validate(10) == nil {
		t.Errorf("ddn in l1: %v, accepted", err)
	}
	if (Ball{Norm: L0}).distance([]float32{0, .5, 1, .25}, []float32{0, .25, 1, .5}) != 2 {
		t.Error("l0 distance of two changed values")
	}
}
