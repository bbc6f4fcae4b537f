package cureml

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data/mini"
)

// officialVerdicts are those of the official AutoAttack on network O, image by image.
type officialVerdicts struct {
	Clean struct {
		Flags attacks.Flags `json:"correct_flags"`
	} `json:"clean"`
	Alone struct {
		Loss  []float64     `json:"loss"`
		Flags attacks.Flags `json:"robust_flags"`
	} `json:"apgd_ce_alone_all_images"`
	Sequence map[string]struct {
		Flags attacks.Flags `json:"robust_flags"`
	} `json:"sequence"` // after each stage
}

// readVerdicts has those on records 0 to 63, by norm.
func readVerdicts(t *testing.T) (file map[string]officialVerdicts) {
	t.Helper()
	readFixture(t, filepath.Join(torchFolder, "autoattack.json"), &file)
	return file
}

// TestAPGDParity compares APGD-CE with the official code on a few images: verdicts, and the highest loss of the images
// that stay robust, which depends little on the random start.
func TestAPGDParity(t *testing.T) {
	file := readVerdicts(t)
	const n = 8
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	model := HostModel(mltest.XLA(t), networkO(t))
	for _, ball := range []attacks.Ball{{Norm: attacks.Linf, Eps: 8. / 255}, {Norm: attacks.L2, Eps: .5}} {
		want := file[map[attacks.Norm]string{attacks.Linf: "Linf", attacks.L2: "L2"}[ball.Norm]]
		list := []attacks.Attack{{Name: "apgd-ce", Method: attacks.APGD{Ball: ball, Steps: 100, Loss: "ce"}}}
		r, err := attacks.Evaluate(t.Context(), model, set.Images, set.Labels, list, attacks.Options{Batch: n})
		if err != nil {
			t.Fatal(err)
		}
		different := 0
		for i := range n {
			if r.Clean.Flags[i] != want.Clean.Flags[i] {
				t.Errorf("%s: clean verdict of image %d is %v", ball.Norm, i, r.Clean.Flags[i])
			}
			robust := r.Attacks[0].RobustFlags[i]
			if robust != (want.Alone.Flags[i] && want.Clean.Flags[i]) {
				different++
			}
			got, highest := float64(r.Attacks[0].Losses[i]), want.Alone.Loss[i]
			if robust && math.Abs(got-highest) > .005*highest {
				t.Errorf("%s: image %d: highest loss %.4f, the official code finds %.4f", ball.Norm, i, got, highest)
			}
		}
		if different > 1 {
			t.Errorf("%s: %d of %d verdicts differ from the official code's", ball.Norm, different, n)
		}
		t.Logf("%s: %d verdicts differ, %d forwards, %d backwards, %.1f s", ball.Norm, different, r.Attacks[0].Forwards, r.Attacks[0].Backwards, r.Attacks[0].Seconds)
	}
}

// TestAutoAttackQuick runs all stages of AutoAttack with few iterations and queries on 16 images, where it breaks no more
// than the official code does with all of them, up to one image, and little less. What it returned for the images it broke
// is looked at once more, by another program than the evaluation's: it is misclassified, and lies in ball and box.
func TestAutoAttackQuick(t *testing.T) {
	const n, d = 16, 3072
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	a, err := attacks.Preset("autoattack")
	if err == nil {
		a, err = a.With(attacks.Override{Steps: new(10), Queries: new(200)})
	}
	if err != nil {
		t.Fatal(err)
	}
	model := HostModel(mltest.XLA(t), networkO(t))
	r, err := attacks.Evaluate(t.Context(), model, set.Images, set.Labels, []attacks.Attack{a}, attacks.Options{Batch: n, KeepAdv: true})
	if err != nil {
		t.Fatal(err)
	}
	official := readVerdicts(t)["Linf"]
	result, more, fewer := r.Attacks[0], 0, 0
	for i, robust := range result.RobustFlags {
		if r.Clean.Flags[i] != official.Clean.Flags[i] {
			t.Errorf("clean verdict of image %d is %v", i, r.Clean.Flags[i])
		}
		if theirs := official.Sequence["square"].Flags[i]; theirs && !robust {
			more++
		} else if robust && !theirs {
			fewer++
		}
	}
	if more > 1 || fewer > 1 {
		t.Errorf("%d images broken that the official code leaves robust, %d robust that it breaks", more, fewer)
	}
	classes, err := attacks.Predict(t.Context(), model, result.Adv, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, robust := range result.RobustFlags {
		if !r.Clean.Flags[i] || robust {
			continue
		}
		if classes[i] == int(set.Labels[i]) {
			t.Errorf("image %d counts as broken, but what was returned is classified correctly", i)
		}
		for k, v := range result.Adv[i*d : (i+1)*d] {
			if move := math.Abs(float64(v) - float64(set.Images[i*d+k])/255); !(v >= 0 && v <= 1) || move > 8./255+1e-6 {
				t.Fatalf("image %d: pixel value %d is %g, moved by %g", i, k, v, move)
			}
		}
	}
	for s, stage := range result.Stages {
		if stage.Forwards == 0 || (stage.Backwards == 0) != (stage.Name == "square") {
			t.Errorf("stage %d, %s: %d forwards, %d backwards", s, stage.Name, stage.Forwards, stage.Backwards)
		}
	}
	t.Logf("%d more and %d fewer broken than by the official code, %.1f s", more, fewer, result.Seconds)
}

// TestUnboundedAttacks: within the whole pixel box every image has an adversarial one.
func TestUnboundedAttacks(t *testing.T) {
	const n = 16
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	list, err := attacks.ParseList("pgd20,apgd-ce,apgd-t,square")
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i], err = list[i].With(attacks.Override{Eps: new(1.), StepSize: new(.1), Steps: new(20), Queries: new(500)}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := attacks.Evaluate(t.Context(), HostModel(mltest.XLA(t), networkO(t)), set.Images, set.Labels, list, attacks.Options{Batch: n})
	if err != nil {
		t.Fatal(err)
	}
	if r.Clean.Accuracy == 0 {
		t.Error("no image is classified correctly")
	}
	for _, a := range r.Attacks {
		if a.RobustAccuracy != 0 {
			t.Errorf("%s: robust accuracy %g at eps 1", a.Name, a.RobustAccuracy)
		}
	}
}

// readOptional reads reference values that only the complete set has, and skips the test where that is not there.
func readOptional(t *testing.T, path string, to any) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the complete reference values are not here: %v", err)
	}
	readFixture(t, path, to)
}
