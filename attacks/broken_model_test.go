package attacks

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestZeroGradientOfABrokenImageIsNoAlarm: with kappa 0 the hinge is flat where the image is broken already.
func TestZeroGradientOfABrokenImageIsNoAlarm(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	p := PGD{Ball: Ball{Linf, .1}, Steps: 8, StepSize: .02, Loss: "cw"}
	report := evaluate(t, model, images, labels, []Attack{{Name: "cw", Method: p}}, Options{})
	if r := report.Attacks[0]; r.ZeroGrad != 0 || r.RobustAccuracy > .5 || len(report.Warnings) != 0 {
		t.Errorf("zero gradients %d, robust accuracy %g, warnings %q", r.ZeroGrad, r.RobustAccuracy, report.Warnings)
	}
}

// TestBrokenModels shows what masked and broken models do to a report.
func TestBrokenModels(t *testing.T) {
	backend := goBackend(t)
	base, images, labels := perceptron(backend, 12)
	list := []Attack{{Name: "pgd", Method: PGD{Ball: Ball{Linf, .05}, Steps: 3, StepSize: .02, Start: Uniform, Loss: "ce"}}}
	with := func(wrap func(z, x *Node) *Node) Model {
		m := base
		m.Logits = func(w []*Node, x *Node) *Node { return wrap(base.Logits(w, x), x) }
		return m
	}
	nan := func(z *Node) *Node { return Div(ZerosLike(z), ZerosLike(z)) }

	t.Run("NaN off the grid of 8-bit images", func(t *testing.T) {
		report := evaluate(t, with(func(z, x *Node) *Node {
			grid := MulScalar(x, 255)
			off := ReduceMax(Abs(Sub(grid, Round(grid))), 1, 2, 3)
			return Where(BroadcastToShape(GreaterThan(InsertAxes(off, -1), MulScalar(OnesLike(InsertAxes(off, -1)), 1e-3)), z.Shape()), nan(z), z)
		}), images, labels, list, Options{})
		r := report.Attacks[0]
		if report.Clean.Accuracy == 0 || r.RobustAccuracy != 0 || r.NaN != report.Clean.Flags.count() || !warned(report, "NaN") {
			t.Errorf("clean %g, robust %g, NaN %d, warnings %q", report.Clean.Accuracy, r.RobustAccuracy, r.NaN, report.Warnings)
		}
	})
	t.Run("NaN everywhere", func(t *testing.T) {
		report := evaluate(t, with(func(z, _ *Node) *Node { return nan(z) }), images, labels, list, Options{})
		if report.Clean.Accuracy != 0 || report.RobustAccuracy != 0 || !warned(report, "clean: 12 of 12") {
			t.Errorf("clean %g, robust %g, warnings %q", report.Clean.Accuracy, report.RobustAccuracy, report.Warnings)
		}
		if _, err := json.Marshal(report); err != nil {
			t.Errorf("NaN losses do not marshal: %v", err)
		}
	})
	t.Run("quantised input", func(t *testing.T) {
		m := base
		m.Logits = func(w []*Node, x *Node) *Node {
			return base.Logits(w, StopGradient(DivScalar(Round(MulScalar(x, 8)), 8)))
		}
		report := evaluate(t, m, images, labels, list, Options{})
		if r := report.Attacks[0]; r.ZeroGrad == 0 || !warned(report, "exactly zero") {
			t.Errorf("zero gradients %d, warnings %q", r.ZeroGrad, report.Warnings)
		}
	})
	t.Run("logits of another shape", func(t *testing.T) {
		_, err := Evaluate(t.Context(), with(func(z, _ *Node) *Node { return ReduceMax(z, -1) }), images, labels, list, Options{})
		if err == nil || !strings.Contains(err.Error(), "logits") {
			t.Errorf("error %v", err)
		}
	})
}

func warned(r *Report, text string) bool {
	return slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, text) })
}

func TestInvalidInput(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 4)
	good := PGD{Ball: Ball{Linf, .05}, Steps: 1, StepSize: .05, Loss: "ce"}
	cases := []struct {
		name   string
		change func(m *Model, images *[]uint8, labels *[]int32, opt *Options, p *PGD)
		want   string // part of the error
	}{
		{"eps in 0-255 units", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Ball.Eps = 8 }, "8/255, not 8"},
		{"negative eps", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Ball.Eps = -.1 }, "eps -0.1"},
		{"NaN eps", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Ball.Eps = math.NaN() }, "eps NaN"},
		{"infinite L2 eps", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Ball = Ball{L2, math.Inf(1)} }, "eps +Inf"},
		{"unknown norm", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Ball.Norm = 7 }, "linf or l2"},
		{"no steps", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Steps = 0 }, "steps 0"},
		{"step size in 0-255 units", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.StepSize = 2 }, "2/255, not 2"},
		{"NaN step size", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.StepSize = math.NaN() }, "step size NaN"},
		{"negative restarts", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Restarts = -1 }, "restarts -1"},
		{"unknown start", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Start = 9 }, "uniform-unclipped"},
		{"unknown loss", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Loss = "mse" }, "ce, kl, cw, dlr"},
		{"KL from the clean image", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Loss = "kl" }, "zero at the clean image"},
		{"negative kappa", func(_ *Model, _ *[]uint8, _ *[]int32, _ *Options, p *PGD) { p.Kappa = -1 }, "kappa -1"},
		{"DLR of two classes", func(m *Model, _ *[]uint8, l *[]int32, _ *Options, p *PGD) {
			p.Loss, m.Classes, *l = "dlr", 2, []int32{0, 1, 0, 1}
		}, "2 classes"},
		{"no images", func(_ *Model, i *[]uint8, l *[]int32, _ *Options, _ *PGD) { *i, *l = nil, nil }, "no images"},
		{"too few bytes", func(_ *Model, i *[]uint8, _ *[]int32, _ *Options, _ *PGD) { *i = (*i)[1:] }, "47 bytes of images, want 48"},
		{"label out of range", func(_ *Model, _ *[]uint8, l *[]int32, _ *Options, _ *PGD) { *l = []int32{0, 5, 0, 0} }, "label 5 of image 1"},
		{"negative batch", func(_ *Model, _ *[]uint8, _ *[]int32, o *Options, _ *PGD) { o.Batch = -1 }, "batch size -1"},
		{"indexes of other images", func(_ *Model, _ *[]uint8, _ *[]int32, o *Options, _ *PGD) { o.Index = []int{1} }, "1 indexes for 4 images"},
		{"no backend", func(m *Model, _ *[]uint8, _ *[]int32, _ *Options, _ *PGD) { m.Backend = nil }, "no backend"},
		{"no logits", func(m *Model, _ *[]uint8, _ *[]int32, _ *Options, _ *PGD) { m.Logits = nil }, "no logits function"},
		{"one class", func(m *Model, _ *[]uint8, _ *[]int32, _ *Options, _ *PGD) { m.Classes = 1 }, "1 classes"},
		{"flat images", func(m *Model, _ *[]uint8, _ *[]int32, _ *Options, _ *PGD) { m.Image = [3]int{4, 0, 3} }, "[4 0 3]"},
	}
	for _, tc := range cases {
		m, i, l, o, p := model, images, labels, Options{}, good
		tc.change(&m, &i, &l, &o, &p)
		report, err := Evaluate(t.Context(), m, i, l, []Attack{{Name: "pgd", Method: p}}, o)
		if err == nil || report != nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "attacks: ") {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
	for name, list := range map[string][]Attack{
		"no name":       {{Method: good}},
		"the same name": {{Name: "a", Method: good}, {Name: "a", Method: good}},
	} {
		if _, err := Evaluate(t.Context(), model, images, labels, list, Options{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
