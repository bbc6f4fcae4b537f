package cureml

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
)

// float64s turns actions into what onGraph returns.
func float64s(n *Node) *Node { return ConvertDType(n, dtypes.Float64) }

// TestLasLosses recomputes both losses from the logits of the update's passes.
func TestLasLosses(t *testing.T) {
	student, strategy, b := newNet64(t, 1), newNet64(t, 2), newBatch64(4)
	y := b.y.Value().([]int32)
	for _, name := range []string{"las-at", lasTrades} {
		c := smallConfig(name)
		m := Las(c)
		got := onGraph(t, m, student, strategy, b, func(u *Update) []*Node {
			nat, adv := fork(u.Student).Forward(nn.Train, u.X), fork(u.Student).Forward(nn.Train, u.Adv)
			return []*Node{m.Update(u).Log[0].Value, nat, adv, float64s(u.Context[0])}
		})
		var want float64
		for i := range y {
			nat, adv := softmax64(got[1][10*i:10*i+10]), softmax64(got[2][10*i:10*i+10])
			if name == "las-at" {
				for k, p := range adv {
					q := 0.3 / 9
					if k == int(y[i]) {
						q = 0.7
					}
					want -= q * math.Log(p) / 4
				}
				continue
			}
			beta := 5 + got[3][4*i+3]
			want -= math.Log(nat[y[i]]) / 4
			for k, p := range nat {
				want += beta * p * (math.Log(p) - math.Log(adv[k])) / 4
			}
		}
		mltest.Close(t, name, got[0], []float64{want}, 0, 1e-12)
	}
}

// TestLasDraw: actions follow the categorical distributions, each head its own, within four standard deviations.
func TestLasDraw(t *testing.T) {
	heads := []Span{{3, 6}, {1, 1}, {10, 12}}
	logits := []float32{0.3, -1, 2, 0.5 /**/, 4 /**/, -0.2, 0, 1}
	const n = 20000
	rows, keys := make([]float32, 0, n*len(logits)), make([]uint32, 2*n)
	rng := data.Stream(1, "draw")
	for i := range n {
		rows = append(rows, logits...)
		keys[2*i], keys[2*i+1] = rng.Uint32(), rng.Uint32()
	}
	exec := MustNewExec(mltest.GoBackend(t), func(logits, keys *Node) []*Node {
		return []*Node{draw(heads, logits, keys), draw(heads, logits, attacks.SplitKeys(keys, 1)), draw(heads, logits, keys)}
	})
	defer exec.Finalize()
	out := exec.MustCall(tensors.FromFlatDataAndDimensions(rows, n, len(logits)), tensors.FromFlatDataAndDimensions(keys, n, 2))
	actions := tensors.MustCopyFlatData[int32](out[0])
	if !slices.Equal(actions, tensors.MustCopyFlatData[int32](out[2])) || slices.Equal(actions, tensors.MustCopyFlatData[int32](out[1])) {
		t.Error("actions are not those of their keys alone")
	}
	expect := func(what string, count int, p float64) {
		if sigma := math.Sqrt(n * p * (1 - p)); math.Abs(float64(count)-n*p) > 4*sigma {
			t.Errorf("%s: %d of %d draws, want %.1f within %.1f", what, count, n, n*p, 4*sigma)
		}
	}
	z := make([]float64, len(logits))
	for i, v := range logits {
		z[i] = float64(v)
	}
	p := [][]float64{softmax64(z[:4]), {1}, softmax64(z[5:])}
	counts, joint := map[[2]int32]int{}, map[[2]int32]int{}
	for i := range n {
		a := actions[3*i : 3*i+3]
		for h, option := range a {
			if option < 0 || int(option) >= heads[h].size() {
				t.Fatalf("head %d took option %d of %d", h, option, heads[h].size())
			}
			counts[[2]int32{int32(h), option}]++
		}
		joint[[2]int32{a[0], a[2]}]++
	}
	for h := range heads {
		for k, prob := range p[h] {
			expect("one head", counts[[2]int32{int32(h), int32(k)}], prob)
		}
	}
	for j, a := range p[0] {
		for k, b := range p[2] {
			expect("two heads", joint[[2]int32{int32(j), int32(k)}], a*b)
		}
	}
}

// TestLasAttack compares the attack with plain PGD on each image alone, within the budget that was drawn for it.
func TestLasAttack(t *testing.T) {
	const n = 6
	student, strategy, b := newNet64(t, 1), newNet64(t, 2), newBatch64(n)
	for _, name := range []string{"las-at", lasTrades} {
		c := smallConfig(name)
		c.Las.StepSize = Span{9, 10} // reaches the walls of the smaller balls
		m, l := Las(c), newLas(c)
		rounds := c.Las.Steps.High
		got := onGraph(t, m, student, strategy, b, func(u *Update) []*Node {
			out := []*Node{u.X, float64s(u.Context[0])}
			state := u.State
			for k := range rounds {
				u.scalars["round"] = ConstAs(u.X, float64(k))
				state = m.Inner.Step(&u.Frame, state)
				out = append(out, state[0])
			}
			return out
		})
		x, actions, iterates := got[0], got[1], got[2:]
		budget := func(i, head int) float64 {
			return float64(l.heads[head].Low) + actions[len(l.heads)*i+head]
		}
		want := onGraph(t, m, student, strategy, b, func(u *Update) (out []*Node) {
			for i := range n {
				row := func(v *Node) *Node { return SliceAxis(v, 0, AxisElem(i)) }
				pgd := l.pgd
				pgd.Ball.Eps, pgd.StepSize = budget(i, headEps)/255, budget(i, headStepSize)/255
				x, adv, y := row(u.X), row(u.Adv), row(u.Y)
				nat := u.Student.Forward(nn.Eval, x)
				for range int(budget(i, headSteps)) {
					adv = pgd.Step(x, adv, func(adv *Node) *Node { return pgd.Objective(u.Student.Forward(nn.Eval, adv), y, nat) })
				}
				out = append(out, adv)
			}
			return out
		})
		seen := map[float64]bool{}
		for i := range n {
			image := func(v []float64) []float64 { return v[3072*i : 3072*(i+1)] }
			last := image(iterates[rounds-1])
			mltest.Close(t, name, last, want[i], 1e-13, 0)
			eps, steps := budget(i, headEps)/255, int(budget(i, headSteps))
			seen[float64(steps)] = true
			for k, v := range last {
				if math.Abs(v-image(x)[k]) > eps+1e-15 || v < 0 || v > 1 {
					t.Fatalf("%s: image %d ends at %v, from %v with eps %v", name, i, v, image(x)[k], eps)
				}
			}
			for k := 1; k < rounds; k++ {
				if moved := !slices.Equal(image(iterates[k-1]), image(iterates[k])); moved != (k < steps) {
					t.Errorf("%s: image %d of %d steps: round %d moves it: %v", name, i, steps, k, moved)
				}
			}
		}
		if len(seen) < 2 {
			t.Errorf("%s: all images have as many steps: the test needs different ones", name)
		}
	}
}

// TestLasReinforce compares the strategy network's loss and gradient with the formula of REINFORCE, from the
// probabilities and the reward alone, and the whole gradient with differences of that formula.
func TestLasReinforce(t *testing.T) {
	const n, reward, logitsAll = 5, -2.5, 10
	c := smallConfig(lasTrades)
	c.Las.ClipNorm = 1e9
	m, l := Las(c), newLas(c)
	student, strategy, b := newNet64(t, 1), newNet64(t, 2), newBatch64(n)
	var actions []int32
	run := func(net net64) (logits, pooled []float64, loss float64, grads [][]float64) {
		out := onGraph(t, m, student, net, b, func(u *Update) []*Node {
			taken := u.Context[0]
			if actions != nil {
				taken = Reshape(Const(u.X.Graph(), actions), n, len(l.heads))
			}
			var pooled *Node
			seen := fork(u.Nets[Strategy])
			seen.Tap = func(name string, x *Node) {
				if name == "pooled" {
					pooled = x
				}
			}
			logits := seen.Forward(nn.Train, u.X)
			loss, grads := l.reinforce(&u.Frame, taken, ConstAs(u.X, reward))
			return append([]*Node{logits, pooled, loss, float64s(taken)}, grads...)
		})
		if actions == nil {
			for _, a := range out[3] {
				actions = append(actions, int32(a))
			}
		}
		return out[0], out[1], out[2][0], out[4:]
	}
	// formula is -R Σ_h mean_i log π_h(a_i|x_i), and its derivative with respect to the logits, R/n·(π_h - 1[a_i]).
	formula := func(logits []float64) (loss float64, slopes []float64) {
		for i := range n {
			at := logitsAll * i
			for h, head := range l.heads {
				p := softmax64(logits[at : at+head.size()])
				taken := int(actions[len(l.heads)*i+h])
				loss -= reward * math.Log(p[taken]) / n
				p[taken]--
				for _, v := range p {
					slopes = append(slopes, reward/n*v)
				}
				at += head.size()
			}
		}
		return loss, slopes
	}
	logits, pooled, loss, grads := run(strategy)
	want, slopes := formula(logits)
	mltest.Close(t, "loss", []float64{loss}, []float64{want}, 0, 1e-12)
	features := len(pooled) / n
	weight, bias := make([]float64, features*logitsAll), make([]float64, logitsAll)
	for i := range n {
		for k := range logitsAll {
			bias[k] += slopes[logitsAll*i+k]
			for f := range features {
				weight[logitsAll*f+k] += pooled[features*i+f] * slopes[logitsAll*i+k]
			}
		}
	}
	names := strategy.trainable()
	of := func(name string) []float64 { return grads[slices.Index(names, name)] }
	mltest.Close(t, "gradient of the heads' biases", of("linear.bias"), bias, 1e-14, 1e-11)
	mltest.Close(t, "gradient of the heads' weights", of("linear.weight"), weight, 1e-14, 1e-11)

	const h = 1e-8 // larger ones carry ReLUs over their kink here
	rng := data.Stream(4, "direction")
	plus, minus := strategy, strategy
	plus.values, minus.values = slices.Clone(strategy.values), slices.Clone(strategy.values)
	var along, squares float64
	g := 0
	for i, tensor := range strategy.list {
		if !tensor.Kind.Trainable() {
			continue
		}
		v := tensors.MustCopyFlatData[float64](strategy.values[i])
		up, down := slices.Clone(v), slices.Clone(v)
		for k := range v {
			d := rng.NormFloat64()
			up[k], down[k] = v[k]+h*d, v[k]-h*d
			along += d * grads[g][k]
			squares += grads[g][k] * grads[g][k]
		}
		plus.values[i] = tensors.FromFlatDataAndDimensions(up, tensor.Shape...)
		minus.values[i] = tensors.FromFlatDataAndDimensions(down, tensor.Shape...)
		g++
	}
	above, _, _, _ := run(plus)
	under, _, _, _ := run(minus)
	high, _ := formula(above)
	low, _ := formula(under)
	mltest.Close(t, "differences along a direction", []float64{(high - low) / (2 * h)}, []float64{along}, 1e-8, 1e-6)

	norm := math.Sqrt(squares)
	for _, most := range []float64{norm / 3, 3 * norm} {
		l.Las.ClipNorm = most
		_, _, _, short := run(strategy)
		scale := math.Min(1, most/(norm+1e-6))
		for i, name := range names {
			for k := range grads[i] {
				grads[i][k] *= scale
			}
			mltest.Close(t, "clipped "+name, short[i], grads[i], 1e-14, 1e-11)
			for k := range grads[i] {
				grads[i][k] /= scale
			}
		}
	}
}
