package analysis

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/similarity"
	"cure/data"
	"cure/data/mini"
)

// looker is a resnet18 with random weights and statistics, so that batch norm does something, and with weights of the
// size that keeps signals alive without training (He et al. 2015).
func looker(t *testing.T, name string, width int, seed uint64) Network {
	t.Helper()
	s, err := nn.Init(nn.Arch{Name: "resnet18", Width: width, Classes: 10}, seed)
	if err != nil {
		t.Fatal(err)
	}
	rng := data.Stream(seed, "statistics")
	for _, tensor := range s.Tensors {
		v := s.Values[tensor.Name]
		for i := range v {
			switch tensor.Kind {
			case nn.ConvWeight:
				v[i] *= float32(math.Sqrt(6)) // from PyTorch's uniform ±1/√fan-in
			case nn.RunningMean, nn.NormBias:
				v[i] = float32(0.1 * rng.NormFloat64())
			case nn.RunningVar, nn.NormWeight:
				v[i] = float32(0.8 + 0.4*rng.Float64())
			}
		}
	}
	return Network{name, s}
}

// lookedAt are the first n test images.
func lookedAt(t *testing.T, n int) *data.Set {
	t.Helper()
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// shortAttack is a small attack.
func shortAttack(eps float64) attacks.Attack {
	return attacks.Attack{Name: "pgd2", Method: attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: eps}, Steps: 2, StepSize: eps / 2, Start: attacks.Uniform, Loss: "ce"}}
}

// checkLook: tables and pictures can be drawn, and JSON keeps everything.
func checkLook(t *testing.T, r Result) {
	t.Helper()
	for _, table := range r.Tables() {
		if _, err := table.Text(); err != nil {
			t.Error(err)
		}
	}
	pictures, err := r.Pictures()
	if err != nil || len(pictures) == 0 {
		t.Fatalf("%d pictures, %v", len(pictures), err)
	}
	seen := map[string]bool{}
	for _, p := range pictures {
		if seen[p.Name] || p.Name == "" || p.Name != pictureName(p.Name) {
			t.Errorf("picture %q: want names that differ, of lower case and hyphens", p.Name)
		}
		seen[p.Name] = true
		if p.Figure == nil || p.Image() == nil {
			t.Errorf("picture %s is empty", p.Name)
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	again := reflect.New(reflect.TypeOf(r).Elem()).Interface()
	if err := json.Unmarshal(text, again); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("JSON of %T does not keep it: %v", r, err)
	}
}

// TestCompare: a network is like itself, its twin like itself under another name, nothing changes under an attack that may
// change nothing, and single values are those of package similarity.
func TestCompare(t *testing.T) {
	a, b := looker(t, "a", 2, 1), looker(t, "b", 2, 2)
	twin := Network{"twin", a.State}
	set := lookedAt(t, 12)
	s, err := CompareLayers(t.Context(), mltest.GoBackend(t), []Network{a, twin, b}, set, SimilarityOptions{Attack: shortAttack(0), Batch: 5, Minibatch: 6, Directions: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Views) != 6 || len(s.Comparisons) != 9 || len(s.Of(WithinNetwork)) != 3 || len(s.Of(UnderAttack)) != 3 || len(s.Of(BetweenNetworks)) != 3 {
		t.Fatalf("%d views and %d comparisons", len(s.Views), len(s.Comparisons))
	}
	within := s.Of(WithinNetwork)[0]
	for _, name := range SimilarityMeasures() {
		self := within.Values[name]
		if len(self) != 10 || len(self[0]) != 10 {
			t.Fatalf("%s: %d x %d values, want all pairs of stem, eight blocks and logits", name, len(self), len(self[0]))
		}
		same := 1.0
		if name == "procrustes" {
			same = 0
		}
		for i := range self {
			if math.Abs(self[i][i]-same) > 1e-6 {
				t.Errorf("%s of layer %d and itself: %v, want %v", name, i, self[i][i], same)
			}
			for j := range self {
				if name != "pwcca" && math.Abs(self[i][j]-self[j][i]) > 1e-6 { // PWCCA takes the weights from one side
					t.Errorf("%s of layers %d and %d: %v, the other way round %v", name, i, j, self[i][j], self[j][i])
				}
			}
		}
		for what, c := range map[string]Comparison{"its twin": s.Of(BetweenNetworks)[0], "itself under an attack of size 0": s.Of(UnderAttack)[0]} {
			for i := range self {
				mltest.Close(t, fmt.Sprintf("%s, layer %d, of a network and %s", name, i, what), c.Values[name][i], self[i], 1e-5, 0)
			}
		}
	}
	checkAgainstPackage(t, s, a, b, set)
	checkLook(t, s)
}

// checkAgainstPackage compares two layers of a and b with what package similarity says alone.
func checkAgainstPackage(t *testing.T, s *Similarity, a, b Network, set *data.Set) {
	t.Helper()
	device, images := mltest.GoBackend(t), pixels(set.Images)
	la, err := similarity.Activations(device, a.State, images, 12, false)
	if err != nil {
		t.Fatal(err)
	}
	lb, err := similarity.Activations(device, b.State, images, 12, false)
	if err != nil {
		t.Fatal(err)
	}
	k, err := similarity.LinearGram(device, la[3].Values, 12)
	if err != nil {
		t.Fatal(err)
	}
	l, err := similarity.LinearGram(device, lb[7].Values, 12)
	if err != nil {
		t.Fatal(err)
	}
	minibatch, err := similarity.MinibatchCKA(k, l, 6)
	if err != nil {
		t.Fatal(err)
	}
	x, y := la[3].Pooled().Dense(), lb[7].Pooled().Dense()
	svcca, err := similarity.SVCCA(x, y, 3)
	if err != nil {
		t.Fatal(err)
	}
	procrustes, err := similarity.Procrustes(x, y)
	if err != nil {
		t.Fatal(err)
	}
	values := s.Of(BetweenNetworks)[1].Values // a and b
	for name, want := range map[string]float64{
		"cka-linear": similarity.CKA(k, l), "cka-linear-unbiased": similarity.UnbiasedCKA(k, l), "cka-linear-minibatch": minibatch,
		"cka-rbf": similarity.CKA(similarity.RBFGram(k, 1), similarity.RBFGram(l, 1)), "svcca": svcca, "procrustes": procrustes,
	} {
		if got := values[name][3][7]; math.Abs(got-want) > 1e-5 {
			t.Errorf("%s of layer 3 of a and layer 7 of b: %v, want %v", name, got, want)
		}
	}
	classes, err := attacks.Predict(t.Context(), cureml.HostModel(device, b.State), images, 12)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, c := range classes {
		if c == int(set.Labels[i]) {
			right++
		}
	}
	if got, want := s.Views[4].Accuracy, float64(right)/12; got != want || s.Views[4].Network != "b" || s.Views[4].Attacked {
		t.Errorf("view 4 is %+v, want network b, clean, accuracy %v", s.Views[4], want)
	}
}

func TestCompareRefuses(t *testing.T) {
	nets, set := []Network{looker(t, "a", 2, 1)}, lookedAt(t, 8)
	few := lookedAt(t, 3)
	for _, c := range []struct {
		nets []Network
		set  *data.Set
		opt  SimilarityOptions
		want string
	}{
		{nil, set, SimilarityOptions{}, "no networks"},
		{nets, few, SimilarityOptions{}, "similarity on 3 images"},
		{nets, set, SimilarityOptions{Measures: []string{"cosine"}}, `unknown measure "cosine": accepted are cka-linear`},
		{nets, set, SimilarityOptions{Batch: 9}, "batch 9: want 1 to 8"},
		{nets, set, SimilarityOptions{Minibatch: 3}, "minibatch 3: want 4 to 8"},
		{nets, set, SimilarityOptions{Directions: -1}, "directions -1"},
		{nets, set, SimilarityOptions{Threshold: -1}, "threshold -1"},
		{nets, set, SimilarityOptions{Attack: attacks.Attack{Name: "ddn", Method: attacks.DDN{}}}, `attack "ddn": want an untargeted PGD`},
		{nets, set, SimilarityOptions{Attack: attacks.Attack{Name: "x", Method: attacks.PGD{Ball: attacks.Ball{Eps: 2}, Steps: 1, Loss: "ce"}}}, "eps 2"},
	} {
		if _, err := CompareLayers(t.Context(), nil, c.nets, c.set, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

// TestClimb: from the same start, images move as in an evaluation, which attacks those that are right.
func TestClimb(t *testing.T) {
	net, set := looker(t, "a", 2, 3), lookedAt(t, 6)
	device, images := mltest.GoBackend(t), pixels(set.Images)
	model := cureml.HostModel(device, net.State)
	classes, err := attacks.Predict(t.Context(), model, images, 4)
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]int32, len(classes))
	for i, c := range classes {
		labels[i] = int32(c)
	}
	p := attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: 0.03}, Steps: 3, StepSize: 0.02, Loss: "ce"}
	report, err := attacks.Evaluate(t.Context(), model, set.Images, labels, []attacks.Attack{{Name: "p", Method: p}}, attacks.Options{Batch: 4, KeepAdv: true})
	if err != nil {
		t.Fatal(err)
	}
	a := newAscent(p, nn.Eval)
	defer a.Close()
	s := seat(device, net)
	defer s.free()
	adv, err := a.climbAll(t.Context(), s, images, labels, 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	mltest.Close(t, "attacked images", adv, report.Attacks[0].Adv, 1e-6, 0)
	wrong := make([]int32, len(labels)) // labels that the network is wrong about are attacked too
	for i, y := range labels {
		wrong[i] = (y + 1) % 10
	}
	if adv, err = a.climbAll(t.Context(), s, images, wrong, 4, 0); err != nil {
		t.Fatal(err)
	}
	for i := range labels {
		if reflect.DeepEqual(rowOf(adv, i, 6), rowOf(images, i, 6)) {
			t.Errorf("image %d did not move", i)
		}
	}
	again, err := a.climbAll(t.Context(), s, images, wrong, 4, 0)
	if err != nil || !reflect.DeepEqual(again, adv) {
		t.Errorf("another time: other images, or %v", err)
	}
}
