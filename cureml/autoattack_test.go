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
}

// TestAPGDParity compares APGD-CE with the official code on a few images: verdicts, and the highest loss of the images
// that stay robust, which depends little on the random start.
func TestAPGDParity(t *testing.T) {
	path := filepath.Join(complete, "autoattack.json")
	var file map[string]officialVerdicts
	readOptional(t, path, &file)
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

// readOptional reads reference values that only the complete set has, and skips the test where that is not there.
func readOptional(t *testing.T, path string, to any) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the complete reference values are not here: %v", err)
	}
	readFixture(t, path, to)
}
