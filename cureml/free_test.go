package cureml

import (
	"fmt"
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// TestFreeAT compares four replays with a loop on the host that keeps weights, velocities and δ, and gets both gradients
// at clip01(x + δ) from a graph of its own. The images have pixels at 0 and 1, so δ leaves the box.
func TestFreeAT(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	const eps, alpha, lr, replays = 0.03, 0.02, 0.1, 4
	x, err := tensors.CopyFlatData[float64](b.x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 { // some exact walls
		x[7*i] = float64(i % 2)
	}
	b.x = tensors.FromFlatDataAndDimensions(x, 3, 32, 32, 3)
	names := student.trainable()
	for _, box := range []bool{false, true} {
		c := smallConfig("free-at")
		c.Batch, c.Free.Box = 3, box
		c.Attack.Eps, c.Attack.StepSize = eps, alpha
		c.SGD = optim.SGD{Momentum: 0.9, WeightDecay: 0.01}
		m, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		got := onGraph(t, m, student, other, b, func(u *Update) (out []*Node) {
			velocity := setWaves(u)
			for range replays {
				o := m.Update(u)
				out = append(out, o.Log[0].Value)
				u.apply(o, c.SGD)
			}
			for _, name := range names {
				out = append(out, u.Student.Vars[name], velocity[name])
			}
			return append(out, u.Cells["delta"])
		})

		at, err := NewMethod(smallConfig("at"))
		if err != nil {
			t.Fatal(err)
		}
		delta := make([]float64, len(x))
		weights := student.host(t)
		velocities := make([][]float64, len(names))
		for i, name := range names {
			velocities[i] = wave(name, len(weights[i]))
		}
		var outside, losses []float64
		for range replays {
			moved := make([]float64, len(x))
			out := 0.
			for i := range x {
				moved[i] = min(max(x[i]+delta[i], 0), 1)
				if x[i]+delta[i] < 0 || x[i]+delta[i] > 1 {
					out++
				}
			}
			outside = append(outside, out)
			now := net64{list: student.list, values: slices.Clone(student.values)}
			for i, tensor := range student.list {
				if k := slices.Index(names, tensor.Name); k >= 0 {
					now.values[i] = tensors.FromFlatDataAndDimensions(weights[k], tensor.Shape...)
				}
			}
			batch := batch64{x: b.x, adv: tensors.FromFlatDataAndDimensions(moved, 3, 32, 32, 3), y: b.y}
			grads := onGraph(t, at, now, other, batch, func(u *Update) []*Node {
				p := probabilities(u.Student.Forward(nn.Train, u.Adv))
				loss := MulScalar(ReduceAllSum(Log(ReduceSum(Mul(OneHot(u.Y, 10, p.DType()), p), -1))), -1./3)
				return append(u.Gradient(loss), Gradient(loss, u.Adv)[0], loss)
			})
			losses = append(losses, grads[len(names)+1][0])
			for i := range names {
				weights[i], velocities[i] = sgdOnHost(weights[i], grads[i], velocities[i], lr, c.SGD)
			}
			for i, g := range grads[len(names)] {
				sum := x[i] + delta[i]
				if !box && (sum < 0 || sum > 1) {
					g = 0
				}
				switch {
				case g > 0:
					delta[i] += alpha
				case g < 0:
					delta[i] -= alpha
				}
				delta[i] = min(max(delta[i], -eps), eps)
				if box {
					delta[i] = min(max(delta[i], -x[i]), 1-x[i])
				}
			}
		}
		what := fmt.Sprintf("box %v", box)
		for k := range replays {
			mltest.Close(t, what+": loss", got[k], losses[k:k+1], 1e-11, 0)
		}
		for i, name := range names {
			mltest.Close(t, fmt.Sprintf("%s: %s", what, name), got[replays+2*i], weights[i], 1e-10, 1e-8)
			mltest.Close(t, fmt.Sprintf("%s: velocity of %s", what, name), got[replays+2*i+1], velocities[i], 1e-10, 1e-8)
		}
		mltest.Close(t, what+": delta", got[len(got)-1], delta, 1e-15, 0)
		if out := outside[replays-1] > 0; out == box {
			t.Errorf("%s: %v pixels leave the box by δ", what, outside)
		}
	}
}

// TestFreeDelta watches δ over the batches of a run: within the eps-ball, carried over, m weight steps a batch.
func TestFreeDelta(t *testing.T) {
	c := smallConfig("free-at")
	c.Free.Replays, c.EvalEvery = 3, 0
	var last []float32
	steps := 0
	_, s := trial{config: c, sets: smallSets(t), hook: func(r *run, step int) {
		delta, err := r.memory.host("cell/delta")
		if err != nil {
			t.Fatal(err)
		}
		inner := 0
		for i, v := range delta {
			if math.Abs(float64(v)) > c.Attack.Eps*(1+1e-6) {
				t.Fatalf("step %d: δ[%d] is %v, want at most %v", step, i, v, c.Attack.Eps)
			}
			if v == 0 {
				inner++
			}
		}
		if step == 1 && inner == len(delta) || slices.Equal(delta, last) {
			t.Errorf("step %d: δ did not move", step)
		}
		last, steps = delta, step
		if want := int64(3 * step); r.at.Tracked != want {
			t.Errorf("%d passes after %d batches, want %d", r.at.Tracked, step, want)
		}
	}}.whole(t)
	if steps != 6 || s.Steps != 6 {
		t.Errorf("%d batches, want 6", steps)
	}
}
