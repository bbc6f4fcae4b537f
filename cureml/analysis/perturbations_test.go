package analysis

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
)

// plane is a classifier of 32x32x3 images with the logits f, -f, -f-5 and -f-9 of f = w x + b: the distance of an image to
// its boundary is |f| over the dual norm of w.
type plane struct {
	w []float32
	b float64
}

func newPlane(seed uint64, shift float64) plane {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := plane{w: make([]float32, 3072), b: shift}
	for i := range p.w {
		p.w[i] = float32(rng.NormFloat64())
		p.b -= float64(p.w[i]) / 2
	}
	return p
}

// distance to the boundary, and 0 where the class is not the label.
func (p plane) distance(x []float32, label int32, norm attacks.Norm) float64 {
	f, l1, squares := p.b, 0.0, 0.0
	for i, w := range p.w {
		f += float64(w) * float64(x[i])
		l1 += math.Abs(float64(w))
		squares += float64(w) * float64(w)
	}
	switch {
	case f > 0 && label != 0, f < 0 && label != 1:
		return 0
	case norm == attacks.Linf:
		return math.Abs(f) / l1
	}
	return math.Abs(f) / math.Sqrt(squares)
}

// planeSubjects are a model for each plane, and one more that gives class 0 to everything.
func planeSubjects(t *testing.T, planes ...plane) (all []*subject) {
	device := mltest.GoBackend(t)
	add := func(name, form string, w []float32, b float32, logits func(f *Node) *Node) {
		named := Network{name, &nn.State{Arch: nn.Arch{Name: name}}} // by which state files are told apart
		all = append(all, &subject{Network: named, form: form, Model: attacks.Model{
			Backend: device, Classes: 4, Image: [3]int{32, 32, 3},
			Weights: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(w, 3072, 1), tensors.FromScalar(b)},
			Logits: func(w []*Node, x *Node) *Node {
				f := Add(Dot(Reshape(x, x.Shape().Dim(0), -1), w[0]).MatMul(), w[1])
				return logits(f)
			},
		}})
	}
	for i, l := range planes {
		add(string(rune('a'+i)), "plane", l.w, float32(l.b), func(f *Node) *Node {
			return Concatenate([]*Node{f, Neg(f), AddScalar(Neg(f), -5), AddScalar(Neg(f), -9)}, -1)
		})
	}
	add("constant", "constant", make([]float32, 3072), 1, func(f *Node) *Node {
		return Concatenate([]*Node{f, Neg(f), Neg(f), Neg(f)}, -1)
	})
	return all
}

// greySet are images near grey; labels are the classes of the plane but for one in four.
func greySet(p plane, n int) *data.Set {
	rng := rand.New(rand.NewPCG(2, 2))
	s := &data.Set{Name: "grey", Classes: []string{"plus", "minus", "c", "d"}, Labels: make([]int32, n)}
	for i := range n {
		for range 3072 {
			s.Images = append(s.Images, uint8(112+rng.IntN(32)))
		}
		if p.distance(pixels(s.Image(i)), 0, attacks.L2) == 0 != (i%4 == 3) {
			s.Labels[i] = 1
		}
	}
	return s
}

func searchesFor(t *testing.T, names string) []attacks.Attack {
	t.Helper()
	list, err := attacks.ParseList(names)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The distances of linear models are known, and with them the accuracy against eps, the quantiles and who needs more.
func TestPerturbationsOfPlanes(t *testing.T) {
	const n = 12
	planes := []plane{newPlane(1, 0), newPlane(1, .4)}
	set := greySet(planes[0], n)
	for _, c := range []struct {
		norm  attacks.Norm
		names string
	}{{attacks.Linf, "fmn-linf,deepfool-linf"}, {attacks.L2, "fmn-l2,deepfool-l2"}} {
		o := PerturbationOptions{Attacks: searchesFor(t, c.names), Examples: 2}
		r, err := o.measure(t.Context(), &evaluator{size: 8}, planeSubjects(t, planes...), set)
		if err != nil {
			t.Fatal(err)
		}
		if r.Norm != c.norm.String() {
			t.Errorf("norm %s, want %s", r.Norm, c.norm)
		}
		true0, true1 := make([]float64, n), make([]float64, n)
		for i, p := range planes {
			want := [][]float64{true0, true1}[i]
			for k := range n {
				want[k] = p.distance(pixels(set.Image(k)), set.Labels[k], c.norm)
				got := r.Networks[i].Distances[k]
				if got < want[k]*(1-1e-3) || got > want[k]*1.01 {
					t.Errorf("%s, plane %d, image %d: distance %.6g, want %.6g", c.norm, i, k, got, want[k])
				}
			}
			checkCurve(t, r.Networks[i], want)
		}
		more, both := 0.0, 0
		for k := range n {
			if true0[k] > 0 && true1[k] > 0 {
				both++
				if true0[k] > true1[k] {
					more++
				}
			}
		}
		if share, images := harder(r.Networks[0], r.Networks[1]); images != both || share != more/float64(both) || both == 0 || more == 0 {
			t.Errorf("%s: plane 0 needs more on %g of %d, want %g of %d", c.norm, share, images, more/float64(both), both)
		}
		checkConstant(t, r.Networks[2], set)
		if len(r.Examples) != 0 { // the constant model is never fooled
			t.Errorf("%d examples", len(r.Examples))
		}
	}
}

// checkCurve compares with true distances, each of which is at most 1 % smaller than that found.
func checkCurve(t *testing.T, n PerturbedNetwork, want []float64) {
	t.Helper()
	sorted := slices.Sorted(slices.Values(want))
	wrong := 0
	for _, d := range want {
		if d == 0 {
			wrong++
		}
	}
	if got := n.Accuracy(0); got != float64(len(want)-wrong)/float64(len(want)) {
		t.Errorf("clean accuracy %g with %d of %d wrong", got, wrong, len(want))
	}
	for k := wrong; k < len(sorted); k++ { // between two distances
		eps, next := sorted[k]*1.01, math.Inf(1)
		if k+1 < len(sorted) {
			next = sorted[k+1] * (1 - 1e-3)
		}
		if eps < next {
			if got, left := n.Accuracy(eps), float64(len(sorted)-1-k)/float64(len(sorted)); got != left {
				t.Errorf("accuracy at %g is %g, want %g", eps, got, left)
			}
		}
	}
	right := sorted[wrong:]
	middle := (right[(len(right)-1)/2] + right[len(right)/2]) / 2
	if got := n.Quantile(.5); !(got >= middle*(1-1e-3) && got <= middle*1.01) {
		t.Errorf("median %g, want %g", got, middle)
	}
	s := n.Curve(1)
	for i := 1; i < len(s.X); i++ {
		if !(s.X[i] > s.X[i-1]) || !(s.Y[i] < s.Y[i-1]) {
			t.Errorf("curve at %d: from (%g, %g) to (%g, %g)", i, s.X[i-1], s.Y[i-1], s.X[i], s.Y[i])
		}
	}
	if last := s.Y[len(s.Y)-1]; last != 0 {
		t.Errorf("the curve ends at %g, want 0: all were found", last)
	}
}

// checkConstant: a model without gradients is right about its class at all eps.
func checkConstant(t *testing.T, n PerturbedNetwork, set *data.Set) {
	t.Helper()
	zeros := 0.0
	for k, y := range set.Labels {
		want := 0.0
		if y == 0 {
			want = Missing
			zeros++
		}
		if n.Distances[k] != want || n.Nearest[k] != -1 {
			t.Errorf("constant, label %d: distance %g by %d, want %g", y, n.Distances[k], n.Nearest[k], want)
		}
	}
	if share := zeros / float64(set.Len()); n.Accuracy(0) != share || n.Accuracy(1e9) != share || share == 0 {
		t.Errorf("constant: accuracy %g and %g, want %g", n.Accuracy(0), n.Accuracy(1e9), share)
	}
	if n.Quantile(.1) != Missing || n.Searches[0].Median != Missing || n.Searches[0].Found != 0 {
		t.Errorf("constant: quantile %g, searches %+v", n.Quantile(.1), n.Searches)
	}
}

// Examples are images that all get right; what fools a network is at the distance given and of the class given. Two
// searches share the images among them, and a stopped measurement goes on to the same.
func TestPerturbationExamples(t *testing.T) {
	planes := []plane{newPlane(1, 0), newPlane(1, .4)}
	set := greySet(planes[0], 6)
	subjects := planeSubjects(t, planes...)[:2]
	o := PerturbationOptions{Attacks: searchesFor(t, "deepfool-l2,fmn-l2"), Examples: 3, First: 7, State: filepath.Join(t.TempDir(), "state")}
	r, err := o.measure(t.Context(), &evaluator{size: 3}, subjects, set)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Examples) == 0 {
		t.Fatal("no examples")
	}
	for _, e := range r.Examples {
		for i, p := range e.Networks {
			squares := 0.0
			for k, v := range p.Adv {
				squares += math.Pow(float64(v)-float64(e.Clean[k]), 2)
			}
			d := r.Networks[i].Distances[e.Image]
			if p.Distance != d || math.Abs(math.Sqrt(squares)-d) > 1e-5*d {
				t.Errorf("image %d, network %d: distance %g, of the image %g, in the list %g", e.Image, i, p.Distance, math.Sqrt(squares), d)
			}
			if planes[i].distance(e.Clean, e.Label, attacks.L2) == 0 || p.Class != int(1-e.Label) {
				t.Errorf("image %d, network %d: label %d, class %d: want an image that was right and is of the other class", e.Image, i, e.Label, p.Class)
			}
		}
	}
	for _, n := range r.Networks {
		wins, right := n.Searches[0].Nearest+n.Searches[1].Nearest, len(n.attacked())
		// DeepFool stops so near the boundary that rounding may undo it
		if wins != right || n.Searches[1].Found != right || n.Searches[0].Found > right {
			t.Errorf("%s: searches %+v on %d images: want each image nearest to one of them", n.Name, n.Searches, right)
		}
	}
	checkShown(t, r)
	again, err := o.measure(t.Context(), &evaluator{size: 3}, subjects, set)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, r) {
		t.Error("from the state files: another result")
	}
}

// By hand.
func TestPerturbationSums(t *testing.T) {
	a := PerturbedNetwork{Name: "a", Distances: []float64{0, .1, .2, .2, Missing}}
	for eps, want := range map[float64]float64{0: .8, .05: .8, .1: .6, .15: .6, .2: .2, 9: .2} {
		if got := a.Accuracy(eps); got != want {
			t.Errorf("accuracy at %g is %g, want %g", eps, got, want)
		}
	}
	if c := a.Curve(10); !slices.Equal(c.X, []float64{0, 1, 2}) || !slices.Equal(c.Y, []float64{80, 60, 20}) {
		t.Errorf("curve %v, %v", c.X, c.Y)
	}
	for q, want := range map[float64]float64{0: .1, .5: .2, .95: Missing} {
		if got := a.Quantile(q); got != want {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
	b := PerturbedNetwork{Distances: []float64{.3, .05, Missing, 0, Missing}}
	if share, n := harder(a, b); share != 1./3 || n != 3 {
		t.Errorf("a is harder on %g of %d, want 1/3 of 3", share, n)
	}
	if share, _ := harder(b, a); share != 1./3 {
		t.Errorf("b is harder on %g, want 1/3", share)
	}
	nothing := &Perturbations{Images: "none", N: 2, Norm: "linf", Classes: []string{"x"},
		Networks: []PerturbedNetwork{{Name: "n", Distances: []float64{0, 0}, Nearest: []int{-1, -1}}}}
	checkShown(t, nothing)

	p := Packed{1, -2.5, math.MaxFloat32, 1e-40}
	var q Packed
	text, err := json.Marshal(p)
	if err != nil || json.Unmarshal(text, &q) != nil || !slices.Equal(p, q) {
		t.Errorf("%v through %s is %v, error %v", p, text, q, err)
	}
	if err := json.Unmarshal([]byte(`"AAA="`), &q); err == nil {
		t.Error("two bytes: no error")
	}
}

func TestPerturbationsRefuses(t *testing.T) {
	set, net := testSlice(t, 0, 2), tiny(t, 1)
	for _, c := range []struct {
		nets []Network
		o    PerturbationOptions
		want string
	}{
		{[]Network{net}, PerturbationOptions{}, "0 searches"},
		{[]Network{net}, PerturbationOptions{Attacks: searchesFor(t, "ddn"), Examples: -1}, "-1 examples"},
		{[]Network{net}, PerturbationOptions{Attacks: searchesFor(t, "pgd20")}, "pgd20 does not look for the smallest perturbation"},
		{[]Network{net}, PerturbationOptions{Attacks: searchesFor(t, "natural")}, "natural does not look for the smallest perturbation"},
		{[]Network{net}, PerturbationOptions{Attacks: searchesFor(t, "ddn,fmn-linf")}, "ddn is in l2 and fmn-linf in linf"},
		{nil, PerturbationOptions{Attacks: searchesFor(t, "ddn")}, "no networks"},
	} {
		if _, err := MeasurePerturbations(t.Context(), mltest.GoBackend(t), c.nets, set, c.o); err == nil || !strings.HasPrefix(err.Error(), "analysis: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.o, err, c.want)
		}
	}
}
