package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestSingleStepsInClosedForm compares R-FGSM and FGSM-RS with their formulas pixel by pixel, for the known gradient of a
// linear model and the noise of each image's stream.
func TestSingleStepsInClosedForm(t *testing.T) {
	backend := goBackend(t)
	const n, eps = 10, 8. / 255
	for size, image := range map[int][3]int{1: {2, 2, 3}, 4: {6, 1, 1}, 64: {4, 5, 2}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(8, uint64(d)))
		l := newLinear(rng, d)
		images, labels := l.greyImages(rng, n)
		images[0], images[1] = 0, 255
		rfgsm := RFGSM{Ball: Ball{Linf, eps}, Alpha: 3. / 255, Loss: "ce"}
		rs, err := Preset("fgsm-rs")
		if err != nil {
			t.Fatal(err)
		}
		report := evaluate(t, l.model(backend, image), images, labels, []Attack{{Name: "rfgsm", Method: rfgsm}, rs}, Options{Batch: size, Seed: 4, KeepAdv: true})
		for i := range n {
			if !report.Clean.Flags[i] {
				continue
			}
			normal, uniform := stream(4, "rfgsm", i, 0), make([]float32, d)
			PGD{Ball: Ball{Linf, eps}, Start: Uniform}.Noise(uniform, stream(4, "fgsm-rs", i, 0))
			for k := range d {
				x, up := float64(images[i*d+k])/255, 1.
				if (l.w[k] > 0) == (labels[i] == 0) {
					up = -1
				}
				clip := func(v float64) float64 { return math.Max(0, math.Min(1, v)) }
				first := clip(x + math.Copysign(3./255, normal.NormFloat64()))
				want := []float64{
					clip(first + 5./255*up),
					clip(x + math.Max(-eps, math.Min(eps, clip(x+float64(uniform[k]))+1.25*eps*up-x))),
				}
				for a, r := range report.Attacks {
					if got := float64(r.Adv[i*d+k]); math.Abs(got-want[a]) > 1e-6 {
						t.Errorf("%s, batch %d: image %d, pixel %d: %g, want %g", r.Name, size, i, k, got, want[a])
					}
				}
			}
			for _, r := range report.Attacks {
				checkReturned(t, r.Name, Ball{Linf, eps}, r.Adv[i*d:(i+1)*d], floats(images[i*d:(i+1)*d]))
			}
		}
		for _, r := range report.Attacks {
			if live := int64(report.Clean.Flags.count()); r.Forwards != 2*live || r.Backwards != live {
				t.Errorf("%s: %d forwards and %d backwards for %d images", r.Name, r.Forwards, r.Backwards, live)
			}
		}
	}
}

// TestRFGSMWithoutJumpIsFGSM compares bit for bit.
func TestRFGSMWithoutJumpIsFGSM(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	images[0], images[1] = 0, 255
	ball := Ball{Linf, .06}
	report := evaluate(t, model, images, labels, []Attack{
		{Name: "fgsm", Method: PGD{Ball: ball, Steps: 1, StepSize: .06, Loss: "ce"}},
		{Name: "rfgsm", Method: RFGSM{Ball: ball, Loss: "ce"}},
		{Name: "three", Method: RFGSM{Ball: ball, Alpha: .02, Loss: "ce", Restarts: 3}},
		{Name: "noise alone", Method: RFGSM{Ball: ball, Alpha: .06, Loss: "ce"}},
	}, Options{Batch: 7, KeepAdv: true})
	fgsm, none, noise := report.Attacks[0], report.Attacks[1], report.Attacks[3]
	if !slices.Equal(none.Adv, fgsm.Adv) || !slices.Equal(none.Losses, fgsm.Losses) {
		t.Error("alpha 0 is not FGSM")
	}
	if three := report.Attacks[2]; three.Backwards <= fgsm.Backwards || slices.Equal(three.Adv, fgsm.Adv) {
		t.Errorf("three runs: %d backwards, one has %d", three.Backwards, fgsm.Backwards)
	}
	x := floats(images)
	for k, v := range noise.Adv {
		if report.Clean.Flags[k/12] && math.Abs(math.Abs(float64(v-x[k]))-.06) > 1e-6 && v != 0 && v != 1 {
			t.Errorf("alpha eps: pixel %d moved by %g, want 0.06", k, v-x[k])
		}
	}
}

func TestRFGSMSettings(t *testing.T) {
	good := RFGSM{Ball: standardBall, Alpha: 4. / 255, Loss: "ce"}
	for _, tc := range []struct {
		change func(r *RFGSM)
		want   string
	}{
		{func(r *RFGSM) { r.Ball.Norm = L2 }, "norm l2"},
		{func(r *RFGSM) { r.Alpha = .1 }, "alpha 0.1"},
		{func(r *RFGSM) { r.Alpha = -.01 }, "alpha -0.01"},
		{func(r *RFGSM) { r.Alpha = math.NaN() }, "alpha NaN"},
		{func(r *RFGSM) { r.Ball.Eps = 8 }, "eps 8"},
		{func(r *RFGSM) { r.Loss = "" }, `loss ""`},
		{func(r *RFGSM) { r.Loss, r.Alpha = "kl", 0 }, "loss kl"},
		{func(r *RFGSM) { r.Restarts = -1 }, "restarts -1"},
		{func(r *RFGSM) { r.Target, r.Loss = Likeliest, "kl" }, "loss kl"},
	} {
		r := good
		tc.change(&r)
		if err := r.Validate(10); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", r, err, tc.want)
		}
	}
	a, err := Preset("rfgsm")
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.With(Override{Eps: new(.02), Restarts: new(3), Loss: "cw", Target: new(LeastLikely), Steps: new(9), StepSize: new(.5)})
	r := got.Method.(RFGSM)
	if err != nil || !near(r.Alpha, .01, 1e-12) || r.Ball.Eps != .02 || r.Restarts != 3 || r.Loss != "cw" || r.Target != LeastLikely {
		t.Errorf("%+v, %v", r, err)
	}
	rs, err := Preset("fgsm-rs")
	if err != nil {
		t.Fatal(err)
	}
	got, err = rs.With(Override{Eps: new(.02), Restarts: new(3), Steps: new(20)})
	want := PGD{Ball: Ball{Linf, .02}, Steps: 1, StepSize: .025, Start: Uniform, Restarts: 3, Loss: "ce", Kappa: 50}
	if err != nil || got.Method != want {
		t.Errorf("%+v, %v, want %+v", got.Method, err, want)
	}
	if got, err = rs.With(Override{StepSize: new(.03)}); err != nil || got.Method.(PGD).StepSize != .03 {
		t.Errorf("%+v, %v", got.Method, err)
	}
}
