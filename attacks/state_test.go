package attacks

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// resumed are attacks of every kind: batch by batch, in lanes, in stages.
func resumed() []Attack {
	ball := Ball{Linf, .06}
	return []Attack{
		{Name: "pgd", Method: PGD{Ball: ball, Steps: 3, StepSize: .02, Start: Uniform, Loss: "ce", Restarts: 2}},
		{Name: "both", Method: Ensemble{Stages: []Attack{
			{Name: "apgd-ce", Method: APGD{Ball: ball, Steps: 4, Loss: "ce", Restarts: 2}},
			{Name: "apgd-t", Method: APGD{Ball: ball, Steps: 4, Targets: 2}},
		}}},
		{Name: "least", Method: jumps{Ball: ball, Sizes: []float64{.4, .1, .03}}},
	}
}

// TestResume kills an evaluation at every step and goes on: the report is that of one that was left alone, pass counts
// apart, which include what was lost.
func TestResume(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 24)
	opt := Options{Batch: 7, Live: 5, Seed: 3, KeepAdv: true}
	want := evaluate(t, model, images, labels, resumed(), opt)
	if c := want.RobustFlags.count(); c < 2 || c > 18 {
		t.Fatalf("%d of 24 robust: the test needs both verdicts", c)
	}
	opt.State = filepath.Join(t.TempDir(), "state")
	var got *Report
	kills := 0
	for got == nil {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		opt.Progress = func(Progress) {
			if calls++; calls > 9+kills/3 { // more each time, or it would never get on
				cancel()
			}
		}
		var err error
		got, err = Evaluate(ctx, model, images, labels, resumed(), opt)
		cancel()
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			got = nil
			kills++
		}
	}
	if kills < 10 {
		t.Fatalf("killed %d times only", kills)
	}
	compareReports(t, got, want)

	opt.Progress = nil
	again, err := Evaluate(t.Context(), model, images, labels, resumed(), opt) // nothing left to do
	if err != nil {
		t.Fatal(err)
	}
	compareReports(t, again, want)
	if again.Attacks[0].Forwards != got.Attacks[0].Forwards {
		t.Errorf("a finished evaluation made %d passes more", again.Attacks[0].Forwards-got.Attacks[0].Forwards)
	}
}

// compareReports checks all but seconds and passes.
func compareReports(t *testing.T, got, want *Report) {
	t.Helper()
	var strip func(list []*Result) []Result
	strip = func(list []*Result) (out []Result) {
		for _, r := range list {
			flat := *r
			flat.Seconds, flat.Forwards, flat.Backwards, flat.Stages = 0, 0, 0, nil
			if math.IsNaN(float64(flat.MeanLoss)) {
				flat.MeanLoss = -1 // equal to itself
			}
			out = append(append(out, flat), strip(r.Stages)...)
		}
		return out
	}
	g, w := strip(got.Attacks), strip(want.Attacks)
	for i := range w {
		if !reflect.DeepEqual(g[i], w[i]) {
			t.Errorf("%s: the results differ", w[i].Name)
		}
	}
	if !reflect.DeepEqual(got.RobustFlags, want.RobustFlags) || !reflect.DeepEqual(got.Warnings, want.Warnings) {
		t.Errorf("flags %v and warnings %q, want %v and %q", got.RobustFlags, got.Warnings, want.RobustFlags, want.Warnings)
	}
}

// stateOf makes the state file of a whole evaluation.
func stateOf(t *testing.T, model Model, images []uint8, labels []int32, opt Options) (path string, content []byte) {
	t.Helper()
	opt.State = filepath.Join(t.TempDir(), "state")
	evaluate(t, model, images, labels, resumed(), opt)
	content, err := os.ReadFile(opt.State)
	if err != nil {
		t.Fatal(err)
	}
	return opt.State, content
}

// TestTornState cuts a state file where a kill might have, and goes on from it.
func TestTornState(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 12)
	opt := Options{Batch: 5, Seed: 3}
	want := evaluate(t, model, images, labels, resumed(), opt)
	path, content := stateOf(t, model, images, labels, opt)
	opt.State = path
	_, first, err := unframe(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{len(content) - 1, len(content) - 5, (first + len(content)) / 2, first + 3, first} {
		if err := os.WriteFile(path, content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		compareReports(t, evaluate(t, model, images, labels, resumed(), opt), want)
		grown, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, used, err := parseState(grown, model.pixels(), 12); err != nil || used != len(grown) {
			t.Errorf("cut at %d: afterwards %d of %d bytes can be read, %v", cut, used, len(grown), err)
		}
	}
}

func TestStateOfSomethingElse(t *testing.T) {
	backend := goBackend(t)
	model, images, labels := perceptron(backend, 12)
	opt := Options{Batch: 5, Seed: 3}
	path, content := stateOf(t, model, images, labels, opt)
	opt.State = path
	otherModel := model
	other := make([]float32, 24*5)
	other[7] = 1
	otherModel.Weights = []*tensors.Tensor{model.Weights[0], tensors.FromFlatDataAndDimensions(other, 24, 5)}
	scaled := wrapped(model, func(inner func(x *Node) *Node, x *Node) *Node { return inner(MulScalar(x, .8)) })
	softer := wrapped(model, func(inner func(x *Node) *Node, x *Node) *Node { return MulScalar(inner(x), .5) })
	former := frame(bytes.Replace(idOf(content), []byte(`"Format":2`), []byte(`"Format":1`), 1))
	otherLabels := append([]int32{(labels[0] + 1) % 5}, labels[1:]...)
	damaged := bytes.Clone(content)
	damaged[len(damaged)/2] ^= 4
	tests := []struct {
		name    string
		model   Model
		labels  []int32
		list    []Attack
		change  func(o *Options)
		content []byte
		want    string
	}{
		{"model", otherModel, labels, resumed(), nil, content, "another model"},
		{"preprocessing", scaled, labels, resumed(), nil, content, "another model"},
		{"temperature", softer, labels, resumed(), nil, content, "another model"},
		{"former format", model, labels, resumed(), nil, former, "format 1, want 2"},
		{"labels", model, otherLabels, resumed(), nil, content, "other images"},
		{"attacks", model, labels, resumed()[:1], nil, content, "other attacks"},
		{"seed", model, labels, resumed(), func(o *Options) { o.Seed = 4 }, content, "seed 3, not 4"},
		{"batch", model, labels, resumed(), func(o *Options) { o.Batch = 4 }, content, "batches of 5, not 4"},
		{"damaged", model, labels, resumed(), nil, damaged, "checksum"},
		{"no state file", model, labels, resumed(), nil, []byte("{\"arch\": \"resnet18\"}"), "does not begin as a state file"},
		{"empty", model, labels, resumed(), nil, nil, "does not begin as a state file"},
	}
	for _, test := range tests {
		if err := os.WriteFile(path, test.content, 0o600); err != nil {
			t.Fatal(err)
		}
		o := opt
		if test.change != nil {
			test.change(&o)
		}
		_, err := Evaluate(t.Context(), test.model, images, test.labels, test.list, o)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one about %q that names the file", test.name, err, test.want)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, test.content) {
			t.Errorf("%s: the file that was refused has changed", test.name)
		}
	}
}

// idOf is the payload of the first block of a state file.
func idOf(content []byte) []byte {
	payload, _, _ := unframe(content)
	return payload
}

// TestStateOfSameModel: rounding does not make another model.
func TestStateOfSameModel(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 12)
	opt := Options{Batch: 5, Seed: 3}
	opt.State, _ = stateOf(t, model, images, labels, opt)
	rounding := wrapped(model, func(inner func(x *Node) *Node, x *Node) *Node { return MulScalar(inner(x), 1.0001) })
	evaluate(t, rounding, images, labels, resumed(), opt)
}

func TestFingerprints(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, test := range []struct {
		name       string
		had, have  []float32
		recognised bool
	}{
		{"equal", []float32{1, -2}, []float32{1, -2}, true},
		{"coarse arithmetic", []float32{1, -2}, []float32{1.01, -2}, true},
		{"beyond it", []float32{1, -2}, []float32{1.03, -2}, false},
		{"NaN where NaN was", []float32{nan, 1}, []float32{nan, 1}, true},
		{"NaN where none was", []float32{1, 1}, []float32{nan, 1}, false},
		{"infinity where it was", []float32{inf, 1}, []float32{inf, 1}, true},
		{"infinity where none was", []float32{1, 1}, []float32{inf, 1}, false},
		{"zeros", []float32{0, 0}, []float32{0, 0}, true},
		{"other classes", []float32{0, 0}, []float32{0}, false},
	} {
		if err := samePrint(test.had, test.have); (err == nil) != test.recognised {
			t.Errorf("%s: error %v", test.name, err)
		}
	}
}

func TestStateIsLocked(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 4)
	path := filepath.Join(t.TempDir(), "state")
	var inner error
	opt := Options{State: path, Progress: func(Progress) {
		if inner == nil {
			_, inner = Evaluate(t.Context(), model, images, labels, nil, Options{State: path})
		}
	}}
	evaluate(t, model, images, labels, nil, opt)
	if inner == nil || !strings.Contains(inner.Error(), "another process") {
		t.Errorf("a second evaluation with the same file: %v", inner)
	}
}

func FuzzParseState(f *testing.F) {
	id := identity{Format: stateFormat, Model: "m", Images: "i", Attacks: []string{"pgd"}, Batch: 2}
	b := block{Attack: "pgd", Forwards: 3, records: []record{{image: 1, loss: 2, broken: true, taken: true, adv: []float32{0, 1}}, {}}}
	whole := append(frame(id.encode()), frame(b.encode())...)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte{})
	f.Add(frame([]byte(stateMagic + `{"Format":1}`)))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, blocks, used, err := parseState(content, 2, 2)
		if err != nil {
			return
		}
		if used > len(content) {
			t.Fatalf("%d of %d bytes used", used, len(content))
		}
		for _, b := range blocks {
			for _, r := range b.records {
				if r.image < 0 || r.image > 1 || r.run < 0 || r.adv != nil && len(r.adv) != 2 {
					t.Fatalf("record %+v", r)
				}
			}
		}
	})
}
