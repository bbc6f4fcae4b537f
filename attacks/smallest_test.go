package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// smallest are the searches for the smallest perturbation in a norm, for images of few pixels, with the share by which
// their results may exceed the true distance.
func smallest(norm Norm) (list []Attack, within []float64) {
	ball, most := Ball{norm, .05}, map[Norm]float64{Linf: .1, L2: .3, L1: .6}[norm]
	add := func(name string, share float64, m Method) {
		list, within = append(list, Attack{Name: name, Method: m}), append(within, share)
	}
	add("pgd", .05, Bisection{Attack: PGD{Ball: ball, Steps: 6, StepSize: .0125, Start: None, Loss: "dlr"}, Max: most, Rounds: 12, Tolerance: .02})
	steps, share := 12, .05
	if norm == L1 {
		steps, share = 100, .1 // its checks come after every 4% of the steps
	}
	add("apgd", share, Bisection{Attack: APGD{Ball: ball, Steps: steps, Loss: "dlr"}, Max: most, Rounds: 12, Tolerance: .02})
	if norm != L1 {
		add("deepfool", .01, DeepFool{Ball: ball, Steps: 50, Overshoot: .02, Refine: 10})
	}
	switch norm {
	case L2:
		add("carlini", .05, Carlini{Ball: ball, Outer: 6, Inner: 70, LR: .01, C: .01})
	case Linf:
		add("carlini", .05, CarliniLinf{Ball: ball, Inner: 60, LR: .005, C: .2, Largest: 4, Factor: .9, Finer: 2})
	}
	return list, within
}

// imagesApart are images between .1 and .35 from the boundary in L2, and further from the walls; labels are the
// predictions.
func (l linear) imagesApart(rng *rand.Rand, n int) ([]uint8, []int32) {
	d := len(l.w)
	var images []uint8
	var labels []int32
	for len(labels) < n {
		image := make([]uint8, d)
		for i := range image {
			image[i] = uint8(68 + rng.IntN(120))
		}
		if distance := l.distance(floats(image), L2); distance < .1 || distance > .35 {
			continue
		}
		y := int32(0)
		if l.value(floats(image)) < 0 {
			y = 1
		}
		images, labels = append(images, image...), append(labels, y)
	}
	return images, labels
}

// TestSmallestPerturbationsOfLinearModels checks distances against the closed form, for three shapes of images and three
// batch sizes. One image has the label of another class: nothing is needed to have it misclassified.
func TestSmallestPerturbationsOfLinearModels(t *testing.T) {
	backend := goBackend(t)
	const n = 4
	for shape, image := range [][3]int{{2, 3, 3}, {6, 1, 1}, {4, 5, 2}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(9, uint64(d)))
		l := newLinear(rng, d)
		images, labels := l.imagesApart(rng, n)
		labels[n-1] = 1 - labels[n-1]
		for k, norm := range []Norm{Linf, L2, L1} {
			list, within := smallest(norm)
			size := []int{1, 7, 64}[(shape+k)%3]
			r := evaluate(t, l.model(backend, image), images, labels, list, Options{Batch: size, KeepAdv: true})
			for a, result := range r.Attacks {
				where := fmt.Sprintf("%v, %s, batch %d, %s", image, norm, size, result.Name)
				for i, got := range result.Distances {
					x, adv := floats(images[i*d:(i+1)*d]), result.Adv[i*d:(i+1)*d]
					want := l.distance(x, norm)
					if i == n-1 {
						want = 0
					}
					if float64(got) < want*(1-1e-5) || float64(got) > want*(1+within[a])+1e-7 {
						t.Errorf("%s: image %d: distance %.6g, want %.6g (%+.2f%%)", where, i, got, want, 100*(float64(got)/want-1))
					}
					checkReturned(t, where, Ball{norm, float64(got)}, adv, x)
					if result.RobustFlags[i] != (float64(got) > .05*(1+1e-6)+1e-7) {
						t.Errorf("%s: image %d at distance %g: robust %v at eps .05", where, i, got, result.RobustFlags[i])
					}
				}
				if *result.Found != n-1 {
					t.Errorf("%s: found %d of %d", where, *result.Found, n-1)
				}
			}
		}
	}
}

// curved are searches whose rows go different ways: they end, give up and begin anew at different passes.
func curved() []Attack {
	return []Attack{
		{Name: "deepfool-l2", Method: DeepFool{Ball: Ball{L2, .1}, Steps: 6, Overshoot: .02, Candidates: 3, Refine: 3}},
		{Name: "deepfool-linf", Method: DeepFool{Ball: Ball{Linf, .03}, Steps: 2, Overshoot: .02}},
		{Name: "carlini-l2", Method: Carlini{Ball: Ball{L2, .1}, Outer: 4, Inner: 15, LR: .05, C: .03}},
		{Name: "carlini-linf", Method: CarliniLinf{Ball: Ball{Linf, .03}, Inner: 12, LR: .03, C: .3, Largest: 1, Factor: .8, Tau: .02, Finer: 1}},
		{Name: "min-pgd", Method: Bisection{Attack: PGD{Ball: Ball{Linf, .03}, Steps: 4, StepSize: .01, Start: Uniform, Loss: "ce", Restarts: 2}, Rounds: 5}},
		{Name: "min-apgd", Method: Bisection{Attack: APGD{Ball: Ball{L2, .1}, Steps: 4, Targets: 2}, Rounds: 5, Tolerance: .1}},
	}
}

// TestSmallestDoNotDependOnBatchSizeOrOrder also compares the passes: a row that gives up, narrows its interval or ends
// does so whatever the others do.
func TestSmallestDoNotDependOnBatchSizeOrOrder(t *testing.T) {
	const n = 12
	model, images, labels := perceptron(goBackend(t), n)
	list := curved()
	want := evaluate(t, model, images, labels, list, Options{Batch: 64, Seed: 5})
	for _, r := range want.Attacks {
		if *r.Found < 6 {
			t.Fatalf("%s: found %d of %d", r.Name, *r.Found, n)
		}
	}
	same := func(got *Report, at func(int) int) {
		t.Helper()
		for a, r := range got.Attacks {
			for i, distance := range r.Distances {
				if w := want.Attacks[a].Distances[at(i)]; distance != w && !near(float64(distance), float64(w), 1e-4) {
					t.Errorf("%s: image %d at distance %g, want %g", r.Name, at(i), distance, w)
				}
			}
		}
	}
	for _, size := range []int{5} {
		got := evaluate(t, model, images, labels, list, Options{Batch: size, Seed: 5})
		same(got, func(i int) int { return i })
		for a, r := range got.Attacks {
			if w := want.Attacks[a]; r.Forwards != w.Forwards || r.Backwards != w.Backwards {
				t.Errorf("%s: %d forwards and %d backwards in batches of %d, %d and %d in others",
					r.Name, r.Forwards, r.Backwards, size, w.Forwards, w.Backwards)
			}
		}
	}
	some, someLabels, order := shuffledPart(model, images, labels, 7)
	same(evaluate(t, model, some, someLabels, list, Options{Batch: 1, Seed: 5, Index: order}), func(i int) int { return order[i] })
}

// TestNothingToFind has a model without gradients: the distances are infinite, and the report says why.
func TestNothingToFind(t *testing.T) {
	model, images, _ := perceptron(goBackend(t), 4)
	perceptronLogits := model.Logits
	model.Logits = func(w []*Node, x *Node) *Node {
		return AddScalar(MulScalar(StopGradient(perceptronLogits(w, x)), 0), 1)
	}
	for _, a := range curved() {
		r := evaluate(t, model, images, make([]int32, 4), []Attack{a}, Options{Batch: 4})
		if got := r.Attacks[0]; *got.Found != 0 || !math.IsInf(float64(*got.MedianDistance), 1) || got.RobustFlags.count() != 4 {
			t.Errorf("%s: found %d, median %g, %d robust", a.Name, *got.Found, *got.MedianDistance, got.RobustFlags.count())
		}
		if !warned(r, "gradient of exactly zero") {
			t.Errorf("%s: no warning of zero gradients: %q", a.Name, r.Warnings)
		}
	}
}

func TestSmallestValidate(t *testing.T) {
	deepfool := DeepFool{Ball: Ball{L2, .5}, Steps: 50, Overshoot: .02, Candidates: 10, Refine: 10}
	carlini := Carlini{Ball: Ball{L2, .5}, Outer: 9, Inner: 100, LR: .01, C: 1e-3}
	linf := CarliniLinf{Ball: Ball{Linf, .03}, Inner: 100, LR: .01, C: 1e-5, Largest: 20, Factor: .9}
	bisection := Bisection{Attack: APGD{Ball: Ball{Linf, .03}, Steps: 10, Loss: "ce"}, Rounds: 20}
	cases := map[string]Method{
		"deepfool takes linf or l2":   change(deepfool, func(d *DeepFool) { d.Ball.Norm = L1 }),
		"eps -1 ":                     change(deepfool, func(d *DeepFool) { d.Ball.Eps = -1 }),
		"steps 0:":                    change(deepfool, func(d *DeepFool) { d.Steps = 0 }),
		"overshoot -0.1":              change(deepfool, func(d *DeepFool) { d.Overshoot = -.1 }),
		"overshoot nan":               change(deepfool, func(d *DeepFool) { d.Overshoot = math.NaN() }),
		"candidates 1:":               change(deepfool, func(d *DeepFool) { d.Candidates = 1 }),
		"refine -1":                   change(deepfool, func(d *DeepFool) { d.Refine = -1 }),
		"norm linf: this attack":      change(carlini, func(c *Carlini) { c.Ball = Ball{Linf, .03} }),
		"outer 0:":                    change(carlini, func(c *Carlini) { c.Outer = 0 }),
		"inner 0:":                    change(carlini, func(c *Carlini) { c.Inner = 0 }),
		"learning rate 0:":            change(carlini, func(c *Carlini) { c.LR = 0 }),
		"c 0:":                        change(carlini, func(c *Carlini) { c.C = 0 }),
		"c 1e+11:":                    change(carlini, func(c *Carlini) { c.C = 1e11 }),
		"kappa -1":                    change(carlini, func(c *Carlini) { c.Kappa = -1 }),
		"norm l2: this attack":        change(linf, func(c *CarliniLinf) { c.Ball = Ball{L2, .5} }),
		"c -1:":                       change(linf, func(c *CarliniLinf) { c.C = -1 }),
		"largest c 1e-06":             change(linf, func(c *CarliniLinf) { c.Largest = 1e-6 }),
		"factor 1:":                   change(linf, func(c *CarliniLinf) { c.Factor = 1 }),
		"tau 1:":                      change(linf, func(c *CarliniLinf) { c.Tau = 1 }),
		"finer -1":                    change(linf, func(c *CarliniLinf) { c.Finer = -1 }),
		"learning rate nan":           change(linf, func(c *CarliniLinf) { c.LR = math.NaN() }),
		"around <nil>: want pgd or":   change(bisection, func(b *Bisection) { b.Attack = nil }),
		"around attacks.deepfool: ":   change(bisection, func(b *Bisection) { b.Attack = deepfool }),
		"steps -3":                    change(bisection, func(b *Bisection) { b.Attack = APGD{Ball: Ball{Linf, .03}, Steps: -3, Loss: "ce"} }),
		"eps 0: want more":            change(bisection, func(b *Bisection) { b.Attack = APGD{Steps: 10, Loss: "ce"} }),
		"largest eps 8:":              change(bisection, func(b *Bisection) { b.Max = 8 }),
		"rounds 0:":                   change(bisection, func(b *Bisection) { b.Rounds = 0 }),
		"tolerance 1:":                change(bisection, func(b *Bisection) { b.Tolerance = 1 }),
		"loss dlr: 2 classes, want a": change(bisection, func(b *Bisection) { b.Attack = APGD{Ball: Ball{Linf, .03}, Steps: 3, Loss: "dlr"} }),
	}
	for want, m := range cases {
		classes := 10
		if strings.HasPrefix(want, "loss dlr") {
			classes = 2
		}
		if err := m.Validate(classes); err == nil || !strings.Contains(strings.ToLower(err.Error()), want) {
			t.Errorf("%+v: error %v, want one with %q", m, err, want)
		}
	}
	for _, m := range []Method{deepfool, carlini, linf, bisection} {
		if err := m.Validate(2); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
	for _, a := range slices.Concat(deepfoolPresets, carliniPresets, bisectionPresets) {
		if err := a.Validate(10); err != nil || !minimizes(a.Method) {
			t.Errorf("preset %s: %v, minimizes %v", a.Name, err, minimizes(a.Method))
		}
	}
}

// change is a copy with other settings.
func change[T any](v T, f func(*T)) T {
	f(&v)
	return v
}

func TestOverrideOfSmallest(t *testing.T) {
	l2 := new(L2)
	for _, tc := range []struct {
		name  string
		from  Method
		given Override
		want  Method
	}{
		{"deepfool", DeepFool{Ball: Ball{Linf, .03}, Steps: 50}, Override{Norm: l2, Eps: new(.5), Steps: new(100), StepSize: new(1.)}, DeepFool{Ball: Ball{L2, .5}, Steps: 100}},
		{"carlini", Carlini{Ball: Ball{L2, .5}, Inner: 10}, Override{Eps: new(1.), Steps: new(3)}, Carlini{Ball: Ball{L2, 1}, Inner: 3}},
		{"carlini linf", CarliniLinf{Ball: Ball{Linf, .5}, Inner: 10}, Override{Steps: new(3)}, CarliniLinf{Ball: Ball{Linf, .5}, Inner: 3}},
		{"pgd's step follows eps", Bisection{Attack: PGD{Ball: Ball{Linf, .1}, Steps: 4, StepSize: .025}, Rounds: 3},
			Override{Eps: new(.2), Restarts: new(2)}, Bisection{Attack: PGD{Ball: Ball{Linf, .2}, Steps: 4, StepSize: .05, Restarts: 2}, Rounds: 3}},
		{"another norm", Bisection{Attack: PGD{Ball: Ball{Linf, .1}, Steps: 4, StepSize: .025}},
			Override{Norm: l2, Eps: new(1.), Steps: new(5)}, Bisection{Attack: PGD{Ball: Ball{L2, 1}, Steps: 5, StepSize: .5}}},
		{"apgd", Bisection{Attack: APGD{Ball: Ball{Linf, .1}, Steps: 4, Loss: "ce"}}, Override{Steps: new(9), Loss: "dlr"},
			Bisection{Attack: APGD{Ball: Ball{Linf, .1}, Steps: 9, Loss: "dlr"}}},
		{"nothing inside", Bisection{}, Override{Steps: new(9)}, Bisection{}},
	} {
		got, err := Attack{Name: "a", Method: tc.from}.With(tc.given)
		if err != nil || got.Method != tc.want {
			t.Errorf("%s: %+v, %v, want %+v", tc.name, got.Method, err, tc.want)
		}
	}
}
