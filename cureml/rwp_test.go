package cureml

import (
	"fmt"
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// probabilities is softmax, written out.
func probabilities(z *Node) *Node { e := Exp(z); return Div(e, ReduceAndKeep(e, ReduceSum, -1)) }

// rwpLosses are the losses of each image that RWP looks at, from probabilities, in mode T.
func rwpLosses(method string, beta float64, u *Update) *Node {
	ce := func(p *Node) *Node { return Neg(Log(ReduceSum(Mul(OneHot(u.Y, 10, p.DType()), p), -1))) }
	adv := probabilities(u.Student.Forward(nn.Train, u.Adv))
	if method != "trades" {
		return ce(adv)
	}
	nat := probabilities(u.Student.Forward(nn.Train, u.X))
	return Add(ce(nat), MulScalar(ReduceSum(Mul(nat, Log(Div(nat, adv))), -1), beta))
}

// TestRWP recomputes three rounds and the step after them on the host, from the losses and gradients of networks that
// hold the perturbed weights. The threshold lies between the losses, so that some images count and some do not, and one
// below all losses perturbs nothing.
func TestRWP(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(5)
	names, theta := student.trainable(), student.host(t)
	var perturbed []nn.Tensor
	var all [][]float64
	for _, tensor := range student.list {
		if hasWeights(tensor) {
			perturbed, all = append(perturbed, tensor), append(all, theta[slices.Index(names, tensor.Name)])
		}
	}
	const gamma, rounds, lr = 0.05, 3, 0.1
	for _, method := range []string{"at", "trades"} {
		c := smallConfig(method)
		c.SGD = optim.SGD{Momentum: 0.9, WeightDecay: 0.01}
		plain, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		start := onGraph(t, plain, student, other, b, func(u *Update) []*Node { return []*Node{rwpLosses(method, c.Trades.Beta, u)} })[0]
		sorted := slices.Sorted(slices.Values(start))
		for name, threshold := range map[string]float64{"some": (sorted[2] + sorted[3]) / 2, "none": sorted[0] / 2, "all": 100} {
			what := method + ", " + name
			c.RWP = RWPConfig{Gamma: gamma, Rounds: rounds, Threshold: threshold}
			wrapped, err := NewMethod(c)
			if err != nil {
				t.Fatal(err)
			}
			if wrapped.Ascend.Rounds != rounds || len(wrapped.Cells) != len(perturbed) {
				t.Fatalf("%s: %d rounds, %d cells", what, wrapped.Ascend.Rounds, len(wrapped.Cells))
			}
			got := onGraph(t, wrapped, student, other, b, func(u *Update) (out []*Node) {
				for _, tensor := range perturbed { // what a step before has left
					u.Cells["rwp/"+tensor.Name] = OnesLike(u.Student.Vars[tensor.Name])
				}
				before := u.Student.Vars["bn1.running_mean"]
				for k := range rounds {
					u.scalars["round"] = ConstAs(u.X, float64(k))
					wrapped.Ascend.Step(u)
				}
				if u.Student.Vars["bn1.running_mean"] != before {
					t.Errorf("%s: the rounds move running statistics", what)
				}
				velocity := setWaves(u)
				o := wrapped.Update(u)
				for _, tensor := range perturbed {
					out = append(out, o.Perturbed[tensor.Name].By)
				}
				u.apply(o, c.SGD)
				for _, name := range names {
					out = append(out, u.Student.Vars[name], velocity[name])
				}
				return out
			})

			direction := make([][]float64, len(perturbed))
			v := map[string][]float64{}
			for i, tensor := range perturbed {
				direction[i], v[tensor.Name] = make([]float64, len(all[i])), make([]float64, len(all[i]))
			}
			for range rounds {
				at := student.shifted(t, v)
				losses := onGraph(t, plain, at, other, b, func(u *Update) []*Node { return []*Node{rwpLosses(method, c.Trades.Beta, u)} })[0]
				keep := make([]float64, len(losses))
				for i, l := range losses {
					if l < threshold {
						keep[i] = 1. / 5 // of the full batch, however many are kept
					}
				}
				grads := onGraph(t, plain, at, other, b, func(u *Update) []*Node {
					return u.Gradient(ReduceAllSum(Mul(Const(u.X.Graph(), keep), rwpLosses(method, c.Trades.Beta, u))))
				})
				for i, tensor := range perturbed {
					for k, g := range grads[slices.Index(names, tensor.Name)] {
						direction[i][k] += 0.01 * g // the released code's rate
					}
				}
				scale := gamma * norm64(all...) / (norm64(direction...) + 1e-20)
				for i, tensor := range perturbed {
					for k, d := range direction[i] {
						v[tensor.Name][k] = scale * d
					}
				}
			}
			for i, tensor := range perturbed {
				mltest.Close(t, what+": perturbation of "+tensor.Name, got[i], v[tensor.Name], 1e-12, 1e-8)
			}
			want := gamma
			if name == "none" {
				want = 0
			}
			if ratio := norm64(got[:len(perturbed)]...) / norm64(all...); math.Abs(ratio-want) > 1e-12 {
				t.Errorf("%s: the weights are perturbed by %v of their norm, want %v", what, ratio, want)
			}
			grads := onGraph(t, plain, student.shifted(t, v), other, b, func(u *Update) []*Node { return plain.Update(u).Grads })
			for i, tensor := range names {
				at := slices.Clone(theta[i])
				for k, d := range v[tensor] {
					at[k] += d
				}
				wantW, wantV := sgdOnHost(at, grads[i], wave(tensor, len(at)), lr, c.SGD)
				for k, d := range v[tensor] {
					wantW[k] -= d
				}
				mltest.Close(t, fmt.Sprintf("%s: %s", what, tensor), got[len(perturbed)+2*i], wantW, 1e-10, 1e-8)
				mltest.Close(t, fmt.Sprintf("%s: velocity of %s", what, tensor), got[len(perturbed)+2*i+1], wantV, 1e-9, 1e-7)
			}
		}
	}
}

// TestRWPFilter: with two images of known loss, one on each side of the threshold, the direction is the gradient of the
// smaller loss alone, over two.
func TestRWPFilter(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(2)
	c := smallConfig("at")
	c.RWP = RWPConfig{Gamma: 0.01, Rounds: 1}
	m, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	// losses 1.69 and 1.71 by an offset, whatever the network says; the default threshold is 1.7
	offset := func(losses *Node) *Node {
		return Add(Sub(losses, StopGradient(losses)), Const(losses.Graph(), []float64{1.69, 1.71}))
	}
	m.Cells, m.Ascend = nil, nil
	m.PerImage = func(u *Update) *Node {
		return offset(attacks.CrossEntropy(u.Student.Forward(nn.Train, u.Adv), u.Y))
	}
	if m, err = c.RWP.wrap(m, c); err != nil {
		t.Fatal(err)
	}
	got := onGraph(t, m, student, other, b, func(u *Update) []*Node {
		m.Ascend.Step(u)
		return []*Node{u.Cells["rwp/conv1.weight"], u.Cells["rwp/linear.weight"]}
	})
	for image, kept := range []bool{true, false} {
		want := onGraph(t, m, student, other, b, func(u *Update) []*Node {
			each := Log(ReduceSum(Mul(OneHot(u.Y, 10, u.X.DType()), probabilities(u.Student.Forward(nn.Train, u.Adv))), -1))
			g := u.Gradient(MulScalar(Squeeze(Slice(each, AxisElem(image))), -0.5))
			return []*Node{g[u.index("conv1.weight")], g[u.index("linear.weight")]}
		})
		for i := range got {
			if kept {
				mltest.Close(t, "the image below the threshold", got[i], want[i], 1e-13, 1e-10)
			} else if slices.Equal(got[i], want[i]) || norm64(want[i]) == 0 {
				t.Error("the image above the threshold counts")
			}
		}
	}
}

// TestPerImage: the mean of a method's losses of single images is its loss.
func TestPerImage(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for _, method := range MethodNames() {
		m, err := NewMethod(smallConfig(method))
		if err != nil {
			t.Fatal(err)
		}
		if m.PerImage == nil {
			continue
		}
		got := onGraph(t, m, student, other, b, func(u *Update) []*Node {
			return []*Node{ReduceAllMean(m.PerImage(u)), m.Update(u).Log[0].Value}
		})
		mltest.Close(t, method, got[0], got[1], 1e-13, 0)
	}
}
