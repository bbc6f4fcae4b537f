package zoo_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"testing"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/zoo"
	"cure/data/mini"
)

// card is what results/zoo-NAME.json says of a network.
type card struct {
	SHA256     string `json:"weights_sha256"`
	Evaluation struct {
		N       int     `json:"n"`
		Clean   float64 `json:"clean"`
		Attacks []struct {
			Name   string  `json:"name"`
			Robust float64 `json:"robust_accuracy"`
		} `json:"attacks"`
	} `json:"evaluation"`
}

// TestCards evaluates every network again: its clean accuracy must be the card's to the image, its robust accuracy under
// the card's attacks on the first 128 images within four standard errors of the card's.
func TestCards(t *testing.T) {
	if len(zoo.Names()) == 0 {
		t.Fatal("no networks are embedded")
	}
	for _, name := range zoo.Names() {
		text, err := os.ReadFile("../../results/zoo-" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var c card
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		file, err := zoo.File(name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != c.SHA256 {
			t.Errorf("%s: the card is of other weights, SHA-256 %s", name, c.SHA256)
		}
		s, err := zoo.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		set := mini.Test()
		model := cureml.HostModel(mltest.XLA(t), s)
		clean, err := attacks.Evaluate(t.Context(), model, set.Images, set.Labels, nil, attacks.Options{})
		if err != nil {
			t.Fatal(err)
		}
		// One image of slack: another plugin rounds logits differently.
		if got := clean.Clean.Accuracy; clean.N != c.Evaluation.N || math.Abs(got-c.Evaluation.Clean) > 1.01/float64(clean.N) {
			t.Errorf("%s: clean accuracy of %d images is %v, the card says %v of %d", name, clean.N, got, c.Evaluation.Clean, c.Evaluation.N)
		}
		const n = 128
		for _, claimed := range c.Evaluation.Attacks {
			a, err := attacks.Preset(claimed.Name)
			if err != nil {
				t.Fatal(err)
			}
			report, err := attacks.Evaluate(t.Context(), model, set.Images[:n*3072], set.Labels[:n], []attacks.Attack{a}, attacks.Options{})
			if err != nil {
				t.Fatal(err)
			}
			slack := 4*math.Sqrt(claimed.Robust*(1-claimed.Robust)/n) + 1.0/n
			if got := report.RobustAccuracy; math.Abs(got-claimed.Robust) > slack {
				t.Errorf("%s: %s leaves %v of %d images, the card says %v", name, claimed.Name, got, n, claimed.Robust)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, name := range []string{"", "cure2", "../zoo", "natural.safetensors"} {
		if _, err := zoo.Load(name); err == nil {
			t.Errorf("%q: want an error", name)
		}
	}
}
