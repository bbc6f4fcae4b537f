package attacks

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// perceptron is a small random network with a curved boundary, and images that it classifies mostly right.
func perceptron(backend compute.Backend, n int) (Model, []uint8, []int32) {
	rng := rand.New(rand.NewPCG(11, 12))
	const d, hidden, classes = 12, 24, 5
	gauss := func(size int, scale float64) []float32 {
		w := make([]float32, size)
		for i := range w {
			w[i] = float32(scale * rng.NormFloat64())
		}
		return w
	}
	model := Model{
		Backend: backend, Classes: classes, Image: [3]int{2, 2, 3},
		Weights: []*tensors.Tensor{
			tensors.FromFlatDataAndDimensions(gauss(d*hidden, 1), d, hidden),
			tensors.FromFlatDataAndDimensions(gauss(hidden*classes, 1), hidden, classes),
		},
		Logits: func(w []*Node, x *Node) *Node {
			flat := AddScalar(Reshape(x, x.Shape().Dim(0), -1), -.5)
			return Dot(Tanh(MulScalar(Dot(flat, w[0]).MatMul(), 2)), w[1]).MatMul()
		},
	}
	images, labels := make([]uint8, n*d), make([]int32, n)
	for i := range images {
		images[i] = uint8(rng.IntN(256))
	}
	exec, err := NewExec(backend, func(in []*Node) []*Node { return []*Node{ArgMax(model.logits(in[1:], in[0]), -1)} })
	if err != nil {
		panic(err)
	}
	defer exec.Finalize()
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(floats(images), n, 2, 2, 3), model.Weights[0], model.Weights[1])
	if err != nil {
		panic(err)
	}
	copy(labels, out[0].Value().([]int32))
	for i := 0; i < n; i += 6 {
		labels[i] = (labels[i] + 1) % classes
	}
	return model, images, labels
}

// curvedAttacks have random starts, restarts, and both rules for the iterate.
func curvedAttacks(steps int) []Attack {
	p := PGD{Ball: Ball{Linf, .06}, Steps: steps, StepSize: .02, Start: UniformUnclipped, Loss: "ce"}
	final := Attack{Name: "final", Method: p}
	p.Restarts = 3
	restarts := Attack{Name: "restarts", Method: p}
	p.Best, p.Loss, p.Ball, p.Start = true, "dlr", Ball{L2, .12}, Uniform
	return []Attack{final, restarts, {Name: "best", Method: p}}
}

func TestVerdictsDoNotDependOnBatchSizeOrOrder(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 40)
	list := curvedAttacks(6)
	want := evaluate(t, model, images, labels, list, Options{Batch: 64, Seed: 5, KeepAdv: true})
	if c := want.RobustFlags.count(); c < 3 || c > 30 {
		t.Fatalf("%d of 40 robust: the test needs both verdicts", c)
	}
	sameInAnyBatch(t, model, images, labels, list, want)
	other := evaluate(t, model, images, labels, list, Options{Batch: 64, Seed: 6, KeepAdv: true})
	if slices.Equal(other.Attacks[0].Adv, want.Attacks[0].Adv) {
		t.Error("another seed gives the same adversarial images")
	}
}

// compare checks that image i of got fared like image at(i) of want.
func compare(t *testing.T, got, want *Report, at func(int) int) {
	t.Helper()
	d := len(want.Attacks[0].Adv) / want.N
	for a, r := range got.Attacks {
		w := want.Attacks[a]
		for i, robust := range r.RobustFlags {
			if robust != w.RobustFlags[at(i)] || got.RobustFlags[i] != want.RobustFlags[at(i)] {
				t.Errorf("%s: verdict of image %d differs", r.Name, at(i))
			}
			for k := range d {
				if math.Abs(float64(r.Adv[i*d+k]-w.Adv[at(i)*d+k])) > 1e-5 {
					t.Errorf("%s: adversarial image %d differs at pixel %d: %g, %g", r.Name, at(i), k, r.Adv[i*d+k], w.Adv[at(i)*d+k])
					break
				}
			}
		}
	}
}

// TestEvaluateIsStepUnrolled checks the loop over compiled programs against the same attack as one graph.
func TestEvaluateIsStepUnrolled(t *testing.T) {
	backend := goBackend(t)
	model, images, labels := perceptron(backend, 12)
	for _, p := range []PGD{
		{Ball: Ball{Linf, .06}, Steps: 4, StepSize: .02, Start: Uniform, Loss: "kl"},
		{Ball: Ball{Linf, .06}, Steps: 4, StepSize: .02, Start: UniformUnclipped, Loss: "cw", Kappa: 50},
		{Ball: Ball{L2, .2}, Steps: 4, StepSize: .07, Start: Normal, Loss: "ce"},
	} {
		report := evaluate(t, model, images, labels, []Attack{{Name: "pgd", Method: p}}, Options{Batch: 5, Seed: 3, KeepAdv: true})
		x := floats(images)
		noise := make([]float32, len(x))
		for i := range labels {
			p.Noise(noise[i*12:(i+1)*12], stream(3, "pgd", i, 0))
		}
		shape := []int{12, 2, 2, 3}
		out := eval(t, backend, func(in []*Node) []*Node {
			x, y, weights := in[0], in[1], in[3:]
			natural := model.logits(weights, x)
			adv := p.Begin(x, in[2])
			for range p.Steps {
				adv = p.Step(x, adv, func(adv *Node) *Node { return p.Objective(model.logits(weights, adv), y, natural) })
			}
			logits := model.logits(weights, adv)
			return []*Node{adv, p.Objective(logits, y, natural), Correct(logits, y)}
		}, tensors.FromFlatDataAndDimensions(x, shape...), labels, tensors.FromFlatDataAndDimensions(noise, shape...), model.Weights[0], model.Weights[1])
		adv, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			t.Fatal(err)
		}
		losses, right := out[1].Value().([]float32), out[2].Value().([]bool)
		r := report.Attacks[0]
		for i := range labels {
			if !report.Clean.Flags[i] {
				continue // not attacked
			}
			if r.RobustFlags[i] != right[i] || !near(float64(r.Losses[i]), float64(losses[i]), 1e-4) {
				t.Errorf("%+v: image %d: robust %v, loss %g; unrolled %v, %g", p, i, r.RobustFlags[i], r.Losses[i], right[i], losses[i])
			}
			for k := i * 12; k < (i+1)*12; k++ {
				if math.Abs(float64(adv[k]-r.Adv[k])) > 1e-5 {
					t.Errorf("%+v: image %d: adversarial pixel %g, unrolled %g", p, i, r.Adv[k], adv[k])
				}
			}
		}
	}
}

// TestStrongerAttacksBreakMore checks image by image what must hold whatever the numbers: more restarts and keeping the
// best iterate lose nothing, and no budget breaks nothing.
func TestStrongerAttacksBreakMore(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 40)
	p := PGD{Ball: Ball{Linf, .05}, Steps: 5, StepSize: .02, Start: Uniform, Loss: "ce"}
	outcome := func(change func(p *PGD)) *Result {
		q := p
		change(&q)
		return evaluate(t, model, images, labels, []Attack{{Name: "pgd", Method: q}}, Options{KeepAdv: true}).Attacks[0]
	}
	weak := outcome(func(*PGD) {})
	if weak.RobustAccuracy == 0 || weak.RobustAccuracy > .8 {
		t.Fatalf("robust accuracy %g: the test needs an attack that breaks some", weak.RobustAccuracy)
	}
	for name, strong := range map[string]*Result{
		"restarts":     outcome(func(p *PGD) { p.Restarts = 4 }),
		"best iterate": outcome(func(p *PGD) { p.Best = true }),
	} {
		for i, robust := range strong.RobustFlags {
			if robust && !weak.RobustFlags[i] {
				t.Errorf("%s: image %d is robust, but broken by the weaker attack", name, i)
			}
			if robust && strong.Losses[i] < weak.Losses[i]-1e-5 {
				t.Errorf("%s: image %d: loss %g below the weaker attack's %g", name, i, strong.Losses[i], weak.Losses[i])
			}
		}
	}
	nothing := evaluate(t, model, images, labels, []Attack{{Name: "pgd", Method: PGD{Steps: 3, StepSize: .1, Start: Uniform, Loss: "ce"}}}, Options{KeepAdv: true})
	if !slices.Equal(nothing.RobustFlags, nothing.Clean.Flags) || !slices.Equal(nothing.Attacks[0].Adv, floats(images)) {
		t.Error("eps 0 changed images or verdicts")
	}
	all := outcome(func(p *PGD) {
		p.Ball.Eps, p.StepSize, p.Steps, p.Loss, p.Best, p.Restarts = 1, .1, 30, "cw", true, 5
		p.Kappa = 50
	})
	if all.RobustAccuracy != 0 {
		t.Errorf("eps 1 leaves robust accuracy %g, want 0", all.RobustAccuracy)
	}
}

// TestCounts checks passes and losses against their definitions.
func TestCounts(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	p := PGD{Ball: Ball{Linf, .05}, Steps: 5, StepSize: .02, Start: Uniform, Loss: "ce"}
	best, twice := p, p
	best.Best, twice.Restarts = true, 2
	report := evaluate(t, model, images, labels, []Attack{{Name: "a", Method: p}, {Name: "b", Method: best}, {Name: "a2", Method: twice}}, Options{Batch: 7})
	live := int64(report.Clean.Flags.count())
	if report.Clean.Accuracy != 16./20 {
		t.Fatalf("clean accuracy %g, want 16 of 20", report.Clean.Accuracy)
	}
	a, b := report.Attacks[0], report.Attacks[1]
	if a.Forwards != 6*live || a.Backwards != 5*live {
		t.Errorf("final iterate: %d forwards and %d backwards, want %d and %d", a.Forwards, a.Backwards, 6*live, 5*live)
	}
	if b.Forwards != 7*live || b.Backwards != 5*live {
		t.Errorf("best iterate: %d forwards and %d backwards, want %d and %d", b.Forwards, b.Backwards, 7*live, 5*live)
	}
	if r := report.Attacks[2]; r.Backwards <= 5*live || r.Backwards > 10*live || r.Forwards*5 != r.Backwards*6 {
		t.Errorf("two runs: %d forwards and %d backwards for %d images", r.Forwards, r.Backwards, live)
	}
	var sum float64
	for _, loss := range a.Losses {
		sum += float64(loss) / 20
	}
	if !near(float64(a.MeanLoss), sum, 1e-9) {
		t.Errorf("mean loss %g, want %g", a.MeanLoss, sum)
	}
	if len(report.Warnings) != 0 {
		t.Errorf("warnings of a healthy model: %q", report.Warnings)
	}
}

// TestEvaluatorTakesOtherWeights checks that programs compiled once give what a fresh evaluation of those weights gives.
func TestEvaluatorTakesOtherWeights(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	second, err := model.Weights[1].LocalClone()
	if err != nil {
		t.Fatal(err)
	}
	tensors.MustMutableFlatData(second, func(flat []float32) { slices.Reverse(flat) })
	other := []*tensors.Tensor{model.Weights[0], second}
	changed := model
	changed.Weights = other

	ev, err := NewEvaluator(model, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer ev.Close()
	list := curvedAttacks(3)
	for name, tc := range map[string]struct {
		weights []*tensors.Tensor
		want    *Report
	}{
		"own":     {model.Weights, evaluate(t, model, images, labels, list, Options{Batch: 7})},
		"another": {other, evaluate(t, changed, images, labels, list, Options{Batch: 7})},
	} {
		got, err := ev.Evaluate(t.Context(), tc.weights, images, labels, list, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for k, r := range got.Attacks {
			w := tc.want.Attacks[k]
			if !slices.Equal(r.RobustFlags, w.RobustFlags) || !slices.Equal(r.Losses, w.Losses) || r.Forwards != w.Forwards {
				t.Errorf("%s weights: %s: %+v, want %+v", name, r.Name, r, w)
			}
		}
	}
	for name, weights := range map[string][]*tensors.Tensor{"one": other[:1], "misshapen": {other[1], other[0]}} {
		if _, err := ev.Evaluate(t.Context(), weights, images, labels, list, Options{}); err == nil {
			t.Errorf("%s weights accepted", name)
		}
	}
	if _, err := NewEvaluator(model, 0); err == nil {
		t.Error("batch size 0 accepted")
	}
}

func TestProgress(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	var calls []Progress
	report := evaluate(t, model, images, labels, curvedAttacks(3), Options{Batch: 7, Progress: func(p Progress) { calls = append(calls, p) }})
	var last Progress
	ended := map[string]int{}
	for _, p := range calls {
		if p.Attack == last.Attack && p.Run == last.Run && p.Done <= last.Done || p.Done > p.Total || p.Of != 20 || p.Run > p.Runs {
			t.Fatalf("progress %+v after %+v", p, last)
		}
		if p.Done == p.Total {
			ended[p.Attack]++
		}
		last = p
	}
	if ended["clean"] != 1 || ended["final"] != 1 || ended["restarts"] != 3 || len(report.Attacks) != 3 {
		t.Errorf("runs that ended: %v", ended)
	}
}

func TestInterrupted(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	ctx, cancel := context.WithCancel(t.Context())
	report, err := Evaluate(ctx, model, images, labels, curvedAttacks(3), Options{Progress: func(p Progress) {
		if p.Attack == "final" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || report != nil {
		t.Errorf("report %v, error %v, want context.Canceled", report, err)
	}
}

// cheat returns images that are wrong, but not in the ball.
type cheat struct{ PGD }

func (c cheat) attack(_ context.Context, e *engine, b *batch) error {
	b.adv = slices.Clone(b.x)
	d := e.model.pixels()
	for row := range b.images {
		image := b.adv[row*d : (row+1)*d]
		for i := range image {
			image[i] = 1 - image[i]
		}
	}
	return nil
}

func TestImagesOutsideTheBallDoNotCount(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 12)
	report := evaluate(t, model, images, labels, []Attack{{Name: "cheat", Method: cheat{PGD{Ball: Ball{Linf, .05}, Steps: 1, StepSize: .05, Loss: "ce"}}}}, Options{KeepAdv: true})
	if !slices.Equal(report.RobustFlags, report.Clean.Flags) || !warned(report, "outside the ball") {
		t.Errorf("robust %v, clean %v, warnings %q", report.RobustFlags, report.Clean.Flags, report.Warnings)
	}
	if !slices.Equal(report.Attacks[0].Adv, floats(images)) {
		t.Error("images outside the ball were returned")
	}
}

// script returns given one-pixel images, one a run.
type script struct {
	PGD
	runsOf *[]float32
}

func (s script) attack(_ context.Context, e *engine, b *batch) error {
	b.adv = make([]float32, e.size)
	for row := range b.adv {
		b.adv[row] = (*s.runsOf)[0]
	}
	*s.runsOf = (*s.runsOf)[1:]
	return nil
}

// TestWorstRunCounts returns a right image of high loss, a wrong one of lower loss, and (never asked for) a third.
func TestWorstRunCounts(t *testing.T) {
	model := Model{
		Backend: goBackend(t), Classes: 3, Image: [3]int{1, 1, 1},
		Logits: func(_ []*Node, x *Node) *Node { // x .5: (.34, .33, .33); .6: (.45, .55, 0) in probabilities; else sure
			x = Reshape(x, -1, 1)
			choose := func(at, half, more float64) *Node {
				is := func(v float64) *Node { return LessThan(Abs(AddScalar(x, -v)), MulScalar(OnesLike(x), 1e-3)) }
				value := func(v float64) *Node { return MulScalar(OnesLike(x), v) }
				return Where(is(.5), value(half), Where(is(.6), value(more), value(at)))
			}
			return Concatenate([]*Node{choose(9, math.Log(.34), math.Log(.45)), choose(0, math.Log(.33), math.Log(.55)), choose(0, math.Log(.33), -30)}, -1)
		},
	}
	ball := Ball{Linf, .5}
	for _, tc := range []struct {
		runs []float32
		want float32
		rest int
	}{{[]float32{.5, .6, .55}, .6, 1}, {[]float32{.55, .5, .55}, .5, 0}} {
		runs := tc.runs
		method := script{PGD{Ball: ball, Steps: 1, StepSize: .1, Loss: "ce", Restarts: 3}, &runs}
		report := evaluate(t, model, []uint8{128}, []int32{0}, []Attack{{Name: "script", Method: method}}, Options{KeepAdv: true})
		r := report.Attacks[0]
		if r.Adv[0] != tc.want || r.RobustFlags[0] != (tc.want == .5) || len(runs) != tc.rest || r.Forwards != int64(3-tc.rest) {
			t.Errorf("runs %v: returned %v, robust %v, %d runs left, %d forwards", tc.runs, r.Adv, r.RobustFlags, len(runs), r.Forwards)
		}
	}
}
