package study

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/optim"
)

func evaluated(epoch, trainNat, trainRob, testNat, testRob float64) Line {
	return Line{Kind: "eval", Values: map[string]float64{"epoch": epoch, "seconds": 60 * epoch,
		"train_clean": trainNat, "train_robust": trainRob, "test_clean": testNat, "test_robust": testRob}}
}

// Best, last and gap of a run whose numbers are known.
func TestOverfittingRow(t *testing.T) {
	m := Metrics{
		{Kind: "train", Values: map[string]float64{"epoch": 1, "train_adv_accuracy": .9}},
		evaluated(1, .4, .2, .3, .1), evaluated(2, .5, .3, .4, .25), evaluated(3, .7, .5, .45, .25), evaluated(4, .9, .8, .5, .125),
	}
	row, err := overfittingRow("trades", m)
	if err != nil {
		t.Fatal(err)
	}
	want := OverfittingRow{Name: "trades", Title: "TRADES", Epochs: []float64{1, 2, 3, 4}, TrainNat: []float64{.4, .5, .7, .9},
		TrainRob: []float64{.2, .3, .5, .8}, TestNat: []float64{.3, .4, .45, .5}, TestRob: []float64{.1, .25, .25, .125}, Minutes: 4}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("got %+v, want %+v", row, want)
	}
	if row.Best() != 1 || row.Gap() != .125 {
		t.Errorf("best at index %d, gap %g, want 1, the first of equals, and 0.125", row.Best(), row.Gap())
	}
	rising := OverfittingRow{TestRob: []float64{.1, .2}}
	if rising.Best() != 1 || rising.Gap() != 0 {
		t.Errorf("a rising curve: best %d, gap %g, want 1 and 0", rising.Best(), rising.Gap())
	}
	short := Metrics{evaluated(1, .4, .2, .3, .1)}
	delete(short[0].Values, "train_robust")
	for want, m := range map[string]Metrics{"no train_robust after epoch 1": short, "measured nothing": m[:1]} {
		if _, err := overfittingRow("at", m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q", err, want)
		}
	}
	r := &OverfittingResult{Epochs: 4, TestImages: 8, Drops: []float64{2, 3}, Rows: []OverfittingRow{row}}
	checkResult(t, r, 3)
	if cells := r.Tables()[0].Rows[0]; !slices.Equal(cells, []string{"TRADES", "25.0", "2", "12.5", "12.5", "80.0", "40.0", "50.0", "4.0"}) {
		t.Errorf("table row %q", cells)
	}
}

// Every method is what its name says, at every size, with the schedule of Rice et al.
func TestOverfittingConfigs(t *testing.T) {
	for _, p := range presets {
		o, err := (&Study{Preset: p, Dir: "runs"}).Overfitting()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(o.Methods, []string{"at", "trades", "cure", "at+awp", "at+average"}) {
			t.Errorf("methods %v", o.Methods)
		}
		for _, name := range o.Methods {
			c := o.Config(name)
			if err := c.Validate(); err != nil {
				t.Errorf("%s, %s: %v", p.Name, name, err)
			}
			method, extra, _ := strings.Cut(name, "+")
			if c.Method != method || (c.AWP.Gamma > 0) != (extra == "awp") || (c.Average.Decay > 0) != (extra == "average") || (c.Init != "") != (name == "cure") {
				t.Errorf("%s, %s: method %s, AWP %+v, average %+v, from %q", p.Name, name, c.Method, c.AWP, c.Average, c.Init)
			}
			if c.EvalTrainImages == 0 || c.EvalEvery == 0 || c.Epochs%c.EvalEvery != 0 {
				t.Errorf("%s, %s: measured every %d of %d epochs, %d training images", p.Name, name, c.EvalEvery, c.Epochs, c.EvalTrainImages)
			}
		}
	}
	s := halves(0.1, 200)
	for _, c := range []struct {
		epoch int
		want  float64
	}{{0, .1}, {99, .1}, {100, .01}, {149, .01}, {150, .001}, {199, .001}} {
		if got := s.At(c.epoch*10, 2000, 10); got < .999*c.want || got > 1.001*c.want {
			t.Errorf("rate %g in epoch %d, counted from 0, want %g", got, c.epoch, c.want)
		}
	}
	for want, methods := range map[string][]string{`method "awp": accepted are at, trades`: {"awp"}, "at appears twice": {"at", "at"}} {
		if _, err := (&Study{Preset: presets[0]}).Overfitting(methods...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got error %v, want %q", methods, err, want)
		}
	}
}

// The study trains the natural network before CURE, measures both kinds of images, and rests on what is kept.
func TestOverfitting(t *testing.T) {
	s := &Study{Preset: presets[0], Dir: t.TempDir(), device: mltest.GoBackend(t)}
	o, err := s.Overfitting("cure", "at+average")
	if err != nil {
		t.Fatal(err)
	}
	o.TrainImages = 16
	o.size.decay = 0.5
	o.size.tune = func(c *cureml.Config) {
		c.Epochs, c.Batch, c.Attack.Steps, c.LogEvery, c.EvalEvery, c.EvalImages, c.EvalTrainImages = 2, 8, 1, 2, 1, 4, 4
		c.Schedule = optim.Schedule{Kind: "step", Max: 0.05, Factor: 0.1, Milestones: []int{2}}
	}
	if _, err := o.Result(); err == nil || !strings.Contains(err.Error(), "no method is trained") {
		t.Errorf("before training: got error %v", err)
	}
	for _, name := range o.Methods {
		if _, err := o.Train(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.Train("mart", nil); err == nil {
		t.Error("another method: got no error")
	}
	if natural, err := cureml.ReadConfig(o.Run("natural")); err != nil || natural.Method != "natural" || natural.Epochs != 2 {
		t.Errorf("the natural network before CURE: %+v, %v", natural, err)
	}
	r, err := o.Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[1].Title != "AT + averaged weights" || !slices.Equal(r.Rows[0].Epochs, []float64{1, 2}) || !slices.Equal(r.Drops, []float64{1}) {
		t.Errorf("result %+v", r)
	}
	checkResult(t, r, 3)

	kept := filepath.Join(t.TempDir(), "saved")
	if err := o.Keep(kept); err != nil {
		t.Fatal(err)
	}
	moved := *o
	moved.Study = &Study{Preset: o.Preset, Dir: t.TempDir(), Saved: kept}
	withoutBackend(t, moved.Study)
	for _, name := range moved.Methods {
		if _, err := moved.Train(name, nil); err != nil {
			t.Errorf("%s from what was kept: %v", name, err)
		}
	}
	read, err := moved.Result()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(r)
	b, _ := json.Marshal(read)
	if string(a) != string(b) {
		t.Errorf("from what was kept: %s, want %s", b, a)
	}
}
