package attacks

import (
	"encoding/json"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// reweighted is a model like perceptron's, whose second layer has a little of the reverse of its weights added.
func reweighted(t *testing.T, model Model, share float32) Model {
	t.Helper()
	second, err := model.Weights[1].LocalClone()
	if err != nil {
		t.Fatal(err)
	}
	tensors.MustMutableFlatData(second, func(flat []float32) {
		other := slices.Clone(flat)
		slices.Reverse(other)
		for i, v := range other {
			flat[i] += share * v
		}
	})
	model.Weights = []*tensors.Tensor{model.Weights[0], second}
	return model
}

var transferred = []Attack{
	{Name: "natural"},
	{Name: "mi-fgsm", Method: Momentum{Ball: Ball{Linf, .06}, Steps: 5, StepSize: .02, Decay: 1, Loss: "ce"}},
	{Name: "pgd", Method: PGD{Ball: Ball{Linf, .06}, Steps: 5, StepSize: .02, Start: Uniform, Loss: "ce", Restarts: 2}},
}

// TestTransferToItself: a model attacked under two names is fooled alike by either's images.
func TestTransferToItself(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 30)
	opt := Options{Batch: 7, Seed: 5}
	want := evaluate(t, model, images, labels, transferred, opt)
	m, err := Transfer(t.Context(), []NamedModel{{"one", model}, {"two", model}}, images, labels, transferred, opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Attacks) != 2 || !slices.Equal(m.Models, []string{"one", "two"}) || m.N != 30 || m.Seed != 5 {
		t.Fatalf("matrix of %d attacks on %v", len(m.Attacks), m.Models)
	}
	for k, entry := range m.Attacks {
		r := want.Attacks[k]
		if c := r.RobustFlags.count(); c < 3 || c > want.Clean.Flags.count()-3 {
			t.Fatalf("%s: %d robust: the test needs both verdicts", r.Name, c)
		}
		for s := range 2 {
			for target := range 2 {
				success := 1 - r.RobustAccuracy/want.Clean.Accuracy
				if entry.Name != r.Name || !slices.Equal(entry.Flags[s][target], r.RobustFlags) || entry.Accuracy[s][target] != r.RobustAccuracy ||
					!near(float64(entry.Success[s][target]), success, 1e-9) {
					t.Errorf("%s from %d to %d: accuracy %g, success %g; white box %g, %g", entry.Name, s, target,
						entry.Accuracy[s][target], entry.Success[s][target], r.RobustAccuracy, success)
				}
			}
		}
	}
	if len(m.Warnings) != 0 {
		t.Errorf("warnings %q", m.Warnings)
	}
}

// TestTransferByHand compares with an evaluation of the source and the target's predictions of what it returned.
func TestTransferByHand(t *testing.T) {
	const n = 30
	model, images, labels := perceptron(goBackend(t), n)
	models := []NamedModel{{"one", model}, {"two", reweighted(t, model, .4)}}
	stages := []string{}
	opt := Options{Batch: 8, State: filepath.Join(t.TempDir(), "state"), Progress: func(p Progress) {
		if stage := p.Attack; len(stages) == 0 || stages[len(stages)-1] != stage {
			stages = append(stages, stage)
		}
	}}
	m, err := Transfer(t.Context(), models, images, labels, transferred, opt)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"one: clean", "one: mi-fgsm", "one: pgd", "two: clean", "two: mi-fgsm", "two: pgd"}; !slices.Equal(stages, want) {
		t.Errorf("progress of %q, want %q", stages, want)
	}
	opt.Progress = nil
	again, err := Transfer(t.Context(), models, images, labels, transferred, opt) // from the state files
	if err != nil || !reflect.DeepEqual(again.Attacks, m.Attacks) {
		t.Errorf("again, from the state files: %+v, %v", again, err)
	}
	var reports []*Report
	for _, named := range models {
		reports = append(reports, evaluate(t, named.Model, images, labels, transferred, Options{Batch: 8, KeepAdv: true}))
	}
	weaker := 0
	for k, entry := range m.Attacks {
		for s, source := range reports {
			for target, report := range reports {
				classes, err := Predict(t.Context(), models[target].Model, source.Attacks[k].Adv, 5)
				if err != nil {
					t.Fatal(err)
				}
				right, common, fooled := 0, 0, 0
				for i, y := range labels {
					ok := classes[i] == int(y) && report.Clean.Flags[i]
					if ok {
						right++
					}
					if entry.Flags[s][target][i] != ok {
						t.Errorf("%s from %d to %d: image %d: %v, want %v", entry.Name, s, target, i, !ok, ok)
					}
					if source.Clean.Flags[i] && report.Clean.Flags[i] {
						common++
						if classes[i] != int(y) {
							fooled++
						}
					}
				}
				if got := entry.Success[s][target]; !near(float64(got), float64(fooled)/float64(common), 1e-9) || entry.Accuracy[s][target] != float64(right)/n {
					t.Errorf("%s from %d to %d: accuracy %g, success %g; want %d of %d, %d of %d", entry.Name, s, target, entry.Accuracy[s][target], got, right, n, fooled, common)
				}
				if s != target && entry.Success[s][target] < entry.Success[s][s] {
					weaker++
				}
			}
		}
	}
	if weaker == 0 || slices.Equal(reports[0].Clean.Flags, reports[1].Clean.Flags) {
		t.Errorf("the models are too much alike for this test: %d", weaker)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back Matrix
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Attacks[1].Accuracy[0][1] != m.Attacks[1].Accuracy[0][1] || !slices.Equal(back.Attacks[1].Flags[1][0], m.Attacks[1].Flags[1][0]) || back.Attacks[0].Eps != .06 || back.Attacks[0].Norm != "linf" {
		t.Error("the matrix does not come back from JSON")
	}
}

// thresholdModel is a model of one pixel: class 1 above at (below it, if sign is -1), else class 0.
func thresholdModel(t *testing.T, at, sign float64) Model {
	return Model{
		Backend: goBackend(t), Classes: 2, Image: [3]int{1, 1, 1},
		Logits: func(_ []*Node, x *Node) *Node {
			over := MulScalar(AddScalar(Reshape(x, -1, 1), -at), sign)
			return Concatenate([]*Node{Neg(over), over}, -1)
		},
	}
}

// TestWhatTransferCounts has an image that an attack on the source makes right for the target, and one that a search
// moved further than eps.
func TestWhatTransferCounts(t *testing.T) {
	bright := NamedModel{"bright from .6", thresholdModel(t, .6, 1)}
	bim := []Attack{{Name: "bim", Method: PGD{Ball: Ball{Linf, .2}, Steps: 2, StepSize: .1, Loss: "ce"}}}
	m, err := Transfer(t.Context(), []NamedModel{bright, {"bright below .55", thresholdModel(t, .55, -1)}}, []uint8{128, 145}, []int32{0, 0}, bim, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, want := m.Attacks[0], [][]Flags{{{false, false}, {false, true}}, {{true, true}, {false, false}}}
	if !reflect.DeepEqual(got.Flags, want) || !reflect.DeepEqual(got.Accuracy, [][]float64{{0, .5}, {1, 0}}) || !reflect.DeepEqual(got.Success, [][]Number{{1, 0}, {0, 1}}) {
		t.Errorf("%+v, want flags %v", got, want)
	}

	far := []Attack{{Name: "far", Method: jumps{Ball: Ball{Linf, .05}, Sizes: []float64{.2}}}}
	m, err = Transfer(t.Context(), []NamedModel{bright, {"bright from .7", thresholdModel(t, .7, 1)}}, []uint8{145}, []int32{0}, far, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := [][]float64{{1, 1}, {1, 1}}; !reflect.DeepEqual(m.Attacks[0].Accuracy, want) {
		t.Errorf("a search beyond eps: accuracies %v, want %v", m.Attacks[0].Accuracy, want)
	}
}

// TestTransferBeatsAMaskedModel has a target without gradients: only another model's images fool it.
func TestTransferBeatsAMaskedModel(t *testing.T) {
	open, images, labels := perceptron(goBackend(t), 24)
	masked := open
	masked.Logits = func(w []*Node, x *Node) *Node {
		return open.Logits(w, StopGradient(DivScalar(Round(MulScalar(x, 255)), 255)))
	}
	list := []Attack{{Name: "bim", Method: PGD{Ball: Ball{Linf, .06}, Steps: 5, StepSize: .02, Loss: "ce"}}}
	m, err := Transfer(t.Context(), []NamedModel{{"open", open}, {"masked", masked}}, images, labels, list, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := m.Attacks[0].Accuracy
	if a[1][1] != m.Clean[1].Accuracy || a[0][1] >= a[1][1] {
		t.Fatalf("accuracies %v: the masked model does not behave as one", a)
	}
	var beaten, zero int
	for _, text := range m.Warnings {
		if strings.Contains(text, "made on open leave masked") {
			beaten++
		}
		if strings.HasPrefix(text, "masked: warning: "+FlagZeroGradient) && strings.Contains(text, "exactly zero") {
			zero++
		}
		if strings.Contains(text, "leave open") {
			t.Errorf("warning %q", text)
		}
	}
	if beaten != 1 || zero != 1 {
		t.Errorf("warnings %q", m.Warnings)
	}
}

// TestTransferOfNothing has a source that classifies no image correctly.
func TestTransferOfNothing(t *testing.T) {
	model, images, _ := perceptron(goBackend(t), 4)
	classes, err := Predict(t.Context(), model, floats(images), 0)
	if err != nil {
		t.Fatal(err)
	}
	wrong := make([]int32, len(classes))
	for i, class := range classes {
		wrong[i] = int32(class+1) % 5
	}
	m, err := Transfer(t.Context(), []NamedModel{{"one", model}}, images, wrong, transferred[1:2], Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a := m.Attacks[0]; a.Accuracy[0][0] != 0 || !math.IsNaN(float64(a.Success[0][0])) {
		t.Errorf("accuracy %g, success rate %g of no images", a.Accuracy[0][0], a.Success[0][0])
	}
	if text, err := json.Marshal(m); err != nil || !strings.Contains(string(text), `"success":[[null]]`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestTransferRefuses(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 4)
	other := model
	other.Classes = 4
	headless := model
	headless.Logits = nil
	for name, tc := range map[string]struct {
		models []NamedModel
		list   []Attack
		want   string
	}{
		"no models":     {nil, transferred, "no models"},
		"no name":       {[]NamedModel{{"", model}}, transferred, "no name"},
		"one name":      {[]NamedModel{{"a", model}, {"a", model}}, transferred, "two models are called a"},
		"other classes": {[]NamedModel{{"a", model}, {"b", other}}, transferred, "b has 4 classes"},
		"no logits":     {[]NamedModel{{"a", model}, {"b", headless}}, transferred, "no logits function (b)"},
		"a bad attack":  {[]NamedModel{{"a", model}}, []Attack{{Name: "bad", Method: PGD{Loss: "ce"}}}, "steps 0"},
	} {
		m, err := Transfer(t.Context(), tc.models, images, labels, tc.list, Options{})
		if err == nil || m != nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "attacks: ") {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
}

// TestPredict has ties, a NaN, and batches that do not come out even.
func TestPredict(t *testing.T) {
	model := Model{
		Backend: goBackend(t), Classes: 3, Image: [3]int{1, 1, 1},
		Logits: func(_ []*Node, x *Node) *Node {
			x = Reshape(x, -1, 1)
			return Concatenate([]*Node{x, MaxScalar(MulScalar(x, 1), .5), Sqrt(AddScalar(x, -.1))}, -1)
		},
	}
	images := []float32{.2, .6, .5, .05, 1, .3, .25}
	want := []int{1, 2, 2, -1, 0, 1, 1}
	for i, x := range images[:4] { // the formula again, ties to the lowest class
		z := []float64{float64(x), math.Max(float64(x), .5), math.Sqrt(float64(x) - .1)}
		if i < 3 && z[want[i]] != slices.Max(z) {
			t.Fatalf("image %d: logits %v", i, z)
		}
	}
	for _, size := range []int{0, 1, 3, 64} {
		if got, err := Predict(t.Context(), model, images, size); err != nil || !slices.Equal(got, want) {
			t.Errorf("batches of %d: %v, %v, want %v", size, got, err, want)
		}
	}
	if got := predicted([]float32{1, 3, 3}); got != 1 {
		t.Errorf("a tie of 1 and 2 is class %d", got)
	}
	for name, tc := range map[string]struct {
		images []float32
		batch  int
		want   string
	}{
		"none":           {nil, 1, "no images"},
		"negative batch": {images, -1, "batch size -1"},
		"not in [0, 1]":  {[]float32{.5, 200}, 1, "pixel value 200 of image 1"},
		"NaN":            {[]float32{float32(math.NaN())}, 1, "pixel value NaN"},
	} {
		if _, err := Predict(t.Context(), model, tc.images, tc.batch); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
	model.Image = [3]int{1, 1, 3}
	if _, err := Predict(t.Context(), model, images, 1); err == nil || !strings.Contains(err.Error(), "multiple of 3") {
		t.Errorf("7 values of 3: error %v", err)
	}
}
