package cureml

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// TestPaperFace recomputes one update of face paper from the formulas of the paper: losses written out from
// probabilities, three separate gradients, thresholds from sorted scores and the SGD step, in float64 on the host.
func TestPaperFace(t *testing.T) {
	student, revision, b := newNet64(t, 1), newNet64(t, 2), newBatch64(4)
	c := smallConfig("cure")
	c.Cure.Alpha, c.Cure.Percentile, c.Cure.Gamma = 0.3, 0.4, 0.7
	c.SGD = optim.SGD{Momentum: 0.9, WeightDecay: 0.01}
	names := student.trainable()
	got := updated(t, c, student, revision, b)

	// The paper's formulas.
	weights := student.host(t)
	gradients := map[string][][]float64{}
	for _, term := range []string{"nat", "adv", "loss"} {
		gradients[term] = onGraph(t, CURE(c), student, revision, b, func(u *Update) []*Node {
			p := func(z *Node) *Node { e := Exp(z); return Div(e, ReduceAndKeep(e, ReduceSum, -1)) }
			pNat, pAdv := p(u.Student.Forward(nn.Train, u.X)), p(u.Student.Forward(nn.Train, u.Adv))
			rNat, rAdv := StopGradient(p(u.Nets[Revision].Forward(nn.Train, u.X))), StopGradient(p(u.Nets[Revision].Forward(nn.Train, u.Adv)))
			ce := func(p *Node) *Node {
				return MulScalar(ReduceAllSum(Mul(OneHot(u.Y, 10, p.DType()), Log(p))), -0.25)
			}
			kl := func(p, q *Node) *Node { return MulScalar(ReduceAllSum(Mul(p, Log(Div(p, q)))), 0.25) }
			switch term {
			case "nat":
				return u.Gradient(ce(pNat))
			case "adv":
				return u.Gradient(ce(pAdv))
			}
			return u.Gradient(Add(Add(ce(pNat), kl(pNat, pAdv)), MulScalar(Add(kl(rNat, pNat), kl(rAdv, pAdv)), 0.7)))
		})
	}
	conserved, all := 0, 0
	for i, name := range names {
		w, v := weights[i], velocity(name, len(weights[i]))
		score := make([]float64, len(w))
		for k := range w {
			score[k] = 0.3*math.Abs(gradients["nat"][i][k]) + 0.7*math.Abs(gradients["adv"][i][k])
		}
		sorted := slices.Sorted(slices.Values(score))
		at := 0.4 * float64(len(w)-1)
		low := int(at)
		threshold := sorted[low] + (at-float64(low))*(sorted[min(low+1, len(w)-1)]-sorted[low])
		wantW, wantV := slices.Clone(w), slices.Clone(v)
		for k := range w {
			all++
			if !strings.Contains(name, "linear") && score[k] < threshold {
				conserved++
				if got[2*i][k] != w[k] {
					t.Errorf("%s[%d] is conserved, but moved from %v to %v", name, k, w[k], got[2*i][k])
				}
				continue
			}
			wantV[k] = 0.9*v[k] + gradients["loss"][i][k] + 0.01*w[k]
			wantW[k] = w[k] - 0.1*wantV[k]
		}
		mltest.Close(t, name, got[2*i], wantW, 1e-12, 1e-9)
		mltest.Close(t, "velocity of "+name, got[2*i+1], wantV, 1e-11, 1e-8)
	}
	if share := float64(conserved) / float64(all); share < 0.35 || share > 0.42 {
		t.Errorf("%.3f of the weights are conserved, want about p = 0.4", share)
	}
}

// velocity is some fixed momentum of a tensor.
func velocity(name string, size int) []float64 {
	v := make([]float64, size)
	for i := range v {
		v[i] = 0.01 * math.Sin(float64(i+len(name)))
	}
	return v
}

// updated are the trainable tensors of the student after a step of CURE, each followed by its momentum.
func updated(t *testing.T, c Config, student, revision net64, b batch64) [][]float64 {
	t.Helper()
	return onGraph(t, CURE(c), student, revision, b, func(u *Update) []*Node {
		momentum := map[string]*Node{}
		for _, name := range student.trainable() {
			w := u.Student.Vars[name]
			momentum[name] = Reshape(Const(w.Graph(), velocity(name, w.Shape().Size())), w.Shape().Dimensions...)
		}
		u.velocities = map[string]map[string]*Node{"student": momentum}
		u.apply(CURE(c).Update(u), c.SGD)
		var out []*Node
		for _, name := range student.trainable() {
			out = append(out, u.Student.Vars[name], momentum[name])
		}
		return out
	})
}

// TestReleasedFaceMoves: where face paper conserves bits, the released code only zeroes gradients, so momentum and decay
// still move every weight.
func TestReleasedFaceMoves(t *testing.T) {
	student, revision, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	c := smallConfig("cure")
	c.Cure.Face, c.Cure.Percentile = "released", 0.9
	c.SGD = optim.SGD{Momentum: 0.9, WeightDecay: 0.01}
	weights, after := student.host(t), updated(t, c, student, revision, b)
	for i, g := range onGraph(t, CURE(c), student, revision, b, func(u *Update) []*Node { return CURE(c).Update(u).Grads }) {
		name := student.trainable()[i]
		masked := 0
		w, v := weights[i], velocity(name, len(g))
		for k := range g {
			if g[k] == 0 {
				masked++
				v[k] = 0.9*v[k] + 0.01*w[k]
				if want := w[k] - 0.1*v[k]; math.Abs(after[2*i][k]-want) > 1e-12 {
					t.Errorf("%s[%d] is masked: %v went to %v, want %v", name, k, w[k], after[2*i][k], want)
				}
			}
		}
		if isClassifier(name) && masked > 0 {
			t.Errorf("%s: %d entries of the classifier are masked", name, masked)
		}
		if !isClassifier(name) && masked < int(0.85*float64(len(g)))-1 {
			t.Errorf("%s: %d of %d entries are masked, want nine in ten", name, masked, len(g))
		}
	}
}

// TestRevise: one update of the revision model against θ_rev <- d·θ_rev + (1-d)·θ, and what each choice of statistics does.
func TestRevise(t *testing.T) {
	student, revision, b := newNet64(t, 1), newNet64(t, 2), newBatch64(2)
	for _, bn := range []string{"own", "copied", "averaged"} {
		for _, d := range []float64{1, 0.75} {
			c := smallConfig("cure")
			c.Cure.EMABN = bn
			follow := CURE(c).Networks[0].follow
			out := onGraph(t, CURE(c), student, revision, b, func(u *Update) (out []*Node) {
				for _, tensor := range student.list {
					out = append(out, u.Student.Vars[tensor.Name], u.Nets[Revision].Vars[tensor.Name])
				}
				u.scalars["decay/revision"] = ConstAs(u.X, d)
				follow(&u.Frame, student.list)
				for _, tensor := range student.list {
					out = append(out, u.Nets[Revision].Vars[tensor.Name])
				}
				return out
			})
			for i, tensor := range student.list {
				theta, old, now := out[2*i], out[2*i+1], out[2*len(student.list)+i]
				want := slices.Clone(old)
				for k := range want {
					switch {
					case tensor.Kind.Trainable() || bn == "averaged":
						want[k] = d*old[k] + (1-d)*theta[k]
					case bn == "copied" && d < 1:
						want[k] = theta[k]
					}
				}
				mltest.Close(t, fmt.Sprintf("%s, d %v: %s", bn, d, tensor.Name), now, want, 1e-15, 0)
				if d == 1 && !slices.Equal(now, old) {
					t.Errorf("%s: without an update %s changes its bits", bn, tensor.Name)
				}
			}
		}
	}
}

// TestDecay: the share of updates is r, the decay is min(1 - 1/(t+1), d), and both are functions of (seed, step) alone.
func TestDecay(t *testing.T) {
	c := Defaults("cure").Cure
	updates := 0
	for step := range 5000 {
		d := c.decayAt(7, step)
		if d != c.decayAt(7, step) {
			t.Fatalf("step %d: two decays for one seed", step)
		}
		if d == 1 {
			continue
		}
		updates++
		if want := math.Min(1-1/float64(step+2), 0.999); d != want {
			t.Errorf("step %d: decay %v, want %v", step, d, want)
		}
	}
	if math.Abs(float64(updates)/5000-0.2) > 0.02 { // 3.5 standard deviations of a binomial
		t.Errorf("%d of 5000 steps update the revision model, want a fifth", updates)
	}
	if c.decayAt(7, -1) != 1 {
		t.Error("the warm-up moves the revision model")
	}
}
