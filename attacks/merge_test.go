package attacks

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// mergeList has every kind of result: restarts, targets, distances, and an ensemble with queries.
func mergeList(t *testing.T) []Attack {
	t.Helper()
	stages := []Attack{
		{Name: "apgd-ce", Method: APGD{Ball: toy.ball, Steps: 5, Loss: "ce"}},
		{Name: "apgd-t", Method: APGD{Ball: toy.ball, Steps: 4, Targets: 2}},
		{Name: "fab-t", Method: FAB{Ball: toy.ball, Steps: 4, Targets: 2}},
		{Name: "square", Method: SquareAttack{Ball: toy.ball, Queries: 30}},
	}
	ddn, err := ParseList("ddn")
	if err != nil {
		t.Fatal(err)
	}
	return append(ddn,
		Attack{Name: "natural", Method: nil},
		Attack{Name: "pgd", Method: PGD{Ball: toy.ball, Steps: 4, StepSize: .04, Start: Uniform, Restarts: 3, Loss: "ce"}},
		Attack{Name: "aimed", Method: PGD{Ball: toy.ball, Steps: 4, StepSize: .04, Start: Uniform, Loss: "ce", Target: RandomClass}},
		Attack{Name: "ensemble", Method: Ensemble{Stages: stages}})
}

// sent is a report as another process reads it.
func sent(t *testing.T, r *Report) *Report {
	t.Helper()
	var file bytes.Buffer
	if err := gob.NewEncoder(&file).Encode(r); err != nil {
		t.Fatal(err)
	}
	out := new(Report)
	if err := gob.NewDecoder(&file).Decode(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// whatCounts is all of a report but the seconds, what JSON leaves out included, as JSON would read it.
func whatCounts(t *testing.T, r *Report) (all any) {
	t.Helper()
	var hidden []any
	var add func(list []*Result)
	add = func(list []*Result) {
		for _, result := range list {
			result.Seconds = 0
			hidden = append(hidden, []any{result.Name, result.BrokenIn, result.Losses, result.NaN, result.ZeroGrad, result.Strays})
			add(result.Stages)
		}
	}
	add(r.Attacks)
	text, err := json.Marshal([]any{r, hidden})
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// difference says where two values of JSON differ, "" if nowhere. Fractions, such as losses and distances, agree to a millionth:
// a matrix product may round a row otherwise that lies in another place of its batch.
func difference(got, want any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		for k, v := range want {
			g, _ := got.(map[string]any)
			if d := difference(g[k], v, at+"."+k); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, _ := got.([]any)
		if len(g) != len(want) {
			return fmt.Sprintf("%s has %d values, want %d", at, len(g), len(want))
		}
		for i, v := range want {
			if d := difference(g[i], v, fmt.Sprintf("%s[%d]", at, i)); d != "" {
				return d
			}
		}
		return ""
	case float64:
		if g, ok := got.(float64); ok && (g == want || want != math.Trunc(want) && math.Abs(g-want) < 1e-6*(1+math.Abs(want))) {
			return ""
		}
	default:
		if got == want {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v, want %v", at, got, want)
}

// TestMerge: images evaluated in parts, each by itself, give the report of all of them at once.
func TestMerge(t *testing.T) {
	model := toyNetwork(t, goBackend(t), 24, func(h *Node) *Node { return Max(h, ZerosLike(h)) })
	images, labels := toyImages(5, 33)
	const first = 100 // of the images in their data set
	list := mergeList(t)
	evaluate := func(from, to int) *Report {
		ev, err := NewEvaluator(model, 8)
		if err != nil {
			t.Fatal(err)
		}
		defer ev.Close()
		opt := Options{Seed: 7}
		for i := from; i < to; i++ {
			opt.Index = append(opt.Index, first+i)
		}
		r, err := ev.Evaluate(t.Context(), nil, images[16*from:16*to], labels[from:to], list, opt)
		if err != nil {
			t.Fatal(err)
		}
		r.Weights, r.Records = "w", [2]int{first + from, first + to}
		return r
	}
	whole := evaluate(0, 33)
	if n := whole.Attacks[1].RobustFlags.count(); n == 0 || n == whole.Clean.Flags.count() || len(whole.Warnings) == 0 {
		t.Fatalf("PGD leaves %d of %d images, warnings %q: the comparison would show little", n, whole.Clean.Flags.count(), whole.Warnings)
	}
	want := whatCounts(t, whole)
	for _, cuts := range [][]int{{0, 33}, {0, 10, 19, 33}, {0, 1, 2, 33}} {
		var parts []*Report
		for i := range cuts[1:] {
			parts = append(parts, sent(t, evaluate(cuts[i], cuts[i+1])))
		}
		merged, err := Merge(list, parts...)
		if err != nil {
			t.Fatal(err)
		}
		if d := difference(whatCounts(t, merged), want, "report"); d != "" {
			t.Errorf("parts %v: %s", cuts, d)
		}
	}
}

func TestMergeRefusals(t *testing.T) {
	apgd := APGD{Ball: toy.ball, Steps: 1, Loss: "ce"}
	list := []Attack{
		{Name: "pgd", Method: PGD{Ball: toy.ball, Steps: 1, Loss: "ce", Target: Likeliest}},
		{Name: "fab", Method: FAB{Ball: toy.ball, Minimal: true}},
		{Name: "both", Method: Ensemble{Stages: []Attack{{Name: "a", Method: apgd}, {Name: "b", Method: apgd}}}},
	}
	part := func(change func(r *Report)) *Report {
		result := func(name string) *Result {
			return &Result{Name: name, RobustFlags: Flags{true}, BrokenIn: []int{-1}, Losses: []float32{1}}
		}
		r := &Report{N: 1, Clean: Clean{Flags: Flags{true}}, Weights: "a", Attacks: []*Result{result("pgd"), result("fab"), result("both")}}
		r.Attacks[0].Targets, r.Attacks[1].Distances = []int32{1}, []Number{.5}
		r.Attacks[2].Losses, r.Attacks[2].Stages = nil, []*Result{result("a"), result("b")}
		change(r)
		return r
	}
	same := func(*Report) {}
	if r, err := Merge(list, part(same), part(same)); err != nil || r.N != 2 || r.RobustAccuracy != 1 {
		t.Errorf("two parts: %+v, %v", r, err)
	}
	for _, c := range []struct {
		change func(r *Report)
		want   string
	}{
		{func(r *Report) { r.Attacks[0].Name = "fgsm" }, `part 2 of 2: it has the attacks ["fgsm" "fab" "both"], want ["pgd" "fab" "both"]`},
		{func(r *Report) { r.Attacks[1] = nil }, `it has the attacks ["pgd" "" "both"]`},
		{func(r *Report) { r.Seed = 3 }, "it is of seed 3, the first of 0"},
		{func(r *Report) { r.Weights = "b" }, "it is of the weights b, the first of a"},
		{func(r *Report) { r.N = 2 }, "it has 1 verdicts on clean images, want 2"},
		{func(r *Report) { r.Attacks[0].RobustFlags = nil }, "pgd: it has 0 verdicts, want 1"},
		{func(r *Report) { r.Attacks[0].Losses = nil }, "pgd: it has 0 losses, want 1"},
		{func(r *Report) { r.Attacks[0].Targets = nil }, "pgd: it has 0 targets, want 1"},
		{func(r *Report) { r.Attacks[0].Distances = []Number{1} }, "pgd: it has 1 distances, want 0"},
		{func(r *Report) { r.Attacks[0].Adv = make([]float32, 16) }, "pgd: that it has adversarial images is true, and of the first part false"},
		{func(r *Report) { r.Attacks[1].Distances = nil }, "part 2 of 2: fab: it has 0 distances, want 1"},
		{func(r *Report) { r.Attacks[2].BrokenIn = nil }, "both: it has 0 numbers of runs"},
		{func(r *Report) { r.Attacks[2].Stages = r.Attacks[2].Stages[:1] }, `both: it has the stages ["a"], want ["a" "b"]`},
		{func(r *Report) { r.Attacks[2].Stages[1] = nil }, `both: it has the stages ["a" ""], want ["a" "b"]`},
		{func(r *Report) { r.Attacks[2].Stages[1].Losses = nil }, "part 2 of 2: both: b: it has 0 losses, want 1"},
	} {
		if _, err := Merge(list, part(c.change), part(same)); err == nil {
			t.Errorf("%q in the first part: no error", c.want)
		}
		if _, err := Merge(list, part(same), part(c.change)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := Merge(list); err == nil {
		t.Error("no parts: no error")
	}
	if _, err := Merge(list, part(same), nil); err == nil || !strings.Contains(err.Error(), "part 2 of 2") {
		t.Errorf("a part that is nil: %v", err)
	}
	read := new(Report)
	text, err := json.Marshal(part(same))
	if err == nil {
		err = json.Unmarshal(text, read)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(list, read); err == nil || !strings.Contains(err.Error(), "part 1 of 1: pgd: it has 0 ") {
		t.Errorf("a part from JSON: %v", err)
	}
}
