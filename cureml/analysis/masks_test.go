package analysis

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
)

// rule is CURE with some settings.
func rule(t testing.TB, name string, settings ...string) MaskRule {
	t.Helper()
	c := cureml.Defaults("cure")
	for _, s := range settings {
		path, value, _ := strings.Cut(s, "=")
		if err := c.Set("cure."+path, value); err != nil {
			t.Fatal(err)
		}
	}
	return MaskRule{name, c.Cure}
}

func tinyAttack() cureml.AttackConfig {
	return cureml.AttackConfig{Norm: "linf", Eps: 0.1, StepSize: 0.06, Steps: 2}
}

// TestAgreement: masks of two layers by hand.
func TestAgreement(t *testing.T) {
	marks := func(text string) bitset {
		v := make([]bool, len(text))
		for i := range text {
			v[i] = text[i] == '1'
		}
		return newBitset(v)
	}
	long := strings.Repeat("01", 50) // more than a word
	c := &choice{names: []string{"a", "b", "c"}, group: []int{0, 0, 1}, layers: []WeightLayer{{"x", 108}, {"y", 4}, {"all", 112}}}
	for _, x := range []struct {
		what string
		a, b []mask
		want []float64
	}{
		{"equal", []mask{{marks("1100"), marks(long), marks("0110")}}, []mask{{marks("1100"), marks(long), marks("0110")}}, []float64{1, 1, 1}},
		{"half of one layer", []mask{{marks("1100"), nil, marks("0110")}}, []mask{{marks("1010"), nil, marks("0110")}}, []float64{0.5, 1, 0.75}},
		{"nothing in common", []mask{{marks("1100"), nil, nil}}, []mask{{marks("0011"), nil, nil}}, []float64{0, 0, 0}},
		{"nested", []mask{{nil, marks(long), nil}}, []mask{{nil, marks(long[:50] + strings.Repeat("0", 50)), nil}}, []float64{2. / 3, 0, 2. / 3}},
		{"one has no mask", []mask{{marks("1100"), nil, nil}}, []mask{{nil, nil, nil}}, []float64{0, 0, 0}},
		{"mean over batches", []mask{{marks("1100"), nil, nil}, {marks("1100"), nil, nil}}, []mask{{marks("1100"), nil, nil}, {marks("0011"), nil, nil}}, []float64{0.5, 0, 0.5}},
	} {
		mltest.Close(t, x.what, c.agreement(x.a, x.b), x.want, 1e-15, 0)
	}
	random := func(stream string) bitset {
		rng, v := data.Stream(1, stream), make([]bool, 100000)
		for i := range v {
			v[i] = rng.Float64() < 0.3
		}
		return newBitset(v)
	}
	mltest.Close(t, "chance", c.agreement([]mask{{random("a"), nil, nil}}, []mask{{random("b"), nil, nil}})[:1], []float64{0.3}, 0.01, 0)
}

// TestMasks: shares are the percentile by construction, equal rules and equal networks choose the same, and what has moved
// is counted.
func TestMasks(t *testing.T) {
	n := tinyNet(t, "a", 1)
	same, moved := Network{"same", n.State}, Network{"moved", &nn.State{}}
	*moved.State = *n.State
	moved.Values = maps.Clone(n.Values)
	moved.Values["layer3.0.conv1.weight"] = slices.Clone(n.Values["layer3.0.conv1.weight"])
	changed := moved.Values["layer3.0.conv1.weight"]
	for i := range changed[:len(changed)/2] {
		changed[i] *= -1.5
	}
	rules := []MaskRule{rule(t, "paper"), rule(t, "again"), rule(t, "other", "alpha=1", "percentile=0.6"), rule(t, "soft", "face=rgp_soft")}
	m, err := MeasureMasks(t.Context(), mltest.GoBackend(t), Still([]Network{n, same, moved}), tinySet(t, 5), MaskOptions{Attack: tinyAttack(), Rules: rules, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if m.Batches != 2 || len(m.Networks) != 3 || m.Networks[0].Rules[0].Before != nil {
		t.Fatalf("%d batches, %d networks", m.Batches, len(m.Networks))
	}
	all := len(m.Layers) - 1
	for r, p := range []float64{0.3, 0.3, 0.6} {
		for i, l := range m.Layers[:all-2] { // convolutions, a tensor each
			got, want := m.Networks[0].Rules[r].Conserved[i], math.Ceil(p*float64(l.Size-1))/float64(l.Size)
			if got > want+1e-12 || got == 0 { // less where scores tie
				t.Errorf("rule %s conserves %v of %s, want %v", rules[r].Name, got, l.Name, want)
			}
		}
		exact := m.Networks[0].Rules[r].Conserved[0]
		if want := math.Ceil(p*26) / 27; math.Abs(exact-want) > 1e-12 {
			t.Errorf("rule %s conserves %v of the stem, want %v", rules[r].Name, exact, want)
		}
	}
	if classifier := m.Networks[0].Rules[0].Conserved[all-1]; classifier != 0 {
		t.Errorf("%v of the classifier is conserved", classifier)
	}
	soft := m.Networks[0].Rules[3]
	for i, l := range m.Layers[:all] {
		if masked := strings.Contains(l.Name, ".conv1"); masked != (soft.Conserved[i] > 0) {
			t.Errorf("rule soft conserves %v of %s", soft.Conserved[i], l.Name)
		}
	}
	for i, l := range m.Layers[:all-2] {
		if got := m.Networks[0].Rules[1].First[i]; got != 1 {
			t.Errorf("%s: two equal rules agree by %v", l.Name, got)
		}
		if got := m.Networks[1].Rules[0].Before[i]; got != 1 {
			t.Errorf("%s: two equal networks agree by %v", l.Name, got)
		}
	}
	for _, got := range []float64{m.Networks[0].Rules[2].First[all], m.Networks[2].Rules[0].Before[all], m.Networks[0].Rules[0].Batches[all]} {
		if got <= 0 || got >= 1 {
			t.Errorf("agreement %v of different choices, want one between 0 and 1", got)
		}
	}
	if whole := m.Networks[0].Rules[0].ConservedWhole[all]; whole < 0.25 || whole > 0.31 { // of all, the classifier's 20 of 12,000 left out
		t.Errorf("one threshold conserves %v of all, want about 0.3", whole)
	}
	for i, l := range m.Layers {
		want := 1.0
		half := float64(len(changed)/2) / float64(l.Size)
		if l.Name == "layer3.0.conv1" || l.Name == "all" {
			want = 1 - half
		}
		if got := m.Networks[2].Unmoved[i]; math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %v has not moved, want %v", l.Name, got, want)
		}
	}
	if tables := m.Tables(); len(tables) != 2 || len(tables[0].Rows) != 12 || len(tables[1].Rows) != len(m.Layers) {
		t.Errorf("%d tables", len(tables))
	}
	if pictures, err := m.Pictures(); err != nil || len(pictures) != 4 {
		t.Errorf("%d pictures, error %v", len(pictures), err)
	}
	m.Networks[0].Epoch, m.Networks[1].Epoch, m.Networks[2].Epoch = 0, 1, 2
	if rows := m.Tables()[0].Rows; len(rows) != 8 || rows[3][0] != m.Networks[0].Name || rows[4][0] != m.Networks[2].Name {
		t.Errorf("%d rows of a training, want those of its first and its last network", len(rows))
	}
}

// TestMasksOfGradients: what a rule chooses and drops in the stem, against the gradients themselves. The revision model is
// the network, so that its term has no gradient.
func TestMasksOfGradients(t *testing.T) {
	n, set := tinyNet(t, "n", 6), tinySet(t, 3)
	released := rule(t, "released", "face=released", "alpha=0.25", "percentile=0.5")
	natural := rule(t, "natural", "alpha=1", "percentile=0.4")
	o := MaskOptions{Attack: tinyAttack(), Rules: []MaskRule{released, natural}, Batch: 3}
	base := cureml.Defaults("cure")
	base.Attack = o.Attack
	inner := cureml.CURE(base).Inner
	nat, adv, attacked := slopesOf(t, n, inner.PGD, set)
	c, s := newChoice(n.State, o.Rules, newAscent(inner.PGD, inner.Mode)), seat(mltest.GoBackend(t), n)
	defer c.Close()
	defer s.free()
	in := slices.Clone(s.Weights)
	for _, x := range [][]float32{pixels(set.Images), attacked} {
		in = append(in, tensors.FromFlatDataAndDimensions(x, set.Len(), 32, 32, 3))
	}
	in = slices.Insert(in, len(in)-1, tensors.FromValue(set.Labels))
	for r, score := range []func(n, a float64) float64{
		func(n, a float64) float64 { return math.Abs(0.25*n + 0.75*a) },
		func(n, a float64) float64 { return math.Abs(n) },
	} {
		totals := newMaskTotals(len(c.layers))
		m, err := c.take(t.Context(), r, totals, s, in)
		if err != nil {
			t.Fatal(err)
		}
		scores := make([]float64, 27)
		var dropped, squares float64
		for k := range scores {
			scores[k] = score(float64(nat[0][k]), float64(adv[0][k]))
		}
		sorted := slices.Sorted(slices.Values(scores))
		count := int(math.Ceil(o.Rules[r].Cure.Percentile * 26))
		for k, s := range scores {
			want := s < sorted[count]
			if got := m[0][0]&(1<<k) != 0; got != want {
				t.Errorf("rule %s, entry %d of the stem: conserved %v, want %v (score %v, the largest of these %v)", o.Rules[r].Name, k, got, want, s, sorted[count-1])
			}
			squares += s * s
			if want {
				dropped += s * s
			}
		}
		if r == 0 { // the loss of this face is the score
			mltest.Close(t, "dropped", []float64{totals.dropped[0], totals.squares[0]}, []float64{dropped, squares}, 0, 1e-4)
		}
	}
}

func TestMaskErrors(t *testing.T) {
	good := Still([]Network{tinyNet(t, "a", 1)})
	wide, err := nn.Init(nn.Arch{Name: "resnet18", Width: 2, Classes: 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want   string
		rules  []MaskRule
		change func(o *MaskOptions, m *Moment)
	}{
		{"no rules", nil, nil},
		{`two rules are called "a"`, []MaskRule{rule(t, "a"), rule(t, "a")}, nil},
		{"percentile 0: want a share in (0, 1) (rule a)", []MaskRule{rule(t, "a", "percentile=0")}, nil},
		{`cure.face "b": accepted are`, []MaskRule{rule(t, "a", "face=b")}, nil},
		{"attack.steps 0", []MaskRule{rule(t, "a")}, func(o *MaskOptions, _ *Moment) { o.Attack.Steps = 0 }},
		{"batches of 0 images", []MaskRule{rule(t, "a")}, func(o *MaskOptions, _ *Moment) { o.Batch = 0 }},
		{"its revision model a resnet18-w2", []MaskRule{rule(t, "a")}, func(_ *MaskOptions, m *Moment) { m.Revision = wide }},
	} {
		o, moments := MaskOptions{Attack: tinyAttack(), Rules: c.rules, Batch: 2}, slices.Clone(good)
		if c.change != nil {
			c.change(&o, &moments[0])
		}
		if _, err := MeasureMasks(t.Context(), mltest.GoBackend(t), moments, tinySet(t, 2), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
}
