package analysis

import (
	"context"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
	"cure/data/mini"
)

// smallest are two networks of one form and a few images, some of which the first gets right.
func smallest(t *testing.T) ([]Network, *data.Set) {
	t.Helper()
	var nets []Network
	for i, name := range []string{"a", "b"} {
		s, err := nn.Init(nn.Arch{Name: "wrn-10-1", Width: 1, Classes: 10}, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		nets = append(nets, Network{name, s})
	}
	set, err := mini.Test().Slice(0, 4)
	if err != nil {
		t.Fatal(err)
	}
	classes, err := attacks.Predict(t.Context(), cureml.HostModel(mltest.GoBackend(t), nets[0].State), pixels(set.Images), 4)
	if err != nil {
		t.Fatal(err)
	}
	relabelled := *set
	relabelled.Labels = slices.Clone(set.Labels)
	for i := range 3 {
		relabelled.Labels[i] = int32(classes[i])
	}
	if relabelled.Labels[3] == relabelled.Labels[0] {
		relabelled.Labels[3] = (relabelled.Labels[0] + 1) % 10
	}
	return nets, &relabelled
}

// each runs an analysis on both networks, and then on the second alone: its numbers are the same, as programs are shared
// and weights are not; JSON keeps them; and there is something to show.
func each[R Result, O any](t *testing.T, o O, measure func(context.Context, compute.Backend, []Network, *data.Set, O) (R, error), second func(r R) any) R {
	t.Helper()
	nets, set := smallest(t)
	device := mltest.GoBackend(t)
	both, err := measure(t.Context(), device, nets, set, o)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := measure(t.Context(), device, nets[1:], set, o)
	if err != nil {
		t.Fatal(err)
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got, want := text(second(both)), text(second(alone)); got != want {
		t.Errorf("the second of two networks: got %s, alone %s", got, want)
	}
	var again R
	if err := json.Unmarshal([]byte(text(both)), &again); err != nil {
		t.Fatal(err)
	}
	if text(again) != text(both) {
		t.Errorf("read from JSON: %s, want %s", text(again), text(both))
	}
	for _, r := range []R{both, again} {
		pictures, err := r.Pictures()
		if err != nil {
			t.Fatal(err)
		}
		if tables := r.Tables(); len(tables) == 0 || len(tables[0].Rows) < 2 {
			t.Error("no table of both networks")
		}
		for _, table := range r.Tables() {
			if s, err := table.Text(); err != nil || strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
				t.Errorf("table %v:\n%s", err, s)
			}
		}
		for _, p := range pictures {
			if _, err := p.PNG(); err != nil {
				t.Errorf("picture %s: %v", p.Name, err)
			}
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measure(ended, device, nets, set, o); err == nil {
		t.Error("interrupted: got no error")
	}
	if _, err := measure(t.Context(), device, nil, set, o); err == nil || !strings.Contains(err.Error(), "no networks") {
		t.Errorf("no networks: got error %v", err)
	}
	if _, err := measure(t.Context(), device, []Network{nets[0], nets[0]}, set, o); err == nil || !strings.Contains(err.Error(), "two networks are called") {
		t.Errorf("one network twice: got error %v", err)
	}
	return both
}

func attackList(t *testing.T, names string) []attacks.Attack {
	t.Helper()
	list, err := attacks.ParseList(names)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLandscape(t *testing.T) {
	o := DefaultLandscape()
	o.Line, o.Plane, o.Steps, o.Reach = 3, 3, 1, 1e-3 // so near that the loss is linear
	l := each(t, o, MeasureLandscape, func(l *Landscape) any { return l.Networks[len(l.Networks)-1] })
	for _, n := range l.Networks {
		near(t, n.Name+": the middles of line and planes", n.Weights[1][1], n.Clean[1], 1e-5)
		near(t, n.Name+": the middles of line and planes", n.Inputs[1][1], n.Clean[1], 1e-5)
		if n.Inputs[1][2] <= n.Inputs[1][1] {
			t.Errorf("%s: the loss falls along the sign of its gradient", n.Name)
		}
	}
}

func TestLinearity(t *testing.T) {
	o := DefaultLinearity()
	o.Steps, o.Profile = 1, 3
	l := each(t, o, MeasureLinearity, func(l *Linearity) any { return l.Networks[len(l.Networks)-1] })
	for _, n := range l.Networks {
		near(t, n.Name+": the beginning of the profile", n.Real[0], average(n.Loss), 1e-5)
		near(t, n.Name+": the end of the linear one", n.Linear[2], average(n.Loss)+average(n.Slope), 1e-5)
	}
}

func TestLipschitz(t *testing.T) {
	o := DefaultLipschitz()
	o.Steps = 1
	each(t, o, MeasureLipschitz, func(l *Lipschitz) any { return l.Networks[len(l.Networks)-1] })
}

func TestCalibration(t *testing.T) {
	o := DefaultCalibration()
	o.Attack = attackList(t, "fgsm")[0]
	c := each(t, o, MeasureCalibration, func(c *Calibration) any { return c.Networks[len(c.Networks)-1] })
	if c.Fitted != 2 || c.Measured != 2 || c.Networks[0].Clean.Images != 2 || c.Networks[0].Clean.Accuracy != .5 {
		t.Errorf("got %+v with %+v, want the second image right and the fourth wrong", c, c.Networks[0].Clean)
	}
}

func TestBoundary(t *testing.T) {
	o := DefaultBoundary()
	o.Attacks = []attacks.Attack{{Name: "fmn", Method: attacks.FMN{Ball: attacks.Ball{Norm: attacks.L2, Eps: .5}, Steps: 2}}}
	o.Directions, o.Grid, o.Refine = 1, 4, 2
	b := each(t, o, MeasureBoundary, func(b *Boundary) any { return b.Networks[len(b.Networks)-1] })
	if got := b.Networks[0].Right; !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("images %v, want those that the first network gets right", got)
	}
}

// A transfer matrix is attacks.Transfer's.
func TestTransfer(t *testing.T) {
	o := TransferOptions{Attacks: attackList(t, "fgsm"), Seed: 1}
	r := each(t, o, MeasureTransfer, func(r *Transfer) any { k := len(r.Models) - 1; return r.Attacks[0].Accuracy[k][k] })
	nets, set := smallest(t)
	f, err := MeasureFairness(t.Context(), mltest.GoBackend(t), nets, set, FairnessOptions(o))
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range f.Networks {
		near(t, "the diagonal", r.Attacks[0].Accuracy[i][i], n.Robust.Mean, 1e-12)
		near(t, "clean", r.Clean[i].Accuracy, n.Clean.Mean, 1e-12)
	}
}

func TestFairness(t *testing.T) {
	f := each(t, FairnessOptions{Attacks: attackList(t, "fgsm")}, MeasureFairness, func(f *Fairness) any { return f.Networks[len(f.Networks)-1] })
	if f.Networks[0].Clean.Mean != .75 || !reflect.DeepEqual(f.Attacks, []string{"fgsm"}) {
		t.Errorf("got %+v, want three of four right", f)
	}
}

func TestSparsity(t *testing.T) {
	one := 1.
	fgsm, err := attackList(t, "fgsm")[0].With(attacks.Override{Eps: &one}) // which fools everybody
	if err != nil {
		t.Fatal(err)
	}
	s := each(t, SparsityOptions{Attacks: []attacks.Attack{fgsm}}, MeasureSparsity, func(s *Sparsity) any { return s.Networks[len(s.Networks)-1] })
	for _, a := range s.Networks[0].Attacks {
		if a.Images == 0 || !(a.Values > .5 && a.Hoyer < .5 && a.Linf > .5 && a.Linf <= 1) {
			t.Errorf("%s: %+v", a.Name, a)
		}
	}
}

// Settings without sense are refused before anything is computed.
func TestOptions(t *testing.T) {
	nets, set := smallest(t)
	bad := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	even := DefaultLandscape()
	even.Plane = 4
	_, err := MeasureLandscape(t.Context(), nil, nets, set, even)
	bad("plane: 4 points", err)
	wide := DefaultLinearity()
	wide.Eps = math.NaN()
	_, err = MeasureLinearity(t.Context(), nil, nets, set, wide)
	bad("eps NaN", err)
	_, err = MeasureLipschitz(t.Context(), nil, nets, set, LipschitzOptions{Eps: .1, StepSize: .1})
	bad("0 steps", err)
	_, err = MeasureCalibration(t.Context(), nil, nets, set, CalibrationOptions{Bins: 15, Attack: attackList(t, "natural")[0]})
	bad("no attack among 1", err)
	_, err = MeasureBoundary(t.Context(), nil, nets, set, BoundaryOptions{Directions: 1, Grid: 1, Attacks: attackList(t, "fmn-linf")})
	bad("searches in linf", err)
	_, err = MeasureTransfer(t.Context(), nil, nets, set, TransferOptions{})
	bad("no attack among 0", err)
	other := *set
	other.Labels = []int32{0, 1, 2, 10}
	_, err = MeasureFairness(t.Context(), nil, nets, &other, DefaultFairness())
	bad("label 10 of image 3", err)
}
