package attacks

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// leaning adds to the logit of class 0 in batches of one size.
func leaning(m Model, size int, by float64) Model {
	return wrapped(m, func(inner func(x *Node) *Node, x *Node) *Node {
		z := inner(x)
		if x.Shape().Dim(0) != size {
			return z
		}
		return Add(z, MulScalar(ConvertDType(Equal(Iota(z.Graph(), z.Shape(), -1), ZerosLike(z)), z.DType()), by))
	})
}

// class0 are n images of that class, and a network that breaks for about half of them.
func class0(t *testing.T, n int) (model Model, images []uint8, labels []int32) {
	all, of := toyImages(5, 4*n)
	for i, y := range of {
		if y == 0 {
			images = append(images, all[16*i:16*i+16]...)
		}
	}
	return toyNetwork(t, goBackend(t), 24, func(h *Node) *Node { return Tanh(h) }), images, make([]int32, n)
}

// TestRefutedClaims: where the verification finds images of class 0 harder to break than the search does, the first
// success of a run is often none. The run goes on, and so breaks what it breaks where the search sees the same.
func TestRefutedClaims(t *testing.T) {
	const size = 8
	model, images, labels := class0(t, 16)
	for _, test := range []struct {
		name   string
		by     float64
		method Method
	}{
		{"apgd", .3, APGD{Ball: Ball{Linf, .1}, Steps: 30, Loss: "ce"}},
		{"square", .3, SquareAttack{Ball: Ball{Linf, .1}, Queries: 300}},
		{"spsa", .3, SPSA{Ball: Ball{Linf, .1}, Steps: 20, Pairs: 8, Probe: .01, StepSize: .02}},
		{"fab", .01, FAB{Ball: Ball{Linf, .1}, Steps: 30}},
	} {
		list := []Attack{{Name: "a", Method: test.method}}
		run := func(m Model) *Result { return evaluate(t, m, images, labels, list, Options{Batch: size}).Attacks[0] }
		got, want := run(leaning(model, size/2, test.by)), run(leaning(leaning(model, size/2, test.by), size, test.by))
		if got.Refuted == 0 || want.Refuted != 0 {
			t.Errorf("%s: %d claims refuted, and %d where the search sees what the verification sees", test.name, got.Refuted, want.Refuted)
		}
		if g, w := got.RobustFlags.count(), want.RobustFlags.count(); g > w {
			t.Errorf("%s: %d of 16 images robust, %d where the search sees what the verification sees", test.name, g, w)
		}
	}
}

// TestAllClaimsRefuted: a search ends even where its verification refutes everything, and the report says so.
func TestAllClaimsRefuted(t *testing.T) {
	model, images, labels := class0(t, 16)
	list := []Attack{{Name: "square", Method: SquareAttack{Ball: Ball{Linf, .1}, Queries: 100}}}
	plain := evaluate(t, model, images, labels, list, Options{Batch: 8}).Attacks[0]
	report := evaluate(t, leaning(model, 4, 100), images, labels, list, Options{Batch: 8})
	got := report.Attacks[0]
	broken := 16 - plain.RobustFlags.count()
	if got.RobustAccuracy != 1 || got.Refuted < broken || got.Refuted > mostRefusals*broken {
		t.Errorf("robust accuracy %g and %d refuted claims, want 1 and from %d to %d", got.RobustAccuracy, got.Refuted, broken, mostRefusals*broken)
	}
	if len(report.Findings) != 1 || report.Findings[0].Name != FlagRefuted {
		t.Errorf("flags %v, want %s", report.Findings, FlagRefuted)
	}
}

// TestResumeAfterRefusal cuts a state file where a claim was refuted: that does not end the run there either.
func TestResumeAfterRefusal(t *testing.T) {
	model, images, labels := class0(t, 16)
	model = leaning(model, 4, .3)
	list := []Attack{{Name: "spsa", Method: SPSA{Ball: Ball{Linf, .1}, Steps: 8, Pairs: 4, Probe: .01, StepSize: .02, Restarts: 2}}}
	opt := Options{Batch: 8, Live: 2, KeepAdv: true}
	opt.State = filepath.Join(t.TempDir(), "state")
	want := evaluate(t, model, images, labels, list, opt)
	content, err := os.ReadFile(opt.State)
	if err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for used := 0; used < len(content); {
		payload, size, err := unframe(content[used:])
		if err != nil {
			t.Fatal(err)
		}
		used += size
		if !bytes.Contains(payload, []byte(`"Refuted":`)) {
			continue
		}
		cuts++
		if err := os.WriteFile(opt.State, content[:used], 0o600); err != nil {
			t.Fatal(err)
		}
		compareReports(t, evaluate(t, model, images, labels, list, opt), want)
	}
	if cuts == 0 {
		t.Fatal("no claim was refuted")
	}
}
