package analysis

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// twoClass are the logits of a prediction of class 0 with this confidence, at temperature 1.
func twoClass(confidence float64) []float64 {
	return []float64{math.Log(confidence / (1 - confidence)), 0}
}

// Scores by hand, of four predictions, the second of which is wrong.
func TestScoreByHand(t *testing.T) {
	var logits []float64
	for _, c := range []float64{.55, .7, .75, .95} {
		logits = append(logits, twoClass(c)...)
	}
	labels := []int32{0, 1, 0, 0}
	s, err := Score(logits, labels, 1, 5)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", s.Accuracy, .75, 1e-12)
	near(t, "confidence", s.Confidence, (.55+.7+.75+.95)/4, 1e-12)
	near(t, "ECE", s.ECE, .25*.45+.5*.225+.25*.05, 1e-12)
	near(t, "Brier", s.Brier, 2*(.45*.45+.7*.7+.25*.25+.05*.05)/4, 1e-12)
	near(t, "NLL", s.NLL, -math.Log(.55*.3*.75*.95)/4, 1e-12)
	count := 0
	for i, b := range s.Bins {
		count += b.Count
		if b.Count > 0 && !(b.Lo < b.Confidence && b.Confidence <= b.Hi) {
			t.Errorf("bin %d from %g to %g has the confidence %g", i, b.Lo, b.Hi, b.Confidence)
		}
	}
	if count != 4 || len(s.Bins) != 5 {
		t.Errorf("%d predictions in %d bins, want 4 in 5", count, len(s.Bins))
	}
	if s, err = Score(logits, labels, 1, 2); err != nil {
		t.Fatal(err)
	}
	near(t, "ECE, two bins of the same mass", s.ECEMass, .5*.125+.5*.15, 1e-12)
	near(t, "ECE, one bin of two", s.ECE, 0.75-s.Confidence, 1e-12) // all above 0.5
}

// calibrated are logits and labels whose shares are the probabilities at temperature 1.
func calibrated() (logits []float64, labels []int32) {
	for _, c := range []struct{ right, of int }{{3, 4}, {3, 5}, {9, 10}, {2, 3}} {
		for i := range c.of {
			y := int32(0)
			if i >= c.right {
				y = 1
			}
			logits, labels = append(logits, twoClass(float64(c.right)/float64(c.of))...), append(labels, y)
		}
	}
	return logits, labels
}

func TestPerfectCalibration(t *testing.T) {
	logits, labels := calibrated()
	s, err := Score(logits, labels, 1, 15)
	if err != nil {
		t.Fatal(err)
	}
	if s.ECE > 1e-12 {
		t.Errorf("ECE %g of perfect calibration", s.ECE)
	}
	if s, err = Score(logits, labels, .5, 15); err != nil || s.ECE < .05 {
		t.Errorf("ECE %g of logits twice as long, error %v", s.ECE, err)
	}
}

// The fit undoes a scaling of calibrated logits, and its optimum is one.
func TestTemperature(t *testing.T) {
	logits, labels := calibrated()
	for _, want := range []float64{.2, .7, 1, 2.5, 30} {
		scaled := make([]float64, len(logits))
		for i, z := range logits {
			scaled[i] = want * z
		}
		got, err := Temperature(scaled, labels)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "temperature", got, want, 1e-5)
		s, err := Score(scaled, labels, got, 15)
		if err != nil || s.ECE > 1e-5 {
			t.Errorf("ECE %g at the fitted temperature, error %v", s.ECE, err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var noise []float64
	var random []int32
	for range 60 {
		random = append(random, int32(rng.IntN(3)))
		for range 3 {
			noise = append(noise, 2*rng.NormFloat64())
		}
	}
	best, err := Temperature(noise, random)
	if err != nil {
		t.Fatal(err)
	}
	at := func(T float64) float64 {
		s, err := Score(noise, random, T, 15)
		if err != nil {
			t.Fatal(err)
		}
		return s.NLL
	}
	for _, factor := range []float64{.5, .9, 1.1, 2} {
		if best*factor < highestTemperature && at(best*factor) < at(best)-1e-12 {
			t.Errorf("the loss at %g is lower than at the fitted %g", best*factor, best)
		}
	}
	// predictions that are all right are likeliest at the lowest temperature
	right, err := Temperature(append(twoClass(.6), twoClass(.7)...), []int32{0, 0})
	if err != nil || right > .02 {
		t.Errorf("all right: got %g, %v, want about the lowest, %g", right, err, lowestTemperature)
	}
}

func TestScoreRefuses(t *testing.T) {
	for _, c := range []struct {
		logits []float64
		labels []int32
		want   string
	}{
		{nil, nil, "at least one"},
		{[]float64{1, 2, 3}, []int32{0, 1}, "3 logits for 2 labels"},
		{[]float64{1, 2}, []int32{2}, "label 2 of image 0"},
		{[]float64{1, math.NaN()}, []int32{0}, "logit 1 is NaN"},
	} {
		if _, err := Score(c.logits, c.labels, 1, 5); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want one with %q", err, c.want)
		}
		if _, err := Temperature(c.logits, c.labels); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("temperature: got error %v, want one with %q", err, c.want)
		}
	}
	if _, err := Score([]float64{1, 2}, []int32{0}, 0, 5); err == nil {
		t.Error("temperature 0: got no error")
	}
}
