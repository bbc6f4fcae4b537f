package study

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/viz"
)

// smallLayerwise is a study of seconds in a folder of its own: two steps a run.
func smallLayerwise(t *testing.T, o LayerwiseOptions) *Layerwise {
	t.Helper()
	s := &Study{Preset: presets[0], Dir: t.TempDir(), device: mltest.GoBackend(t)}
	l, err := s.Layerwise(o)
	if err != nil {
		t.Fatal(err)
	}
	l.TrainImages, l.TestImages = 16, 6
	l.size.tune = func(c *cureml.Config) {
		c.Epochs, c.Batch, c.LogEvery, c.EvalEvery, c.Attack.Steps = 1, 8, 1, 0, 1
	}
	return l
}

func trainLayerwise(t *testing.T, l *Layerwise) *LayerwiseResult {
	t.Helper()
	for _, v := range l.Variants() {
		if _, err := l.Train(v, nil); err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.Result()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The study's numbers: frozen layers have moved by exactly nothing, U-12345 is adversarial training to the bit, and both
// accuracies are those of an attack on the final weights. Then nothing is computed again, also from what is kept.
func TestLayerwise(t *testing.T) {
	l := smallLayerwise(t, LayerwiseOptions{Blocks: []string{"23", "12345"}})
	r := trainLayerwise(t, l)
	if len(r.Rows) != 4 || r.Natural.Blocks != "" || r.TestImages != 6 || r.Attack != "pgd20" {
		t.Fatalf("result %+v", r)
	}
	if len(r.Layers) != 21 || r.Layers[0] != "conv1" || r.Layers[20] != "linear" || slices.Max(r.Natural.Change) != 0 {
		t.Errorf("layers %v, the natural network's change %v", r.Layers, r.Natural.Change)
	}
	for _, row := range r.Rows {
		for i, layer := range r.Layers {
			block := l.Arch.Block(layer + ".weight")
			trained := strings.Contains(row.Blocks, string(rune('0'+block))) || block == nn.StemBlock && row.Blocks == "12345"
			if (row.Change[i] > 0) != trained {
				t.Errorf("%s: %s changed by %g, trained: %v", row, layer, row.Change[i], trained)
			}
			if row.Reinit && trained && block != nn.StemBlock && row.Change[i] < 0.5 {
				t.Errorf("%s: %s changed by %g, want more for weights drawn anew", row, layer, row.Change[i])
			}
		}
		if len(row.Training.Epochs) != 2 || row.Training.Epochs[1] != 1 || row.Images != 6 {
			t.Errorf("%s: training %+v, %d images", row, row.Training, row.Images)
		}
		list, _ := l.attack()
		reports, err := l.Attack([]string{row.run()}, list)
		if err != nil {
			t.Fatal(err)
		}
		if row.Nat != reports[0].Clean.Accuracy || row.Rob != reports[0].RobustAccuracy {
			t.Errorf("%s: accuracies %g, %g, want %g, %g", row, row.Nat, row.Rob, reports[0].Clean.Accuracy, reports[0].RobustAccuracy)
		}
	}

	plain := l.Config(Variant{Blocks: "12345"})
	plain.Layerwise = cureml.LayerwiseConfig{}
	if _, err := l.Study.Train("plain", plain, nil); err != nil {
		t.Fatal(err)
	}
	whole, err1 := os.ReadFile(l.Final("u12345"))
	want, err2 := os.ReadFile(l.Final("plain"))
	if err1 != nil || err2 != nil || !slices.Equal(whole, want) {
		t.Errorf("U-12345 differs from adversarial training (%v, %v)", err1, err2)
	}

	withoutBackend(t, l.Study)
	if again := trainLayerwise(t, l); !reflect.DeepEqual(again, r) {
		t.Errorf("the second time: %+v, want %+v", again, r)
	}
	kept := filepath.Join(t.TempDir(), "saved")
	if err := l.Keep(kept); err != nil {
		t.Fatal(err)
	}
	for _, name := range listing(t, kept) {
		if !strings.HasSuffix(name, ".json") && !strings.HasSuffix(name, ".jsonl") {
			t.Errorf("kept %s", name)
		}
	}
	moved := *l
	moved.Study = &Study{Preset: l.Preset, Dir: t.TempDir(), Saved: kept}
	withoutBackend(t, moved.Study)
	if read := trainLayerwise(t, &moved); !reflect.DeepEqual(read, r) {
		t.Errorf("from what was kept: %+v, want %+v", read, r)
	}
	moved.Options.FrozenBN = "moving"
	if _, err := moved.Train(Variant{Blocks: "23"}, nil); err == nil {
		t.Error("other batch norms: read what was saved, want an attempt to compute")
	}
	checkResult(t, r, 4)
}

// checkResult shows a result as every caller does: JSON and back, tables, pictures.
func checkResult(t *testing.T, r interface {
	Tables() []*viz.Table
}, pictures int) {
	t.Helper()
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	for _, table := range r.Tables() {
		for _, row := range table.Rows {
			if len(row) != len(table.Header) {
				t.Errorf("row %v for header %v", row, table.Header)
			}
		}
		if _, err := table.Text(); err != nil {
			t.Error(err)
		}
	}
	var count int
	var err error
	switch r := r.(type) {
	case *LayerwiseResult:
		list, e := r.Pictures()
		count, err = len(list), e
	case *OverfittingResult:
		list, e := r.Pictures()
		count, err = len(list), e
	}
	if err != nil || count != pictures {
		t.Errorf("%d pictures, want %d; error %v", count, pictures, err)
	}
}

// The variants of every preset have valid configs that freeze what their name says.
func TestLayerwiseConfigs(t *testing.T) {
	for _, p := range presets {
		s := &Study{Preset: p, Dir: "runs"}
		l, err := s.Layerwise(LayerwiseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		variants := l.Variants()
		if want := map[string]int{"ci": 6, "mini": 28, "paper": 28}[p.Name]; len(variants) != want {
			t.Errorf("%s: %d variants, want %d", p.Name, len(variants), want)
		}
		runs := map[string]bool{}
		for _, v := range variants {
			c := l.Config(v)
			if err := c.Validate(); err != nil {
				t.Errorf("%s, %s: %v", p.Name, v, err)
			}
			if c.Method != "at" || c.Layerwise.Train != v.Blocks || c.Layerwise.Reinit != v.Reinit || c.Init == "" || runs[v.run()] {
				t.Errorf("%s, %s: %+v from %q in %s", p.Name, v, c.Layerwise, c.Init, v.run())
			}
			runs[v.run()] = true
		}
	}
	for _, c := range []struct {
		stem, blocks string
		want         bool
	}{
		{"", "12345", true}, {"", "1", true}, {"", "2345", false}, {"frozen", "12345", false}, {"trained", "5", true},
	} {
		l, err := (&Study{Preset: presets[0]}).Layerwise(LayerwiseOptions{Stem: c.stem})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Config(Variant{Blocks: c.blocks}).Layerwise.Stem; got != c.want {
			t.Errorf("stem %q, U-%s: trained %v, want %v", c.stem, c.blocks, got, c.want)
		}
	}
	for want, o := range map[string]LayerwiseOptions{
		`blocks "6"`:             {Blocks: []string{"6"}},
		`blocks "32"`:            {Blocks: []string{"1", "32"}},
		"blocks 1 appear twice":  {Blocks: []string{"1", "1"}},
		`start "new"`:            {Start: "new"},
		`stem "none"`:            {Stem: "none"},
		"accepted are fixed, mo": {FrozenBN: "both"},
	} {
		if _, err := (&Study{Preset: presets[0]}).Layerwise(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got error %v, want %q", o, err, want)
		}
	}
	for _, start := range []string{"natural", "reinit"} {
		l, err := (&Study{Preset: presets[1]}).Layerwise(LayerwiseOptions{Start: start})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range l.Variants() {
			if v.Reinit != (start == "reinit") {
				t.Errorf("start %s has %s", start, v)
			}
		}
	}
}

// Of the whole study, the curves of training are few enough to be told apart; of a few variants, none is left out.
func TestFollowed(t *testing.T) {
	var all layerwiseGroup
	for _, b := range allBlocks {
		all.rows = append(all.rows, LayerwiseRow{Variant: Variant{Blocks: b}})
	}
	var got []string
	for _, row := range all.few() {
		got = append(got, row.Blocks)
	}
	if !slices.Equal(got, followed) || got[len(got)-1] != wholeNetwork || len(got) >= len(viz.Palette) {
		t.Errorf("of all variants %v, want %v, fewer than the %d colours", got, followed, len(viz.Palette))
	}
	some := layerwiseGroup{rows: all.rows[len(all.rows)-len(followed):]}
	if n := len(some.few()); n != len(followed) || len(all.rows) != len(allBlocks) {
		t.Errorf("%d of %d variants, want all; the group has %d left, want %d", n, len(followed), len(all.rows), len(allBlocks))
	}
}

// By the measured times of steps (results/bench/steps.json: 0.8 s for TRADES on 64 images, more than AT needs), training
// in preset mini takes less than the limits of the studies, with a fifth to spare for attacks and compilation.
func TestMiniTime(t *testing.T) {
	steps := func(c cureml.Config, images int) float64 { return float64(c.Epochs*(images/c.Batch)*c.Batch) / 64 }
	s := &Study{Preset: presets[1]}
	l, err := s.Layerwise(LayerwiseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seconds := 0.0
	for _, v := range l.Variants() {
		seconds += 0.8 * steps(l.Config(v), l.TrainImages)
	}
	if seconds > 0.8*75*60 {
		t.Errorf("layer-wise: %.0f minutes of training", seconds/60)
	}
	o, err := s.Overfitting()
	if err != nil {
		t.Fatal(err)
	}
	if o.TrainImages != 1000 {
		t.Errorf("%d training images, want 1000", o.TrainImages)
	}
	seconds = 0
	for _, name := range o.Methods {
		cost := 0.8
		if name == "cure" {
			cost = 1
		}
		seconds += cost * steps(o.Config(name), o.TrainImages)
	}
	if seconds > 0.8*60*60 {
		t.Errorf("overfitting: %.0f minutes of training", seconds/60)
	}
}

func TestRelativeChange(t *testing.T) {
	state := func(conv, norm []float32) *nn.State {
		return &nn.State{Tensors: []nn.Tensor{{Name: "a.weight", Kind: nn.ConvWeight}, {Name: "b.weight", Kind: nn.NormWeight}},
			Values: map[string][]float32{"a.weight": conv, "b.weight": norm}}
	}
	layers, change, err := relativeChange(state([]float32{3, 4}, []float32{1}), state([]float32{3, 14}, []float32{7}))
	if err != nil || !slices.Equal(layers, []string{"a"}) || len(change) != 1 || math.Abs(change[0]-2) > 1e-12 {
		t.Errorf("got %v, %v, %v, want a: |(0, 10)| / |(3, 4)| = 2", layers, change, err)
	}
	for what, after := range map[string][2][]float32{
		"other size": {{3, 4}, {3}}, "zeros": {{0, 0}, {1, 1}}, "not a number": {{1, 1}, {float32(math.NaN()), 1}},
	} {
		if _, _, err := relativeChange(state(after[0], nil), state(after[1], nil)); err == nil || !strings.Contains(err.Error(), "a.weight") {
			t.Errorf("%s: got error %v, want one that names the layer", what, err)
		}
	}
}
