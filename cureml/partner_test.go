package cureml

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
)

// TestPartnerGradients checks the gradients that ACT and LBGAT give the natural network against central differences of its
// loss, in float64, along a random direction through its weights.
func TestPartnerGradients(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for name, c := range map[string]Config{"act": smallConfig("act"), "lbgat": smallConfig("lbgat"), "lbgat without KL": distilVariants()["lbgat without KL"]} {
		method, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		term := map[string]string{"act": "natural_loss", "lbgat": "loss"}[c.Method]
		measure := func(partner net64) [][]float64 {
			return onGraph(t, method, student, partner, b, func(u *Update) []*Node {
				o := method.Update(u)
				i := slices.IndexFunc(o.Log, func(l Term) bool { return l.Name == term })
				return append([]*Node{o.Log[i].Value}, o.Partners[NaturalPartner]...)
			})
		}
		base := measure(other)
		const h = 1e-8 // at 1e-6 a ReLU of this network changes its side on the way
		plus, minus := other, other
		plus.values, minus.values = slices.Clone(other.values), slices.Clone(other.values)
		rng := data.Stream(6, "direction")
		var want float64
		g := 1
		for i, tensor := range other.list {
			if !tensor.Kind.Trainable() {
				continue
			}
			v, err := tensors.CopyFlatData[float64](other.values[i])
			if err != nil {
				t.Fatal(err)
			}
			up, down := slices.Clone(v), slices.Clone(v)
			for k := range v {
				d := rng.NormFloat64()
				up[k], down[k] = v[k]+h*d, v[k]-h*d
				want += d * base[g][k]
			}
			plus.values[i] = tensors.FromFlatDataAndDimensions(up, tensor.Shape...)
			minus.values[i] = tensors.FromFlatDataAndDimensions(down, tensor.Shape...)
			g++
		}
		got := (measure(plus)[0][0] - measure(minus)[0][0]) / (2 * h)
		if g != len(base) || math.Abs(want) < 1e-3 || math.Abs(got-want) > 1e-6*math.Abs(want)+1e-8 {
			t.Errorf("%s: differences give %v along the direction, the gradient %v; %d gradients for %d tensors", name, got, want, len(base)-1, g-1)
		}
	}
}

// TestPartnerArch: the natural network has the student's architecture unless the config says otherwise.
func TestPartnerArch(t *testing.T) {
	student := nn.Arch{Name: "wrn-10-1", Width: 4, Classes: 10, Mean: []float64{0.5, 0.5, 0.5}, Std: []float64{0.2, 0.2, 0.2}}
	for _, c := range []struct {
		partner PartnerConfig
		want    string
	}{
		{PartnerConfig{}, "wrn-10-1-w4"}, {PartnerConfig{Width: 2}, "wrn-10-1-w2"},
		{PartnerConfig{Arch: "resnet18"}, "resnet18-w64"}, {PartnerConfig{Arch: "resnet18", Width: 8}, "resnet18-w8"},
	} {
		n := c.partner.network(student)
		if n.Arch.String() != c.want || n.Arch.Classes != 10 || !slices.Equal(n.Arch.Mean, student.Mean) || n.Kind != Partner {
			t.Errorf("%+v: got %+v, want %s with the student's classes and normalisation", c.partner, n.Arch, c.want)
		}
	}
}

// TestPartnerRun: a run with a natural network of its own architecture leaves both networks, which are read again; cancelled
// and resumed at any step it ends in the same bits, velocities of both included.
func TestPartnerRun(t *testing.T) {
	c := smallConfig("act")
	c.Act.Natural = PartnerConfig{Arch: "wrn-10-1", Width: 2}
	whole := filepath.Join(t.TempDir(), "whole")
	trainSmall(t, c, whole, false)
	saved, err := LoadRun(whole, NaturalPartner)
	if err != nil || saved.Arch.Name != "wrn-10-1" || saved.Arch.Width != 2 {
		t.Fatalf("the natural network: %v, %v", saved, err)
	}
	want := outcome(t, whole)
	for _, stop := range []int{1, 4} {
		dir := filepath.Join(t.TempDir(), "stopped")
		err := stopped(t, c, dir, stop)
		if !errors.Is(err, ErrInterrupted) {
			t.Fatalf("stopped after step %d: %v", stop, err)
		}
		if _, err := LoadRun(dir, NaturalPartner); err != nil {
			t.Errorf("the natural network of an unfinished run: %v", err)
		}
		trainSmall(t, c, dir, true)
		if outcome(t, dir) != want {
			t.Errorf("stopped after step %d, the resumed run differs from an uninterrupted one", stop)
		}
	}
}

// TestACTAttack compares ACT's objective per image with its formula: the scales of its two terms are equal, but in the
// released code, where a mean over the batch meets a sum.
func TestACTAttack(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for _, released := range []bool{false, true} {
		c := smallConfig("act")
		c.Act.AlphaRobust, c.Act.ReleasedScale = 0.6, released
		m := ACT(c)
		out := onGraph(t, m, student, other, b, func(u *Update) []*Node {
			adv := fork(u.Student).Forward(nn.Eval, u.Adv)
			nat := fork(u.Nets[NaturalPartner]).Forward(nn.Train, u.X)
			plain := attacks.PGD{Ball: m.Inner.PGD.Ball, StepSize: c.Attack.StepSize}.Step(u.X, u.Adv, func(adv *Node) *Node {
				z, ce := u.Student.Forward(nn.Eval, adv), 0.4
				if released {
					ce /= 3
				}
				return Add(MulScalar(attacks.CrossEntropy(z, u.Y), ce), MulScalar(attacks.KL(nat, z), 0.6))
			})
			return []*Node{m.Inner.objective(&u.Frame, adv), adv, nat, m.Inner.step(&u.Frame, u.State)[0], plain}
		})
		labels, err := tensors.CopyFlatData[int32](b.y)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(labels))
		for i, y := range labels {
			ce, adv, nat := 0.4, out[1][10*i:10*i+10], out[2][10*i:10*i+10]
			if released {
				ce /= 3
			}
			want[i] = ce*crossEntropyOf(adv, y) + 0.6*divergence(nat, adv, 1)
		}
		mltest.Close(t, "objective", out[0], want, 1e-12, 1e-10)
		mltest.Close(t, "a step of the attack", out[3], out[4], 0, 0)
	}
}
