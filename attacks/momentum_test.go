package attacks

import (
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// perceptronGradient is the gradient of the cross entropy of perceptron's model, in float64 by hand: classes of the
// weights are the columns.
func perceptronGradient(t *testing.T, model Model) func(x []float64, y int32) []float64 {
	t.Helper()
	var w [2][]float64
	for i := range w {
		flat, err := tensors.CopyFlatData[float32](model.Weights[i])
		if err != nil {
			t.Fatal(err)
		}
		w[i] = widen(flat)
	}
	d, hidden, classes := model.pixels(), len(w[0])/model.pixels(), model.Classes
	return func(x []float64, y int32) []float64 {
		h, z := make([]float64, hidden), make([]float64, classes)
		for j := range h {
			for i := range d {
				h[j] += (x[i] - .5) * w[0][i*hidden+j]
			}
			h[j] = math.Tanh(2 * h[j])
			for k := range z {
				z[k] += h[j] * w[1][j*classes+k]
			}
		}
		var sum float64
		for _, v := range z {
			sum += math.Exp(v - slices.Max(z))
		}
		grad := make([]float64, d)
		for j := range h {
			var dh float64
			for k := range z {
				p := math.Exp(z[k]-slices.Max(z)) / sum
				if int32(k) == y {
					p--
				}
				dh += p * w[1][j*classes+k]
			}
			for i := range d {
				grad[i] += 2 * (1 - h[j]*h[j]) * dh * w[0][i*hidden+j]
			}
		}
		return grad
	}
}

// slowMomentum is Momentum in Linf as the papers write it, for one image in float64.
func slowMomentum(m Momentum, x []float64, gradient func(x []float64) []float64) []float64 {
	adv, momentum := slices.Clone(x), make([]float64, len(x))
	for range m.Steps {
		at := slices.Clone(adv)
		if m.Nesterov {
			for i := range at {
				at[i] += m.StepSize * m.Decay * momentum[i]
			}
		}
		grad, mean := gradient(at), 0.
		for _, v := range grad {
			mean += math.Abs(v) / float64(len(x))
		}
		for i, v := range grad {
			momentum[i] = m.Decay*momentum[i] + v/mean
			adv[i] += m.StepSize * sign(momentum[i])
			adv[i] = math.Max(math.Max(x[i]-m.Ball.Eps, 0), math.Min(math.Min(x[i]+m.Ball.Eps, 1), adv[i]))
		}
	}
	return adv
}

func sign(v float64) float64 {
	if v == 0 {
		return 0
	}
	return math.Copysign(1, v)
}

func TestMomentumFollowsThePapers(t *testing.T) {
	const n = 20
	model, images, labels := perceptron(goBackend(t), n)
	gradient, x := perceptronGradient(t, model), floats(images)
	list := []Attack{
		{Name: "mi", Method: Momentum{Ball: Ball{Linf, .06}, Steps: 10, StepSize: .015, Decay: 1, Loss: "ce"}},
		{Name: "mi, decaying", Method: Momentum{Ball: Ball{Linf, .06}, Steps: 7, StepSize: .02, Decay: .4, Loss: "ce"}},
		{Name: "ni", Method: Momentum{Ball: Ball{Linf, .06}, Steps: 10, StepSize: .015, Decay: 1, Nesterov: true, Loss: "ce"}},
		{Name: "ni, decaying", Method: Momentum{Ball: Ball{Linf, .06}, Steps: 7, StepSize: .02, Decay: .7, Nesterov: true, Loss: "ce"}},
		{Name: "bim", Method: PGD{Ball: Ball{Linf, .06}, Steps: 7, StepSize: .02, Loss: "ce"}},
	}
	report := evaluate(t, model, images, labels, list, Options{Batch: 7, KeepAdv: true})
	for k, r := range report.Attacks[:4] {
		for i := range n {
			if !report.Clean.Flags[i] {
				continue
			}
			want := slowMomentum(list[k].Method.(Momentum), widen(x[i*12:(i+1)*12]), func(x []float64) []float64 { return gradient(x, labels[i]) })
			for p, v := range want {
				if got := float64(r.Adv[i*12+p]); math.Abs(got-v) > 1e-5 {
					t.Errorf("%s: image %d, pixel %d: %g, the papers' algorithm gives %g", r.Name, i, p, got, v)
				}
			}
		}
		for _, other := range report.Attacks[k+1:] {
			if slices.Equal(r.Adv, other.Adv) {
				t.Errorf("%s and %s return the same images: the test cannot tell them apart", r.Name, other.Name)
			}
		}
		if live := int64(report.Clean.Flags.count()); r.Backwards != live*int64(list[k].Method.passes()) || r.Forwards != r.Backwards+live {
			t.Errorf("%s: %d forwards and %d backwards for %d images", r.Name, r.Forwards, r.Backwards, live)
		}
	}
}

// TestWithoutMomentumIsBIM compares bit for bit in Linf, where only signs count.
func TestWithoutMomentumIsBIM(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 20)
	for _, loss := range []string{"ce", "cw", "dlr"} {
		ball := Ball{Linf, .06}
		report := evaluate(t, model, images, labels, []Attack{
			{Name: "bim", Method: PGD{Ball: ball, Steps: 6, StepSize: .02, Loss: loss, Kappa: 50}},
			{Name: "mi", Method: Momentum{Ball: ball, Steps: 6, StepSize: .02, Loss: loss, Kappa: 50}},
			{Name: "ni", Method: Momentum{Ball: ball, Steps: 6, StepSize: .02, Loss: loss, Kappa: 50, Nesterov: true}},
		}, Options{Batch: 7, KeepAdv: true})
		bim := report.Attacks[0]
		for _, r := range report.Attacks[1:] {
			if !slices.Equal(r.Adv, bim.Adv) || !slices.Equal(r.Losses, bim.Losses) || !slices.Equal(r.RobustFlags, bim.RobustFlags) {
				t.Errorf("%s with decay 0 is not BIM in loss %s", r.Name, loss)
			}
		}
	}
	pair := func(ball Ball) []Attack {
		return []Attack{
			{Name: "pgd", Method: PGD{Ball: ball, Steps: 6, StepSize: ball.Eps / 3, Loss: "ce"}},
			{Name: "mi", Method: Momentum{Ball: ball, Steps: 6, StepSize: ball.Eps / 3, Loss: "ce"}},
		}
	}
	for _, ball := range []Ball{{L2, .15}, {L1, .3}} {
		report := evaluate(t, model, images, labels, pair(ball), Options{Batch: 7, KeepAdv: true})
		for k, v := range report.Attacks[0].Adv {
			if got := report.Attacks[1].Adv[k]; math.Abs(float64(got-v)) > 1e-5 {
				t.Fatalf("%s: pixel %d: %g without momentum, PGD gives %g", ball.Norm, k, got, v)
			}
		}
	}
}

// TestMomentumGuards has a zero gradient, one too small for float32 squares, and one with a NaN.
func TestMomentumGuards(t *testing.T) {
	backend := goBackend(t)
	m := Momentum{Ball: Ball{Linf, .5}, Steps: 1, StepSize: .1, Decay: .5}
	x := [][][][]float32{{{{.5, .5}}}, {{{.5, .5}}}, {{{.5, .5}}}}
	momentum := [][][][]float32{{{{2, -4}}}, {{{0, 0}}}, {{{0, 0}}}}
	grad := [][][][]float32{{{{0, 0}}}, {{{1e-30, -3e-30}}}, {{{float32(math.NaN()), 2}}}}
	out := eval(t, backend, func(in []*Node) []*Node {
		next, gathered, ahead := m.advance(in[0], in[0], in[1], in[2])
		return []*Node{next, gathered, ahead}
	}, x, momentum, grad)
	for k, want := range [][][]float64{
		{{.6, .4}, {.6, .4}, {.5, .6}},
		{{1, -2}, {.5, -1.5}, {0, 2}},
		{{.65, .3}, {.625, .325}, {.5, .7}},
	} {
		got := out[k].Value().([][][][]float32)
		for i := range want {
			for p, v := range want[i] {
				if math.Abs(float64(got[i][0][0][p])-v) > 1e-6 {
					t.Errorf("output %d, image %d: %v, want %v", k, i, got[i][0][0], want[i])
				}
			}
		}
	}
}

// TestMomentumOnLinearModels checks that an image is broken exactly when the budget exceeds its true distance by 1%.
func TestMomentumOnLinearModels(t *testing.T) {
	for _, c := range linearCases(t, 12) {
		m := Momentum{Ball: c.ball, Steps: 8, StepSize: c.ball.Eps / 3, Decay: 1, Loss: "ce", Kappa: 50}
		list := []Attack{{Name: "mi", Method: m}}
		if c.ball.Norm == Linf {
			m.Nesterov, m.Loss = true, "cw"
			list = append(list, Attack{Name: "ni", Method: m})
		}
		c.check(t, list, func(where string, _ *Result, i int, adv []float32) { checkReturned(t, where, c.ball, adv, c.x(i)) })
	}
}

func TestMomentumSettings(t *testing.T) {
	good := Momentum{Ball: standardBall, Steps: 10, StepSize: 2. / 255, Decay: 1, Loss: "ce"}
	for _, tc := range []struct {
		change func(m *Momentum)
		want   string
	}{
		{func(m *Momentum) { m.Decay = -1 }, "decay -1"},
		{func(m *Momentum) { m.Decay = math.NaN() }, "decay NaN"},
		{func(m *Momentum) { m.Loss = "kl" }, "loss kl"},
		{func(m *Momentum) { m.Loss = "mse" }, `loss "mse"`},
		{func(m *Momentum) { m.Steps = 0 }, "steps 0"},
		{func(m *Momentum) { m.StepSize = 2 }, "step size 2"},
		{func(m *Momentum) { m.Ball.Eps = 8 }, "eps 8"},
		{func(m *Momentum) { m.Nesterov, m.Ball.Norm = true, L2 }, "norm l2"},
		{func(m *Momentum) { m.Target = 9 }, "target Target(9)"},
	} {
		m := good
		tc.change(&m)
		if err := m.Validate(10); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", m, err, tc.want)
		}
	}
	a, err := Preset("mi-fgsm")
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.With(Override{Norm: new(L2), Eps: new(.5), Steps: new(20), Loss: "cw", Target: new(LeastLikely), Restarts: new(3)})
	want := Momentum{Ball: Ball{L2, .5}, Steps: 20, StepSize: .0625, Decay: 1, Loss: "cw", Kappa: 50, Target: LeastLikely}
	if err != nil || got.Method != want {
		t.Errorf("%+v, %v, want %+v", got.Method, err, want)
	}
	got, err = a.With(Override{Eps: new(.02), StepSize: new(.001)})
	if m := got.Method.(Momentum); err != nil || m.StepSize != .001 || m.Ball != (Ball{Linf, .02}) || m.Steps != 10 {
		t.Errorf("%+v, %v", got.Method, err)
	}
}
