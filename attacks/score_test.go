package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// scoreSearches see scores alone.
func scoreSearches() []Attack {
	return []Attack{
		{Name: "square", Method: SquareAttack{Ball: Ball{Linf, .05}, Queries: 9, Restarts: 2}},
		{Name: "square l2", Method: SquareAttack{Ball: Ball{L2, .12}, Queries: 9}},
		{Name: "square l1", Method: SquareAttack{Ball: Ball{L1, .2}, Queries: 9, Reference: true}},
		{Name: "spsa", Method: SPSA{Ball: Ball{Linf, .03}, Steps: 3, Pairs: 3, Probe: .01, StepSize: .02, Restarts: 2}},
		{Name: "spsa l2", Method: SPSA{Ball: Ball{L2, .08}, Steps: 3, Pairs: 3, Probe: .01, StepSize: .07}},
	}
}

func TestScoreSearchesDoNotDependOnBatchSizeOrOrder(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 24)
	list := scoreSearches()
	want := evaluate(t, model, images, labels, list, Options{Batch: 64, Seed: 5, KeepAdv: true})
	for _, r := range want.Attacks {
		if c := r.RobustFlags.count(); c < 3 || c > want.Clean.Flags.count()-3 {
			t.Errorf("%s: %d of 24 robust: the test needs both verdicts", r.Name, c)
		}
		if r.Backwards != 0 {
			t.Errorf("%s: %d backwards", r.Name, r.Backwards)
		}
	}
	sameInAnyBatch(t, model, images, labels, list, want)
}

// TestScoreSearchesSpendAndStop checks the passes: a robust image takes all of every run and a verification each, and an
// image that longer runs or more of them break was not broken by less alone.
func TestScoreSearchesSpendAndStop(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(7, 12))
	l := newLinear(rng, 12)
	images, labels := l.greyImages(rng, 5)
	for _, a := range []Attack{
		{Name: "square", Method: SquareAttack{Ball: Ball{Linf, 1e-6}, Queries: 9, Restarts: 3}},
		{Name: "spsa", Method: SPSA{Ball: Ball{Linf, 1e-6}, Steps: 2, Pairs: 3, Probe: .01, StepSize: .01, Restarts: 3}},
	} {
		r := evaluate(t, l.model(backend, [3]int{2, 2, 3}), images, labels, []Attack{a}, Options{Batch: 4, KeepAdv: true}).Attacks[0]
		passes := map[string]int64{"square": 10, "spsa": 15}[a.Name]
		if want := 5 * 3 * (passes + 1); r.RobustFlags.count() != 5 || r.Forwards+r.Skipped != want || (r.Skipped > 0) != (a.Name == "square") {
			t.Errorf("%s: %d robust after %d forwards and %d left out, want 5 after %d", a.Name, r.RobustFlags.count(), r.Forwards, r.Skipped, want)
		}
		for i, loss := range r.Losses { // margins of the linear model are 2 |f|
			if want := -2 * math.Abs(l.value(r.Adv[i*12:(i+1)*12])); math.Abs(float64(loss)-want) > 1e-4 {
				t.Errorf("%s: loss of image %d is %g, want minus its margin, %g", a.Name, i, loss, want)
			}
		}
	}
	model, images, labels := perceptron(backend, 24)
	flags := func(m Method) Flags {
		return evaluate(t, model, images, labels, []Attack{{Name: "same", Method: m}}, Options{Batch: 24}).Attacks[0].RobustFlags
	}
	for name, less := range map[string][2]Method{
		"queries":  {SquareAttack{Ball: Ball{Linf, .05}, Queries: 5}, SquareAttack{Ball: Ball{Linf, .05}, Queries: 40}},
		"restarts": {SquareAttack{Ball: Ball{L2, .12}, Queries: 5}, SquareAttack{Ball: Ball{L2, .12}, Queries: 5, Restarts: 4}},
		"steps":    {SPSA{Ball: Ball{Linf, .03}, Steps: 1, Pairs: 2, Probe: .01, StepSize: .01}, SPSA{Ball: Ball{Linf, .03}, Steps: 8, Pairs: 2, Probe: .01, StepSize: .01}},
	} {
		few, many := flags(less[0]), flags(less[1])
		for i := range few {
			if many[i] && !few[i] {
				t.Errorf("more %s: image %d broken by fewer", name, i)
			}
		}
		if many.count() >= few.count() {
			t.Errorf("more %s: %d robust after %d", name, many.count(), few.count())
		}
	}
}

// TestScoreSearchesAtEpsZero checks that a ball of one image gives that image back, bit for bit.
func TestScoreSearchesAtEpsZero(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 6)
	var list []Attack
	for _, norm := range []Norm{Linf, L2, L1} {
		list = append(list, Attack{Name: "square " + norm.String(), Method: SquareAttack{Ball: Ball{norm, 0}, Queries: 3}})
		if norm != L1 {
			list = append(list, Attack{Name: "spsa " + norm.String(), Method: SPSA{Ball: Ball{norm, 0}, Steps: 2, Pairs: 1, Probe: .01, StepSize: .1}})
		}
	}
	r := evaluate(t, model, images, labels, list, Options{KeepAdv: true})
	for _, a := range r.Attacks {
		if !slices.Equal(a.Adv, floats(images)) || !slices.Equal(a.RobustFlags, r.Clean.Flags) {
			t.Errorf("%s: eps 0 changed an image or a verdict", a.Name)
		}
	}
}

// TestScoreSearchesNeedNoGradient checks that a model that rounds its input, which hides it from gradients, falls to
// Square as the model without rounding does. Budgets are whole grey levels, so that rounding changes nothing at x ± eps.
func TestScoreSearchesNeedNoGradient(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(7, 18))
	l := newLinear(rng, 18)
	images, labels := l.greyImages(rng, 12)
	plain := l.model(backend, [3]int{2, 3, 3})
	masked := plain
	masked.Logits = func(w []*Node, x *Node) *Node {
		levels := StopGradient(Floor(AddScalar(MulScalar(x, 255), .5)))
		return plain.Logits(w, Add(MulScalar(levels, 1./255), MulScalar(x, 0)))
	}
	ball := Ball{Linf, 3. / 255}
	list := []Attack{
		{Name: "pgd", Method: PGD{Ball: ball, Steps: 5, StepSize: 1. / 255, Loss: "ce"}},
		{Name: "square", Method: SquareAttack{Ball: ball, Queries: 300, P: .2}},
		{Name: "spsa", Method: SPSA{Ball: ball, Steps: 20, Pairs: 32, Probe: .01, StepSize: .003}},
	}
	r := evaluate(t, masked, images, labels, list, Options{})
	broken := 0
	for i := range labels {
		distance := l.distance(floats(images[i*18:(i+1)*18]), Linf)
		if !r.Attacks[0].RobustFlags[i] {
			t.Errorf("pgd broke image %d of a model without gradients", i)
		}
		if robust := r.Attacks[1].RobustFlags[i]; robust && distance*1.01 <= ball.Eps || !robust && distance > ball.Eps*(1+1e-5) {
			t.Errorf("square: image %d at distance %g is robust: %v", i, distance, robust)
		}
		if !r.Attacks[2].RobustFlags[i] {
			broken++
		}
	}
	if square := len(labels) - r.Attacks[1].RobustFlags.count(); square < 4 || broken < square/2 {
		t.Errorf("square broke %d images and spsa %d: want more", square, broken)
	}
}
