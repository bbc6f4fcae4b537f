package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// coin is a model of one pixel and two classes that predicts 1 with the pixel's probability, and 0 else.
func coin(t *testing.T, forwards int) Model {
	return Model{
		Backend: goBackend(t), Classes: 2, Image: [3]int{1, 1, 1}, Forwards: forwards,
		Random: func(_ []*Node, x, keys *Node) *Node {
			side := ConvertDType(LessThan(KeyedUniform(keys, 1), Reshape(x, -1, 1)), x.DType())
			return Concatenate([]*Node{MulScalar(OnesLike(side), .5), side}, -1)
		},
	}
}

// TestMajorityOfForwardsDecides recomputes every verdict from its stream of keys.
func TestMajorityOfForwardsDecides(t *testing.T) {
	const n = 60
	for _, tc := range []struct {
		forwards, passes int
		returned         float32
	}{{0, 10, .8}, {0, 10, .45}, {1, 1, .45}, {5, 5, .55}} {
		model := coin(t, tc.forwards)
		images := slices.Repeat([]uint8{51}, n) // probability 0.2
		returned := slices.Repeat([]float32{tc.returned}, n)
		method := script{PGD{Ball: Ball{Linf, .7}, Steps: 1, StepSize: .1, Loss: "ce"}, &returned}
		report := evaluate(t, model, images, make([]int32, n), []Attack{{Name: "script", Method: method}}, Options{Seed: 4, Batch: 7})
		wrong := func(name string, image int, p float64) bool {
			rng, count := stream(4, name+"\x00verdict", image, 0), 0
			for range tc.passes {
				key0, key1 := rng.Uint32(), rng.Uint32()
				if bits, _ := threefryHost(key0, key1, 0, 0); float64(bits>>8)/(1<<24) < p {
					count++
				}
			}
			return 2*count > tc.passes
		}
		r, broken := report.Attacks[0], 0
		for i := range n {
			right := !wrong("clean", i, float64(float32(51)/255))
			if report.Clean.Flags[i] != right || r.RobustFlags[i] != (right && !wrong("script", i, float64(tc.returned))) {
				t.Errorf("%d forwards: image %d: clean %v, robust %v", tc.forwards, i, report.Clean.Flags[i], r.RobustFlags[i])
			}
			if !r.RobustFlags[i] {
				broken++
			}
		}
		if live := report.Clean.Flags.count(); r.Forwards != int64(live*tc.passes) || live < n/2 {
			t.Errorf("%d forwards: %d passes over %d images", tc.forwards, r.Forwards, live)
		}
		if tc.returned == .8 && broken < n-2 || tc.returned == .45 && (broken == 0 || broken == n) {
			t.Errorf("%d forwards at %g: %d of %d broken", tc.forwards, tc.returned, broken, n)
		}
	}
}

// noisy adds normal noise to the input of a model.
func noisy(m Model, deviation float64) Model {
	inner, shape := m.Logits, m.Image[:]
	m.Logits = nil
	m.Random = func(w []*Node, x, keys *Node) *Node {
		return inner(w, Add(x, MulScalar(KeyedNormal(keys, shape...), deviation)))
	}
	return m
}

// TestVerdictsOfRandomModels checks that they depend neither on batch size nor on order nor on other images.
func TestVerdictsOfRandomModels(t *testing.T) {
	fixed, images, labels := perceptron(goBackend(t), 24)
	model := noisy(fixed, .05)
	model.Forwards = 5
	ball := Ball{Linf, .05}
	list := []Attack{
		{Name: "pgd", Method: PGD{Ball: ball, Steps: 3, StepSize: .03, Start: Uniform, Loss: "ce", EOT: 3, Best: true, Restarts: 2}},
		{Name: "apgd", Method: APGD{Ball: ball, Steps: 4, Loss: "dlr", EOT: 4, Restarts: 2}},
		{Name: "reference", Method: APGD{Ball: ball, Steps: 4, Loss: "ce", EOT: 2, Reference: true}},
	}
	want := evaluate(t, model, images, labels, list, Options{Batch: 32, Seed: 5, KeepAdv: true})
	for _, r := range want.Attacks {
		if c := r.RobustFlags.count(); c < 2 || c > want.Clean.Flags.count()-2 {
			t.Fatalf("%s: %d of %d robust: the test needs both verdicts", r.Name, c, want.Clean.Flags.count())
		}
	}
	sameInAnyBatch(t, model, images, labels, list, want)
	if other := evaluate(t, model, images, labels, list, Options{Batch: 32, Seed: 6, KeepAdv: true}); slices.Equal(other.Attacks[1].Adv, want.Attacks[1].Adv) {
		t.Error("another seed gives the same adversarial images")
	}
}

// TestFixedModelsPayNothing checks that keys and passes exist for random models alone.
func TestFixedModelsPayNothing(t *testing.T) {
	fixed, images, labels := perceptron(goBackend(t), 10)
	a := APGD{Ball: Ball{Linf, .03}, Steps: 4, Loss: "ce"}
	b := a
	b.EOT = 20
	for name, model := range map[string]Model{"fixed": fixed, "random": noisy(fixed, .01)} {
		e, err := newEngine(model, 4)
		if err != nil {
			t.Fatal(err)
		}
		defer e.finalize()
		inputs := 0
		exec, err := e.compileNetwork("count", func(in []*Node) []*Node { inputs = len(in); return in[:1] }, e.imageShape())
		if err != nil {
			t.Fatal(err)
		}
		exec.Finalize()
		if err := b.prepare(e); err != nil {
			t.Fatal(err)
		}
		wantInputs, wantUpdates := 3, 2
		if name == "random" {
			wantInputs, wantUpdates = 4, 4
		}
		if inputs != wantInputs || len(e.update) != wantUpdates {
			t.Errorf("%s: %d inputs and %d updates, want %d and %d", name, inputs, len(e.update), wantInputs, wantUpdates)
		}
	}
	one := evaluate(t, fixed, images, labels, []Attack{{Name: "a", Method: a}}, Options{KeepAdv: true}).Attacks[0]
	many := evaluate(t, fixed, images, labels, []Attack{{Name: "a", Method: b}}, Options{KeepAdv: true}).Attacks[0]
	if one.Forwards != many.Forwards || !slices.Equal(one.Adv, many.Adv) || !slices.Equal(one.Losses, many.Losses) {
		t.Errorf("EOT of a fixed model changes %d passes to %d, or the images", one.Forwards, many.Forwards)
	}
}

// TestExpectation compares gradients, losses and marks with those of the single passes, without and with a target.
func TestExpectation(t *testing.T) {
	fixed, images, labels := perceptron(goBackend(t), 8)
	e, err := newEngine(noisy(fixed, .2), 8)
	if err != nil {
		t.Fatal(err)
	}
	defer e.finalize()
	v := &evaluation{engine: e, images: images, labels: labels, natural: make([]float32, 8*fixed.Classes)}
	b := v.batch(v.all())
	about := make([]float32, 8*fixed.Classes)
	for i := range 8 {
		about[i*fixed.Classes+(int(labels[i])+fixed.Classes-1)%fixed.Classes] = 1 // what images 0 and 6 are predicted as
	}
	b.target = tensors.FromFlatDataAndDimensions(about, 8, fixed.Classes)
	host := func(x *tensors.Tensor) []float64 {
		flat, err := tensors.CopyFlatData[float32](x)
		if err != nil {
			t.Fatal(err)
		}
		return widen(flat)
	}
	for _, tc := range []struct {
		goal   goal
		passes int
	}{{goal{loss: "ce"}, 4}, {goalAt("ce", 0, Likeliest), 7}} {
		if err := e.prepareGradient(tc.goal); err != nil {
			t.Fatal(err)
		}
		start := func() {
			e.forwards, e.backwards = 0, 0
			e.reseed(8, func(row int) *rand.Rand { return stream(1, "test", row, 0) })
		}
		share := 1 / float64(tc.passes)
		grad, losses, last := make([]float64, 96), make([]float64, 8), make([]float64, 8)
		counts, lastMarks := map[int32][]int{markWrong: make([]int, 8), markTarget: make([]int, 8)}, make([]int32, 8)
		start()
		for range tc.passes {
			now, err := e.ascend(t.Context(), tc.goal, b, b.clean)
			if err != nil {
				t.Fatal(err)
			}
			last, lastMarks = host(now.losses), now.marks.Value().([]int32)
			for i, g := range host(now.grad) {
				grad[i] += g * share
			}
			for i, m := range lastMarks {
				losses[i] += last[i] * share
				for mark, of := range counts {
					of[i] += int(m & mark / mark)
				}
			}
		}
		if spread := slices.Max(counts[markWrong]) - slices.Min(counts[markWrong]); spread < 3 || tc.goal.aimed() && slices.Max(counts[markTarget]) <= tc.passes/2 {
			t.Fatalf("marks %v: the test needs different ones", counts)
		}
		for _, x := range []expectation{{passes: tc.passes}, {tc.passes, true}} {
			start()
			got, err := e.expect(t.Context(), tc.goal, b, b.clean, x)
			if err != nil {
				t.Fatal(err)
			}
			if e.forwards != int64(8*tc.passes) || e.backwards != int64(8*tc.passes) {
				t.Errorf("%+v: %d forwards and %d backwards for 8 images", x, e.forwards, e.backwards)
			}
			for i, g := range host(got.grad) {
				if !near(g, grad[i], 1e-4) && math.Abs(g-grad[i]) > 1e-6 {
					t.Errorf("%+v: gradient %d is %g, want %g", x, i, g, grad[i])
				}
			}
			for i, m := range got.marks.Value().([]int32) {
				want, loss := int32(0), losses[i]
				for mark, of := range counts {
					if 2*of[i] > tc.passes {
						want |= mark
					}
				}
				if 4*counts[markWrong][i] >= 3*tc.passes {
					want |= markSure
				}
				if x.last {
					want, loss = lastMarks[i], last[i]
				}
				if m != want {
					t.Errorf("%+v: marks %b of image %d, want %b", x, m, i, want)
				}
				if now := host(got.losses)[i]; !near(now, loss, 1e-5) {
					t.Errorf("%+v: loss %g, want %g", x, now, loss)
				}
			}
		}
	}
}

// TestEOTOfOneFamily: without momentum, and without a random step, the attacks are PGD on a random model too, pass for
// pass and bit for bit.
func TestEOTOfOneFamily(t *testing.T) {
	base, images, labels := perceptron(goBackend(t), 20)
	model := noisy(base, .02)
	ball := Ball{Linf, .04}
	bim, fgsm := PGD{Ball: ball, Steps: 4, StepSize: .02, Loss: "ce"}, PGD{Ball: ball, Steps: 1, StepSize: .04, Loss: "ce"}
	for name, pair := range map[string][2]Method{
		"momentum": {Momentum{Ball: ball, Steps: 4, StepSize: .02, Loss: "ce"}, bim},
		"rfgsm":    {RFGSM{Ball: ball, Loss: "ce"}, fgsm},
	} {
		var results [2]*Result
		for k, m := range pair {
			a, err := Attack{Name: "a", Method: m}.With(Override{EOT: new(5)})
			if err != nil {
				t.Fatal(err)
			}
			report := evaluate(t, model, images, labels, []Attack{a}, Options{Seed: 2, Batch: 8, KeepAdv: true})
			results[k] = report.Attacks[0]
			if want := int64(report.Clean.Flags.count() * m.passes() * 5); results[k].Backwards != want {
				t.Errorf("%s, %T: %d passes backward, want %d", name, m, results[k].Backwards, want)
			}
		}
		if !slices.Equal(results[0].Adv, results[1].Adv) {
			t.Errorf("%s: other images than PGD's", name)
		}
	}
}

// TestRandOnNoisyLinearModels: normal noise on the input of a linear model adds normal noise of a known deviation to f,
// and the majority follows the sign of f without noise. So the verdict is that of the closed form wherever the best
// attainable f is 3 deviations from 0.
func TestRandOnNoisyLinearModels(t *testing.T) {
	backend := goBackend(t)
	const n, deviation = 20, .0015
	rng := rand.New(rand.NewPCG(7, 18))
	l := newLinear(rng, 18)
	images, labels := l.greyImages(rng, n)
	for _, norm := range []Norm{Linf, L2} {
		var distances []float64
		for i := range n {
			distances = append(distances, l.distance(floats(images[i*18:(i+1)*18]), norm))
		}
		eps := slices.Sorted(slices.Values(distances))[n/2]
		rand4, err := Attack{Name: "rand", Method: randVersion(Ball{norm, eps})}.With(Override{Steps: new(4)})
		if err != nil {
			t.Fatal(err)
		}
		list := []Attack{rand4}
		model := noisy(l.model(backend, [3]int{2, 3, 3}), deviation)
		report := evaluate(t, model, images, labels, list, Options{})
		var size, squares float64 // gains of f: per unit of distance, and of the noise
		for _, w := range l.w {
			size += math.Abs(float64(w))
			squares += float64(w) * float64(w)
		}
		if norm == L2 {
			size = math.Sqrt(squares)
		}
		decided := [2]int{}
		for i, d := range distances {
			left := (d - eps) * size / (deviation * math.Sqrt(squares))
			clean := math.Abs(l.value(floats(images[i*18:(i+1)*18]))) / (deviation * math.Sqrt(squares))
			switch {
			case math.Abs(left) < 3 || clean < 3:
			case report.RobustFlags[i] != (left > 0):
				t.Errorf("%s: image %d at distance %g: robust %v, eps %g", norm, i, d, report.RobustFlags[i], eps)
			case left > 0:
				decided[0]++
			default:
				decided[1]++
			}
		}
		if decided[0] < 3 || decided[1] < 3 {
			t.Errorf("%s: %v verdicts decided: the test needs both", norm, decided)
		}
	}
}

// TestSquareOnRandomModels: one lucky pass does not end a run on a model of chance. Images that can be moved to where 1 of 4
// passes is wrong stay robust after the whole budget of averaged queries; those that can be moved to 9 of 10 are broken.
func TestSquareOnRandomModels(t *testing.T) {
	const n, queries = 30, 12
	model := coin(t, 0)
	images := slices.Repeat([]uint8{51}, n) // wrong with probability 0.2
	for _, tc := range []struct {
		eps         float64
		least, most int // broken
	}{{.05, 0, 3}, {.7, n - 6, n}} {
		attack := Attack{Name: "square", Method: SquareAttack{Ball: Ball{Linf, tc.eps}, Queries: queries}}
		report := evaluate(t, model, images, make([]int32, n), []Attack{attack}, Options{Seed: 2, Batch: 7, KeepAdv: true})
		r, attacked := report.Attacks[0], report.Clean.Flags.count()
		if broken := attacked - r.RobustFlags.count(); broken < tc.least || broken > tc.most {
			t.Errorf("eps %g: %d of %d broken, want %d to %d", tc.eps, broken, attacked, tc.least, tc.most)
		}
		if tc.least > 0 {
			for i, adv := range r.Adv {
				if report.Clean.Flags[i] && math.Abs(float64(adv)-.9) > 1e-6 {
					t.Errorf("eps %g: image %d ends at %g", tc.eps, i, adv)
				}
			}
			continue
		}
		if got, want := r.Forwards+10*r.Skipped, int64(attacked*(10*(1+queries)+10)); got != want || r.Forwards < want/3 {
			t.Errorf("eps %g: %d forwards, %d queries left out: want 10 for the start, each query and the verdict, %d", tc.eps, r.Forwards, r.Skipped, want)
		}
	}

	fixed, images, labels := perceptron(goBackend(t), 24)
	noisier := noisy(fixed, .05)
	noisier.Forwards = 5
	for _, ball := range []Ball{{Linf, .06}, {L2, .15}} {
		list := []Attack{{Name: "square", Method: SquareAttack{Ball: ball, Queries: 20, Restarts: 2}}}
		want := evaluate(t, noisier, images, labels, list, Options{Batch: 32, Seed: 5, KeepAdv: true})
		if c := want.RobustFlags.count(); c < 2 || c > want.Clean.Flags.count()-2 {
			t.Fatalf("%s: %d of %d robust: the test needs both verdicts", ball.Norm, c, want.Clean.Flags.count())
		}
		for _, size := range []int{1, 7} {
			compare(t, evaluate(t, noisier, images, labels, list, Options{Batch: size, Seed: 5, KeepAdv: true}), want, func(i int) int { return i })
		}
	}
}

// TestSquareJudge counts the passes that a query of a random model takes, and what they decide.
func TestSquareJudge(t *testing.T) {
	for _, tc := range []struct {
		passes            int
		looks, misses     float32
		decided, succeeds bool
	}{
		{1, 1, 0, true, false}, {1, 1, 1, true, true},
		{5, 4, 4, false, false}, {5, 4, 0, false, false}, {5, 5, 4, true, false}, {5, 5, 0, true, false},
		{5, 5, 5, false, false}, {5, 6, 6, false, false}, {5, 6, 5, true, false}, {5, 9, 9, false, false}, {5, 10, 10, true, true}, {5, 10, 9, true, false},
	} {
		out := eval(t, goBackend(t), func(in []*Node) []*Node {
			decided, broken := SquareAttack{}.judge(tc.passes, in[0], in[1])
			return []*Node{decided, broken}
		}, []float32{tc.looks}, []float32{tc.misses})
		if decided, broken := out[0].Value().([]bool)[0], out[1].Value().([]bool)[0]; decided != tc.decided || broken != tc.succeeds {
			t.Errorf("%+v: decided %v, broken %v", tc, decided, broken)
		}
	}
}

func TestRandomModelsAreChecked(t *testing.T) {
	fixed, images, labels := perceptron(goBackend(t), 4)
	both, negative := fixed, noisy(fixed, .1)
	both.Random = noisy(fixed, .1).Random
	negative.Forwards = -1
	misshapen := fixed
	misshapen.Logits, misshapen.Random = nil, func(w []*Node, x, keys *Node) *Node { return ReduceSum(x, -1) }
	for want, m := range map[string]Model{"both Logits and Random": both, "-1 forward passes": negative, "logits have shape": misshapen} {
		if _, err := Evaluate(t.Context(), m, images, labels, nil, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	for _, m := range []Method{PGD{Ball: standardBall, Steps: 1, Loss: "ce", EOT: -1}, APGD{Ball: standardBall, Steps: 1, Loss: "ce", EOT: -1}} {
		if err := m.Validate(5); err == nil || !strings.Contains(err.Error(), "EOT -1") {
			t.Errorf("%T: error %v", m, err)
		}
	}
	a, err := Preset("autoattack-rand")
	if err != nil {
		t.Fatal(err)
	}
	for _, norm := range []Norm{Linf, L2, L1} {
		b, err := a.With(Override{Norm: &norm, Eps: new(.5)})
		if err != nil || b.Validate(3) != nil {
			t.Errorf("%s: %v, %v", norm, err, b.Validate(3))
		}
		want := fmt.Sprint(randVersion(Ball{norm, .5}).Stages)
		if got := fmt.Sprint(b.Method.(Ensemble).Stages); got != want {
			t.Errorf("%s: %s, want %s", norm, got, want)
		}
	}
}
