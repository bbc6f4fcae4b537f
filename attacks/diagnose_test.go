package attacks

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// plain is a function of images, as the parts of the toy models take it.
type plain = func(x *Node) *Node

// offGrid is Bool [B, ...]: whether pixels are no multiples of 1/255, as those of images under attack.
func offGrid(x *Node) *Node {
	grid := MulScalar(x, 255)
	return GreaterThan(Abs(Sub(grid, Round(grid))), MulScalar(OnesLike(x), .05))
}

// anyPixel is Bool [B, classes]: whether the condition holds for a pixel of the image.
func anyPixel(condition, z *Node) *Node {
	return BroadcastToShape(InsertAxes(ReduceLogicalOr(Reshape(condition, z.Shape().Dim(0), -1), -1), -1), z.Shape())
}

// strict are the flags that only the models listed with them may raise. The others compare attacks with each other, which
// many a masked model upsets.
var strict = []string{
	FlagRandom, FlagProbabilities, FlagNonFinite, FlagConstant, FlagBatch, FlagFlat, FlagAdaptive, FlagClasses, FlagRange,
	FlagZeroGradient, FlagVanishing, FlagNoBudget,
}

// comparisons are the flags that attacks show.
var comparisons = []string{FlagNoBudget, FlagUnbounded, FlagEps, FlagSteps, FlagOneStep, FlagBlackBox}

// TestDiagnose has the masked and broken models, and healthy ones, which raise nothing.
func TestDiagnose(t *testing.T) {
	backend := goBackend(t)
	images, labels := toyImages(2, 32)
	linear, network := toyLinear(backend), toyNetwork(t, backend, 64, relu)
	rounded := func(x *Node) *Node { return DivScalar(Round(MulScalar(x, 16)), 16) }
	through := func(now, before *Node) *Node { return Add(before, StopGradient(Sub(now, before))) }
	declared := network
	declared.Adaptive = true
	oneForward := noisy(network, .2)
	oneForward.Forwards = 1

	raised := map[string]bool{}
	for _, tc := range []struct {
		name  string
		model Model
		flags []string // these at least
	}{
		{"linear", linear, nil},
		{"network", network, nil},
		{"tanh network", toyNetwork(t, backend, 32, Tanh), nil},

		{"quantised input", wrapped(network, func(f plain, x *Node) *Node { return f(StopGradient(rounded(x))) }), []string{FlagFlat, FlagZeroGradient, FlagBlackBox}},
		{"quantised input, straight-through gradient", wrapped(network, func(f plain, x *Node) *Node { return f(through(rounded(x), x)) }),
			[]string{FlagFlat, FlagMisleading}},
		{"logits times 1e4", wrapped(network, func(f plain, x *Node) *Node { return MulScalar(f(x), 1e4) }), []string{FlagVanishing, FlagUnbounded}},
		{"temperature 1/100", wrapped(network, func(f plain, x *Node) *Node { return MulScalar(f(x), 100) }), []string{FlagVanishing}},
		{"softmax", wrapped(network, func(f plain, x *Node) *Node { return Softmax(f(x), -1) }), []string{FlagProbabilities}},
		{"noise on the input", noisy(network, .02), []string{FlagRandom}},
		{"noise, one pass decides", oneForward, []string{FlagRandom, FlagNoBudget}},
		{"dropout left on", drawing(network, func(f plain, x, keys *Node) *Node {
			kept := GreaterOrEqual(KeyedUniform(keys, 4, 4, 1), MulScalar(OnesLike(x), .1))
			return f(Where(kept, DivScalar(x, .9), ZerosLike(x)))
		}), []string{FlagRandom}},
		{"sign layer", toyNetwork(t, backend, 64, func(h *Node) *Node { return StopGradient(Sign(h)) }), []string{FlagFlat, FlagZeroGradient, FlagUnbounded}},
		{"sign layer, straight-through gradient", toyNetwork(t, backend, 64, func(h *Node) *Node { return through(Sign(h), h) }),
			[]string{FlagFlat, FlagMisleading}},
		{"5% winners take all", toyNetwork(t, backend, 512, winners(26)), []string{FlagMisleading}},
		{"declared optimisation at inference", declared, []string{FlagAdaptive}},
		{"purification at inference", wrapped(network, func(f plain, x *Node) *Node {
			leaf := Identity(StopGradient(x))
			surest := ReduceAllSum(ReduceMax(f(leaf), -1))
			return f(Add(x, MulScalar(Sign(Gradient(surest, leaf)[0]), .02)))
		}), []string{FlagAdaptive}},
		{"NaN off the 8-bit grid", wrapped(network, func(f plain, x *Node) *Node {
			z := f(x)
			return Where(anyPixel(offGrid(x), z), Log(MulScalar(OnesLike(z), -1)), z)
		}), []string{FlagNonFinite}},
		{"overflow", wrapped(network, func(f plain, x *Node) *Node { return Exp(MulScalar(f(x), 30)) }), []string{FlagNonFinite, FlagVanishing}},
		{"constant", wrapped(network, func(f plain, x *Node) *Node { return MulScalar(OnesLike(f(x)), 2) }),
			[]string{FlagConstant, FlagFlat, FlagZeroGradient, FlagUnbounded}},
		{"batch norm in training mode", wrapped(network, func(f plain, x *Node) *Node {
			return f(AddScalar(Sub(x, ReduceAndKeep(x, ReduceMean, 0)), .45))
		}), []string{FlagBatch}},
		{"no gradient off the grid", wrapped(network, func(f plain, x *Node) *Node {
			z := f(x)
			return Where(anyPixel(offGrid(x), z), StopGradient(z), z)
		}), []string{FlagZeroGradient, FlagOneStep}},
		{"no gradient near the walls", wrapped(network, func(f plain, x *Node) *Node {
			z := f(x)
			return Where(anyPixel(LessThan(x, MulScalar(OnesLike(x), .2)), z), StopGradient(z), z)
		}), []string{FlagZeroGradient, FlagEps}},
		{"ripples", wrapped(network, func(f plain, x *Node) *Node {
			return f(Add(x, MulScalar(Sin(MulScalar(x, 2*math.Pi/.03)), .06/math.Pi)))
		}), []string{FlagBlackBox, FlagUnbounded}},
	} {
		// Attacks are made where they have something to show, and on healthy models.
		byAttacks := tc.flags == nil || slices.ContainsFunc(tc.flags, func(name string) bool { return slices.Contains(comparisons, name) })
		flags, err := Diagnose(t.Context(), tc.model, images, labels, DiagnoseOptions{Ball: toy.ball, Quick: !byAttacks})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range flags {
			got = append(got, f.Name)
			raised[f.Name] = true
			if f.Value <= f.Threshold || f.Message == "" {
				t.Errorf("%s: %+v", tc.name, f)
			}
			if !slices.Contains(tc.flags, f.Name) && (tc.flags == nil || slices.Contains(strict, f.Name)) {
				t.Errorf("%s: %v", tc.name, f)
			}
		}
		for _, want := range tc.flags {
			if !slices.Contains(got, want) {
				t.Errorf("%s: no flag %s, only %q", tc.name, want, got)
			}
		}
	}
	for _, name := range slices.Concat(strict, comparisons, []string{FlagMisleading}) {
		if !raised[name] && !slices.Contains([]string{FlagClasses, FlagRange, FlagSteps}, name) { // these have tests of their own
			t.Errorf("no model raised %s", name)
		}
	}
}

// TestDiagnoseAttacks checks flags that compare attacks around their thresholds.
func TestDiagnoseAttacks(t *testing.T) {
	const n = 1000
	for _, tc := range []struct {
		attack string
		broken [2]int // it breaks images in this range, the others those from 500 on
		flag   string // or none
	}{
		{"no budget", [2]int{0, 1}, FlagNoBudget},
		{"no budget", [2]int{}, ""},
		{"unbounded", [2]int{1, n}, FlagUnbounded},
		{"unbounded", [2]int{0, n}, ""},
		{"pgd, half eps", [2]int{480, n}, ""},
		{"pgd, half eps", [2]int{479, n}, FlagEps},
		{"pgd, double eps", [2]int{521, n}, FlagEps},
		{"pgd, double eps", [2]int{520, n}, ""},
		{"pgd, few steps", [2]int{479, n}, FlagSteps},
		{"pgd, few steps", [2]int{480, n}, ""},
		{"fgsm", [2]int{0, 21}, FlagOneStep},
		{"fgsm", [2]int{0, 20}, ""},
		{"square", [2]int{10, 13}, FlagBlackBox},
		{"square", [2]int{498, n}, ""},
		{"square", [2]int{600, n}, ""},
	} {
		p := &diagnosis{n: n, classes: 4, opt: DiagnoseOptions{Ball: toy.ball}, evaluation: &evaluation{}}
		report := &Report{Clean: Clean{Flags: slices.Repeat(Flags{true}, n)}}
		for _, a := range p.attackChecks() {
			from, to := 500, n
			switch a.Name {
			case tc.attack:
				from, to = tc.broken[0], tc.broken[1]
			case "no budget":
				from, to = 0, 0
			case "unbounded":
				from = 0
			}
			r := &Result{Name: a.Name, RobustFlags: slices.Repeat(Flags{true}, n)}
			for i := from; i < to; i++ {
				r.RobustFlags[i] = false
			}
			r.RobustAccuracy = r.RobustFlags.Accuracy()
			report.Attacks = append(report.Attacks, r)
		}
		p.compareAttacks(report)
		if len(p.flags) > 1 || len(p.flags) == 1 != (tc.flag != "") || tc.flag != "" && p.flags[0].Name != tc.flag {
			t.Errorf("%s breaks %v: %v, want %q", tc.attack, tc.broken, p.flags, tc.flag)
		}
	}
}

// TestDiagnoseInputs checks what does not depend on the weights.
func TestDiagnoseInputs(t *testing.T) {
	backend := goBackend(t)
	images, labels := toyImages(2, 12)
	quick := DiagnoseOptions{Ball: toy.ball, Quick: true}
	names := func(m Model, images []uint8, labels []int32, opt DiagnoseOptions) string {
		flags, err := Diagnose(t.Context(), m, images, labels, opt)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range flags {
			names = append(names, f.Name)
		}
		return strings.Join(names, " ")
	}
	linear := toyLinear(backend)
	binary := wrapped(linear, func(f plain, x *Node) *Node { return SliceAxis(f(x), -1, AxisRange(0, 2)) })
	binary.Classes = 2
	two := slices.Clone(labels)
	for i := range two {
		two[i] %= 2
	}
	if got := names(binary, images, two, DiagnoseOptions{Ball: toy.ball}); got != FlagClasses {
		t.Errorf("two classes: flags %q", got)
	}
	scaled := make([]uint8, len(images))
	for i, v := range images {
		scaled[i] = v / 128
	}
	if got := names(linear, scaled, labels, quick); !strings.Contains(got, FlagRange) {
		t.Errorf("images of 0 and 1: flags %q", got)
	}
	expected := quick
	expected.Random = true
	if got := names(noisy(linear, .05), images, labels, expected); got != "" {
		t.Errorf("a random model that is expected to be one: flags %q", got)
	}
	for _, ball := range []Ball{{L2, .2}, {L1, .6}, {}} {
		if got := names(linear, images, labels, DiagnoseOptions{Ball: ball}); got != "" {
			t.Errorf("%v: flags %q", ball, got)
		}
	}
	if got := names(linear, images[:16], labels[:1], quick); got != "" {
		t.Errorf("one image: flags %q", got)
	}
	for want, change := range map[string]func(o *DiagnoseOptions, labels *[]int32){
		"eps -1":           func(o *DiagnoseOptions, _ *[]int32) { o.Ball.Eps = -1 },
		"-2 images":        func(o *DiagnoseOptions, _ *[]int32) { o.Images = -2 },
		"bytes of images":  func(_ *DiagnoseOptions, l *[]int32) { *l = (*l)[:3] },
		"1 indexes for 12": func(o *DiagnoseOptions, _ *[]int32) { o.Index = []int{3} },
	} {
		opt, some := quick, labels
		change(&opt, &some)
		if _, err := Diagnose(t.Context(), linear, images, some, opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestDiagnoseReport checks the flags of results around their thresholds.
func TestDiagnoseReport(t *testing.T) {
	const n = 1000
	ball := Ball{Linf, .1}
	pgd := PGD{Ball: ball, Steps: 1, Loss: "ce"}
	square, elsewhere := SquareAttack{Ball: ball, Queries: 1}, SquareAttack{Ball: Ball{Linf, .2}, Queries: 1}
	apgd := APGD{Ball: ball, Steps: 5, Restarts: 3, Loss: "ce"}
	targeted := APGD{Ball: ball, Steps: 5, Targets: 3}
	runsOf := func(broken ...int) (runs []int) {
		for run, count := range broken {
			runs = append(runs, slices.Repeat([]int{run}, count)...)
		}
		return append(runs, slices.Repeat([]int{-1}, n-len(runs))...)
	}
	result := func(name string, robust int) *Result { return &Result{Name: name, RobustAccuracy: float64(robust) / n} }
	for name, tc := range map[string]struct {
		list    []Attack
		results []*Result
		flags   []string
	}{
		"Square helps by more than 2 images in 1000": {[]Attack{{Name: "pgd", Method: pgd}, {Name: "square", Method: square}},
			[]*Result{result("pgd", 500), result("square", 497)}, []string{FlagScores}},
		"by 2": {[]Attack{{Name: "pgd", Method: pgd}, {Name: "square", Method: square}}, []*Result{result("pgd", 500), result("square", 498)}, nil},
		"in another ball": {[]Attack{{Name: "pgd", Method: pgd}, {Name: "square", Method: elsewhere}},
			[]*Result{result("pgd", 500), result("square", 400)}, nil},
		"under another name": {[]Attack{{Name: "pgd", Method: pgd}, {Name: "random search", Method: &square}},
			[]*Result{result("pgd", 500), result("random search", 497)}, []string{FlagScores}},
		"SPSA": {[]Attack{{Name: "pgd", Method: pgd}, {Name: "x", Method: SPSA{Ball: ball}}},
			[]*Result{result("pgd", 500), result("x", 497)}, []string{FlagScores}},
		"PGD of that name": {[]Attack{{Name: "pgd", Method: pgd}, {Name: "square-loss", Method: pgd}},
			[]*Result{result("pgd", 500), result("square-loss", 400)}, nil},
		"alone": {[]Attack{{Name: "square", Method: square}}, []*Result{result("square", 400)}, nil},
		"last stage": {[]Attack{{Name: "aa", Method: Ensemble{Stages: []Attack{{Name: "apgd-ce", Method: apgd}, {Name: "square", Method: square}}}}},
			[]*Result{{Name: "aa", Stages: []*Result{result("apgd-ce", 500), result("square", 400)}}}, []string{FlagScores}},
		"Square first": {[]Attack{{Name: "aa", Method: Ensemble{Stages: []Attack{{Name: "square", Method: square}, {Name: "apgd-ce", Method: apgd}}}}},
			[]*Result{{Name: "aa", Stages: []*Result{result("square", 500), result("apgd-ce", 400)}}}, nil},
		"restarts": {[]Attack{{Name: "apgd", Method: apgd}}, []*Result{{Name: "apgd", BrokenIn: runsOf(300, 8, 3)}}, []string{FlagRestarts}},
		"few":      {[]Attack{{Name: "apgd", Method: apgd}}, []*Result{{Name: "apgd", BrokenIn: runsOf(300, 7, 3)}}, nil},
		"targets":  {[]Attack{{Name: "apgd", Method: targeted}}, []*Result{{Name: "apgd", BrokenIn: runsOf(300, 80, 30)}}, nil},
		"NaN":      {[]Attack{{Name: "pgd", Method: pgd}}, []*Result{{Name: "pgd", NaN: 1}}, []string{FlagNonFinite}},
		"zero":     {[]Attack{{Name: "pgd", Method: pgd}}, []*Result{{Name: "pgd", ZeroGrad: 1}}, []string{FlagZeroGradient}},
		"natural":  {[]Attack{{Name: "natural"}}, nil, nil},
	} {
		r := &Report{N: n, Clean: Clean{Accuracy: .9, Flags: make(Flags, n)}, Attacks: tc.results}
		var got []string
		for _, f := range DiagnoseReport(r, tc.list) {
			got = append(got, f.Name)
			if text, err := json.Marshal(f); err != nil || !strings.Contains(string(text), `"severity":"`) || !strings.Contains(f.String(), f.Name) {
				t.Errorf("%s: %s, %v, %s", name, text, err, f)
			}
		}
		if !slices.Equal(got, tc.flags) {
			t.Errorf("%s: flags %q, want %q", name, got, tc.flags)
		}
	}
}

func TestDiagnoseTransfer(t *testing.T) {
	matrix := func(own, foreign float64) *Matrix {
		flags := [][]Flags{{{true, false, true}, {true, true, true}}, {{false, true, false}, {true, true, true}}}
		return &Matrix{Models: []string{"a", "b"}, Attacks: []*Transferred{{Name: "pgd", Flags: flags, Accuracy: [][]float64{{.3, .9}, {foreign, own}}}}}
	}
	m := matrix(.9, .2979)
	flags := DiagnoseTransfer(m)
	if len(flags) != 1 || flags[0].Name != FlagTransfer || !strings.Contains(flags[0].Message, "made on b leave a an accuracy of 0.2979, its own attack, which missed 2 of them, 0.3:") {
		t.Errorf("flags %v", flags)
	}
	if flags := DiagnoseTransfer(matrix(.9, .298)); len(flags) != 0 {
		t.Errorf("flags %v at the threshold", flags)
	}
}

func TestDiagnoseOptionsFor(t *testing.T) {
	ball, rand := Ball{L2, .3}, Attack{Name: "rand", Method: randVersion(Ball{L2, .3})}
	pgd := Attack{Name: "pgd", Method: PGD{Ball: ball, Steps: 1, Loss: "ce", EOT: 3}}
	single := Attack{Name: "fgsm", Method: PGD{Ball: Ball{L2, .5}, Steps: 1, Loss: "ce"}}
	for name, tc := range map[string]struct {
		list []Attack
		want DiagnoseOptions
	}{
		"averaging":     {[]Attack{{Name: "natural"}, rand, pgd}, DiagnoseOptions{Ball: ball, Random: true, Seed: 3}},
		"one that does": {[]Attack{pgd, single}, DiagnoseOptions{Ball: ball, Seed: 3}},
		"other attacks": {[]Attack{{Name: "square", Method: SquareAttack{Ball: ball}}}, DiagnoseOptions{Ball: ball, Seed: 3}},
		"none":          {[]Attack{{Name: "natural"}}, DiagnoseOptions{Seed: 3}},
	} {
		if got := DiagnoseOptionsFor(tc.list, Options{Seed: 3}); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}
