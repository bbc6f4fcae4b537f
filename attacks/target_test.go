package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// banded is a classifier of three classes in bands along one direction, f = w x + b: class 0 below -half, 1 up to half,
// 2 above, and a class 3 that never wins.
type banded struct {
	linear
	half float64
}

func (l banded) model(backend compute.Backend, image [3]int) Model {
	return Model{
		Backend: backend, Classes: 4, Image: image,
		Weights: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(l.w, len(l.w), 1), tensors.FromScalar(l.b)},
		Logits: func(w []*Node, x *Node) *Node {
			f := Add(Dot(Reshape(x, x.Shape().Dim(0), -1), w[0]).MatMul(), w[1])
			zero := ZerosLike(f)
			return Concatenate([]*Node{AddScalar(Neg(f), -l.half), zero, AddScalar(f, -l.half), AddScalar(zero, -9)}, -1)
		},
	}
}

func (l banded) class(x []float32) int32 {
	switch f := l.value(x); {
	case f < -l.half:
		return 0
	case f > l.half:
		return 2
	}
	return 1
}

// distanceTo is how far the band of a class is.
func (l banded) distanceTo(class int32, x []float32, norm Norm) float64 {
	f := l.value(x)
	gap := []float64{f + l.half, math.Abs(f) - l.half, l.half - f}[class]
	return math.Max(gap, 0) / math.Abs(f) * l.distance(x, norm) // distance is |f| in units of the norm
}

// TestTargetsOnLinearModels checks that an image reaches its target exactly when the budget exceeds the distance to the
// target's band by 1%.
func TestTargetsOnLinearModels(t *testing.T) {
	backend := goBackend(t)
	const n = 18
	for shape, image := range [][3]int{{2, 3, 3}, {6, 1, 1}, {4, 5, 2}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(17, uint64(d)))
		l := banded{linear: newLinear(rng, d)}
		images, labels := l.greyImages(rng, n)
		var sizes []float64
		for i := range n {
			sizes = append(sizes, math.Abs(l.value(floats(images[i*d:(i+1)*d]))))
		}
		slices.Sort(sizes)
		l.half = (sizes[n/2-1] + sizes[n/2]) / 2
		targets := make([]int32, n)
		for i := range n {
			labels[i] = l.class(floats(images[i*d : (i+1)*d]))
			targets[i] = (labels[i] + 1 + int32(rng.IntN(2))) % 3
		}
		for k, norm := range []Norm{Linf, L2} {
			distances := make([]float64, n)
			for i := range distances {
				distances[i] = l.distanceTo(targets[i], floats(images[i*d:(i+1)*d]), norm)
			}
			ball := Ball{norm, 1.0101 * slices.Sorted(slices.Values(distances))[n/2]}
			p := PGD{Ball: ball, Steps: 10, StepSize: ball.Eps / 4, Kappa: 50, Target: GivenClass, Best: true}
			var list []Attack
			for _, loss := range []string{"ce", "cw", "dlr"} {
				p.Loss = loss
				list = append(list, Attack{Name: loss, Method: p})
			}
			list = append(list, Attack{Name: "mi", Method: Momentum{Ball: ball, Steps: 8, StepSize: ball.Eps / 4, Decay: .2, Loss: "cw", Kappa: 50, Target: GivenClass}})
			size := []int{1, 7, 64}[(shape+k)%3]
			report := evaluate(t, l.model(backend, image), images, labels, list, Options{Batch: size, Targets: targets, KeepAdv: true})
			if report.Clean.Accuracy != 1 {
				t.Fatalf("clean accuracy %g", report.Clean.Accuracy)
			}
			for _, r := range report.Attacks {
				where := fmt.Sprintf("%v, %v, batch %d, %s", image, ball, size, r.Name)
				reached := 0
				for i := range n {
					x, adv := floats(images[i*d:(i+1)*d]), r.Adv[i*d:(i+1)*d]
					at := l.class(adv)
					switch {
					case at == targets[i] && distances[i] > ball.Eps*(1+1e-5):
						t.Errorf("%s: image %d reached its target at distance %.6g", where, i, distances[i])
					case at != targets[i] && distances[i]*1.01 <= ball.Eps:
						t.Errorf("%s: image %d failed to reach class %d at distance %.6g", where, i, targets[i], distances[i])
					}
					if at == targets[i] {
						reached++
					}
					if r.RobustFlags[i] != (at == labels[i]) {
						t.Errorf("%s: image %d of class %d is now %d: robust %v", where, i, labels[i], at, r.RobustFlags[i])
					}
					checkReturned(t, where, ball, adv, x)
				}
				if r.TargetedSuccess == nil || *r.TargetedSuccess != reached || !slices.Equal(r.Targets, targets) {
					t.Errorf("%s: targeted success %v, %d returned images are at their target", where, r.TargetedSuccess, reached)
				}
			}
		}
	}
}

// TestTargetsAreChosen checks what each rule chooses, and that random targets depend on the image alone.
func TestTargetsAreChosen(t *testing.T) {
	const n = 40
	model, images, labels := perceptron(goBackend(t), n)
	p := PGD{Ball: Ball{Linf, .05}, Steps: 2, StepSize: .03, Start: Uniform, Loss: "ce"}
	var list []Attack
	for _, aim := range []Target{Likeliest, LeastLikely, RandomClass} {
		p.Target = aim
		list = append(list, Attack{Name: aim.String(), Method: p})
	}
	r := evaluate(t, model, images, labels, list, Options{Batch: 16, Seed: 3, KeepAdv: true})
	exec, err := NewExec(model.Backend, func(in []*Node) []*Node { return []*Node{model.logits(in[1:], in[0])} })
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(floats(images), n, 2, 2, 3), model.Weights[0], model.Weights[1])
	if err != nil {
		t.Fatal(err)
	}
	var drawn [5]int
	for i, z := range out[0].Value().([][]float32) {
		y := labels[i]
		for k := range z {
			if int32(k) == y {
				continue
			}
			if likeliest := r.Attacks[0].Targets[i]; likeliest == y || z[k] > z[likeliest] {
				t.Errorf("image %d of class %d, logits %v: likeliest %d", i, y, z, likeliest)
			}
			if least := r.Attacks[1].Targets[i]; least == y || z[k] < z[least] {
				t.Errorf("image %d of class %d, logits %v: least likely %d", i, y, z, least)
			}
		}
		random := r.Attacks[2].Targets[i]
		if random == y || random < 0 || random > 4 {
			t.Errorf("image %d of class %d: random target %d", i, y, random)
		}
		drawn[(random-y+5)%5]++
	}
	for k, count := range drawn[1:] {
		if count < 3 { // of 40 draws of 4 classes; expected 10
			t.Errorf("class label+%d is a random target %d times", k+1, count)
		}
	}

	order := rand.New(rand.NewPCG(2, 1)).Perm(n)[:25]
	var some []uint8
	var someLabels []int32
	for _, i := range order {
		some, someLabels = append(some, images[i*12:(i+1)*12]...), append(someLabels, labels[i])
	}
	list[2].Name = "random, with another name"
	part := evaluate(t, model, some, someLabels, list[2:], Options{Batch: 7, Seed: 3, Index: order})
	for k, i := range order {
		if got := part.Attacks[0].Targets[k]; got != r.Attacks[2].Targets[i] {
			t.Errorf("image %d: target %d in another order, %d before", i, got, r.Attacks[2].Targets[i])
		}
	}
	list[2].Name = "random"
	part = evaluate(t, model, some, someLabels, list, Options{Batch: 7, Seed: 3, Index: order, KeepAdv: true})
	compare(t, part, r, func(i int) int { return order[i] })
	if other := evaluate(t, model, images, labels, list[2:], Options{Seed: 4}); slices.Equal(other.Attacks[0].Targets, r.Attacks[2].Targets) {
		t.Error("another seed gives the same random targets")
	}
}

func TestWrongClass(t *testing.T) {
	nan := float32(math.NaN())
	for _, tc := range []struct {
		y               int32
		logits          []float32
		likeliest, last int32
	}{
		{0, []float32{5, 1, 3, 2}, 2, 1},
		{2, []float32{5, 1, 3, 0}, 0, 3},
		{3, []float32{1, 1, 1, 1}, 0, 0}, // the lowest of equals
		{1, []float32{-1, -9, -2, -2}, 0, 2},
		{0, []float32{nan, nan, nan, nan}, 1, 1},
	} {
		if most, least := wrongClass(tc.y, tc.logits, false), wrongClass(tc.y, tc.logits, true); most != tc.likeliest || least != tc.last {
			t.Errorf("label %d, logits %v: %d and %d, want %d and %d", tc.y, tc.logits, most, least, tc.likeliest, tc.last)
		}
	}
}

// TestOnlyTheTargetEndsARun returns one image a run: right at .5, wrong at .6, more than .4 sure of the target but wrong
// at .659, at the target at .7 and, less sure, at .75, and at the target but outside the ball at 1.
func TestOnlyTheTargetEndsARun(t *testing.T) {
	model := Model{
		Backend: goBackend(t), Classes: 3, Image: [3]int{1, 1, 1},
		Logits: func(_ []*Node, x *Node) *Node {
			x = Reshape(x, -1, 1)
			above := func(v float64) *Node { return MaxScalar(MulScalar(AddScalar(x, -v), 100), 0) }
			z := Concatenate([]*Node{AddScalar(ZerosLike(x), 1), above(.56), Add(x, MulScalar(above(.65), 10))}, -1)
			far := BroadcastToShape(GreaterThan(x, MulScalar(OnesLike(x), .74)), z.Shape())
			return Where(far, MulScalar(z, 1e-3), z)
		},
	}
	for _, tc := range []struct {
		runs    []float32
		want    float32
		rest    int
		success int
		robust  bool
	}{
		{[]float32{.6, .5, .7, .55}, .7, 1, 1, false},
		{[]float32{.5, .6, .5}, .6, 0, 0, false},
		{[]float32{.62, .6, .55}, .6, 0, 0, false},   // nearer to the target
		{[]float32{.659, .75, .6}, .75, 1, 1, false}, // at the target, whatever the loss
		{[]float32{.6, 1, .55}, .6, 0, 0, false},
		{[]float32{.5, 1, .55}, .55, 0, 0, true}, // nearer to the target
	} {
		runs := slices.Clone(tc.runs)
		method := script{PGD{Ball: Ball{Linf, .25}, Steps: 1, StepSize: .1, Loss: "ce", Restarts: len(runs), Target: GivenClass}, &runs}
		r := evaluate(t, model, []uint8{128}, []int32{0}, []Attack{{Name: "script", Method: method}}, Options{KeepAdv: true, Targets: []int32{2}}).Attacks[0]
		if r.Adv[0] != tc.want || r.RobustFlags[0] != tc.robust || len(runs) != tc.rest || *r.TargetedSuccess != tc.success {
			t.Errorf("runs %v: returned %v, robust %v, %d runs left, %d at the target; want %+v", tc.runs, r.Adv, r.RobustFlags, len(runs), *r.TargetedSuccess, tc)
		}
	}
}

// TestBestIterateIsAtItsTarget: of a run through the target's band, the iterate in the band is kept although the loss
// climbs on.
func TestBestIterateIsAtItsTarget(t *testing.T) {
	model := Model{ // class 1 wins from .6 to .7, but its share of class 0 and 1 grows on
		Backend: goBackend(t), Classes: 3, Image: [3]int{1, 1, 1},
		Logits: func(_ []*Node, x *Node) *Node {
			x = Reshape(x, -1, 1)
			late := MaxScalar(MulScalar(AddScalar(x, -.7), 3), 0)
			return Concatenate([]*Node{AddScalar(MulScalar(x, -20), 12), ZerosLike(x), AddScalar(late, -.05)}, -1)
		},
	}
	p := PGD{Ball: Ball{Linf, .24}, Steps: 3, StepSize: .08, Loss: "ce", Target: GivenClass}
	best := p
	best.Best = true
	r := evaluate(t, model, []uint8{127}, []int32{0}, []Attack{{Name: "last", Method: p}, {Name: "best", Method: best}}, Options{KeepAdv: true, Targets: []int32{1}})
	if last := r.Attacks[0]; *last.TargetedSuccess != 0 || last.RobustFlags[0] {
		t.Fatalf("the last iterate, %v, is at the target: the test cannot tell", last.Adv)
	}
	if kept := r.Attacks[1]; *kept.TargetedSuccess != 1 {
		t.Errorf("kept %v, which is not at the target", kept.Adv)
	}
}

// TestTargetedAttackResumes kills an evaluation again and again and goes on: the report is that of one left alone.
func TestTargetedAttackResumes(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 16)
	p := PGD{Ball: Ball{Linf, .1}, Steps: 2, StepSize: .05, Start: Uniform, Loss: "cw", Restarts: 3, Target: RandomClass}
	given := p
	given.Target = GivenClass
	list := []Attack{{Name: "random", Method: p}, {Name: "given", Method: given}}
	opt := Options{Batch: 7, Live: 4, KeepAdv: true, Targets: make([]int32, len(labels))}
	for i, y := range labels {
		opt.Targets[i] = (y + 2) % 5
	}
	want := evaluate(t, model, images, labels, list, opt)
	for _, r := range want.Attacks {
		if reached, broken := *r.TargetedSuccess, want.Clean.Flags.count()-r.RobustFlags.count(); reached < 2 || reached >= broken {
			t.Fatalf("%s: %d at their target, %d broken: the test needs both", r.Name, reached, broken)
		}
	}
	opt.State = filepath.Join(t.TempDir(), "state")
	var got *Report
	kills := 0
	for ; got == nil; kills++ {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		opt.Progress = func(Progress) {
			if calls++; calls > 9+kills/3 {
				cancel()
			}
		}
		var err error
		if got, err = Evaluate(ctx, model, images, labels, list, opt); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
	}
	if kills < 4 {
		t.Fatalf("killed %d times only", kills)
	}
	compareReports(t, got, want)
	opt.Progress, opt.Targets = nil, slices.Clone(opt.Targets)
	opt.Targets[3] = (labels[3] + 1) % 5
	if _, err := Evaluate(t.Context(), model, images, labels, list, opt); err == nil || !strings.Contains(err.Error(), "targets") {
		t.Errorf("the state of other targets: error %v", err)
	}
}

func TestTargetedResultsInJSON(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 12)
	list, err := ParseList("fgsm,pgd20-targeted")
	if err != nil {
		t.Fatal(err)
	}
	report := evaluate(t, model, images, labels, list, Options{})
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Attacks[1]; got.TargetedSuccess == nil || *got.TargetedSuccess != *report.Attacks[1].TargetedSuccess || !slices.Equal(got.Targets, report.Attacks[1].Targets) {
		t.Errorf("targeted result %+v, want %+v", got, report.Attacks[1])
	}
	if strings.Count(string(text), "target") != 3 { // the name, targets and targeted_success, once each
		t.Errorf("an untargeted result speaks of targets: %s", text)
	}
}

func TestTargetSettings(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 4)
	given := PGD{Ball: Ball{Linf, .05}, Steps: 1, StepSize: .05, Loss: "ce", Target: GivenClass}
	other := make([]int32, 4)
	for i, y := range labels {
		other[i] = (y + 1) % 5
	}
	with := func(i int, target int32) []int32 {
		list := slices.Clone(other)
		list[i] = target
		return list
	}
	for name, tc := range map[string]struct {
		targets []int32
		want    string
	}{
		"none given":   {nil, "none are given"},
		"too few":      {other[:3], "3 targets for 4 images"},
		"the label":    {with(2, labels[2]), "of image 2"},
		"out of range": {with(1, 5), "target 5 of image 1, want 0 to 4"},
		"negative":     {with(0, -1), "target -1 of image 0"},
	} {
		_, err := Evaluate(t.Context(), model, images, labels, []Attack{{Name: "given", Method: given}}, Options{Targets: tc.targets})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
	for _, tc := range []struct {
		change  func(p *PGD)
		classes int
		want    string
	}{
		{func(p *PGD) { p.Target = 7 }, 10, "target Target(7)"},
		{func(p *PGD) { p.Target = -1 }, 10, "target Target(-1)"},
		{func(p *PGD) { p.Loss, p.Start = "kl", Uniform }, 10, "leads to no target"},
		{func(p *PGD) { p.Loss = "dlr" }, 3, "at least 4"},
	} {
		p := given
		tc.change(&p)
		if err := p.Validate(tc.classes); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", p, err, tc.want)
		}
	}
	stage := Ensemble{Stages: []Attack{{Name: "targeted", Method: given}}}
	if err := stage.Validate(10); err == nil || !strings.Contains(err.Error(), "untargeted") {
		t.Errorf("a targeted stage: error %v", err)
	}
	a, err := Preset("pgd20")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = a.With(Override{Target: new(LeastLikely)}); err != nil || a.Method.(PGD).Target != LeastLikely {
		t.Errorf("%+v, %v", a.Method, err)
	}
	for aim, name := range targetNames {
		if got, err := ParseTarget(strings.ToUpper(name)); err != nil || got != Target(aim) || got.String() != name {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseTarget("nearest"); err == nil || !strings.Contains(err.Error(), "least-likely") {
		t.Errorf("nearest: error %v", err)
	}
	exec, err := NewExec(model.Backend, func(z *Node) *Node { return given.Objective(z, Zeros(z.Graph(), z.Shape()), nil) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.Call([][]float32{{1, 2}}); err == nil || !strings.Contains(err.Error(), "target given") {
		t.Errorf("objective of a targeted attack: error %v", err)
	}
}
