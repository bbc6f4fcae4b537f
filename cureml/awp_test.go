package cureml

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// wave is any fixed start of a velocity.
func wave(name string, size int) []float64 {
	v := make([]float64, size)
	for i := range v {
		v[i] = 0.01 * math.Sin(float64(i+len(name)))
	}
	return v
}

// setWaves gives every trained tensor a velocity.
func setWaves(u *Update) map[string]*Node {
	momentum := map[string]*Node{}
	for _, name := range u.Names {
		w := u.Student.Vars[name]
		momentum[name] = Reshape(Const(w.Graph(), wave(name, w.Shape().Size())), w.Shape().Dimensions...)
	}
	u.velocities = map[string]map[string]*Node{student: momentum}
	return momentum
}

// sgdOnHost is one step of optim.SGD without Nesterov, from its definition.
func sgdOnHost(w, g, v []float64, lr float64, o optim.SGD) (newW, newV []float64) {
	newW, newV = make([]float64, len(w)), make([]float64, len(w))
	for k := range w {
		newV[k] = o.Momentum*v[k] + g[k] + o.WeightDecay*w[k]
		newW[k] = w[k] - lr*newV[k]
	}
	return newW, newV
}

// norm64 is the Euclidean norm of all values.
func norm64(all ...[]float64) float64 {
	var squares float64
	for _, v := range all {
		for _, x := range v {
			squares += x * x
		}
	}
	return math.Sqrt(squares)
}

// shifted is the network with v, by trainable tensor, added to its weights.
func (n net64) shifted(t *testing.T, v map[string][]float64) net64 {
	t.Helper()
	moved := net64{list: n.list, values: slices.Clone(n.values)}
	for i, tensor := range n.list {
		if by := v[tensor.Name]; by != nil {
			w, err := tensors.CopyFlatData[float64](n.values[i])
			if err != nil {
				t.Fatal(err)
			}
			for k := range w {
				w[k] += by[k]
			}
			moved.values[i] = tensors.FromFlatDataAndDimensions(w, tensor.Shape...)
		}
	}
	return moved
}

// hasWeights says which tensors the released code perturbs: more than one axis, "weight" in the name.
func hasWeights(tensor nn.Tensor) bool {
	return strings.Contains(tensor.Name, "weight") && len(tensor.Shape) > 1
}

// TestAWP recomputes a step on the host: the perturbation from the plain method's gradient, the gradient of the plain
// method on a network that holds the perturbed weights, SGD from there, and the perturbation off again.
func TestAWP(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	const gamma, lr = 0.05, 0.1
	for _, method := range []string{"natural", "at", "trades", "cure"} {
		c := smallConfig(method)
		c.Cure.Percentile = 0.4
		c.SGD = optim.SGD{Momentum: 0.9, WeightDecay: 0.01}
		plain, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		c.AWP.Gamma = gamma
		wrapped, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		names, weights := student.trainable(), student.host(t)

		var perturbed []string
		tracked := 0
		got := onGraph(t, wrapped, student, other, b, func(u *Update) []*Node {
			velocity := setWaves(u)
			o := wrapped.Update(u)
			out := []*Node{o.Log[0].Value, o.Log[len(o.Log)-1].Value, u.Student.Vars["bn1.running_mean"]}
			perturbed = perturbed[:0]
			var by []*Node
			for _, name := range names {
				if p, ok := o.Perturbed[name]; ok {
					perturbed, by = append(perturbed, name), append(by, p.By)
				}
			}
			u.apply(o, c.SGD)
			for _, name := range names {
				out = append(out, u.Student.Vars[name], velocity[name])
			}
			tracked = u.Student.Tracked
			return append(out, by...)
		})
		evaluate := func(n net64) (loss, mean float64, grads, keep [][]float64) {
			out := onGraph(t, plain, n, other, b, func(u *Update) []*Node {
				o := plain.Update(u)
				out := append([]*Node{o.Log[0].Value, ReduceAllSum(u.Student.Vars["bn1.running_mean"])}, o.Grads...)
				for i, g := range o.Grads {
					k := ZerosLike(g)
					if o.Keep != nil && o.Keep[i] != nil {
						k = ConvertDType(o.Keep[i], g.DType())
					}
					out = append(out, k)
				}
				return out
			})
			return out[0][0], out[1][0], out[2 : 2+len(names)], out[2+len(names):]
		}

		plainLoss, _, grads, _ := evaluate(student)
		v := map[string][]float64{}
		var wantNames []string
		for _, tensor := range student.list {
			if !hasWeights(tensor) {
				continue
			}
			i := slices.Index(names, tensor.Name)
			scale := gamma * norm64(weights[i]) / (norm64(grads[i]) + 1e-20)
			v[tensor.Name] = make([]float64, len(weights[i]))
			for k, g := range grads[i] {
				v[tensor.Name][k] = scale * g
			}
			wantNames = append(wantNames, tensor.Name)
		}
		slices.Sort(wantNames)
		if sorted := slices.Sorted(slices.Values(perturbed)); !slices.Equal(sorted, wantNames) {
			t.Fatalf("%s: perturbs %v, want %v", method, sorted, wantNames)
		}
		for i, name := range perturbed {
			by, w := got[3+2*len(names)+i], weights[slices.Index(names, name)]
			mltest.Close(t, method+": perturbation of "+name, by, v[name], 1e-13, 1e-9)
			if ratio := norm64(by) / norm64(w); math.Abs(ratio-gamma) > 1e-12 {
				t.Errorf("%s: %s is perturbed by %v of its norm, want %v", method, name, ratio, gamma)
			}
		}
		loss, mean, grads, keep := evaluate(student.shifted(t, v))
		mltest.Close(t, method+": losses", []float64{got[0][0], got[1][0]}, []float64{loss, plainLoss}, 1e-12, 0)
		var sum float64
		for _, x := range got[2] {
			sum += x
		}
		mltest.Close(t, method+": running statistics", []float64{sum}, []float64{mean}, 1e-12, 0)
		if want := plainPasses[method]; tracked != want {
			t.Errorf("%s: %d passes move running statistics, want %d", method, tracked, want)
		}
		conserved := 0
		for i, name := range names {
			at := slices.Clone(weights[i])
			for k := range v[name] {
				at[k] += v[name][k]
			}
			wantW, wantV := sgdOnHost(at, grads[i], wave(name, len(at)), lr, c.SGD)
			for k := range wantW {
				if v[name] != nil {
					wantW[k] -= v[name][k]
				}
				if keep[i][k] != 0 {
					conserved++
					wantW[k], wantV[k] = weights[i][k], wave(name, len(at))[k]
					if got[3+2*i][k] != weights[i][k] {
						t.Fatalf("%s: %s[%d] is conserved, but moved from %v to %v", method, name, k, weights[i][k], got[3+2*i][k])
					}
				}
			}
			mltest.Close(t, fmt.Sprintf("%s: %s", method, name), got[3+2*i], wantW, 1e-11, 1e-9)
			mltest.Close(t, fmt.Sprintf("%s: velocity of %s", method, name), got[3+2*i+1], wantV, 1e-10, 1e-8)
		}
		if (conserved > 0) != (method == "cure") {
			t.Errorf("%s: %d weights are conserved", method, conserved)
		}
	}
}

// plainPasses is how many passes in mode T the update of a method has.
var plainPasses = map[string]int{"natural": 1, "at": 1, "trades": 2, "cure": 2}

// TestAWPZero: with gamma 0 the wrapper takes the plain step, bit for bit.
func TestAWPZero(t *testing.T) {
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(3)
	for _, method := range []string{"trades", "cure"} {
		c := smallConfig(method)
		plain, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		step := func(m Method) [][]float64 {
			return onGraph(t, m, student, other, b, func(u *Update) (out []*Node) {
				velocity := setWaves(u)
				u.apply(m.Update(u), c.SGD)
				for _, name := range u.Names {
					out = append(out, u.Student.Vars[name], velocity[name])
				}
				return append(out, u.Student.Vars["bn1.running_var"])
			})
		}
		want, got := step(plain), step(AWPConfig{}.wrap(plain))
		for i := range want {
			if !slices.Equal(want[i], got[i]) {
				t.Fatalf("%s: output %d differs", method, i)
			}
		}
	}
}

// TestPerturbationStarts: before its start epoch a perturbed run is the plain run to the bit, in the programs of the
// plain method; from there on it is another. CURE's own warm-up and its count of steps stay.
func TestPerturbationStarts(t *testing.T) {
	c := smallConfig("cure")
	c.Epochs, c.EvalEvery, c.Attack.Steps, c.Cure.WarmupEpochs = 3, 0, 1, 1
	c.SGD.Momentum, c.SGD.Nesterov = 0, false
	record := func(c Config) (states []string, r *run) {
		x := trial{config: c, sets: smallSets(t), hook: func(r *run, _ int) {
			v, err := r.memory.host("student/conv1.weight")
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, fmt.Sprint(v))
		}, prepare: func(now *run) { r = now }}
		x.whole(t)
		return states, r
	}
	want, _ := record(c)
	for name, change := range map[string]func(*Config){
		"awp": func(c *Config) { c.AWP = AWPConfig{Gamma: 0.01, Start: 2} },
		"rwp": func(c *Config) { c.RWP = RWPConfig{Gamma: 0.01, Start: 2, Rounds: 1, Threshold: 10} },
	} {
		changed := c
		change(&changed)
		got, r := record(changed)
		for i := range want {
			if plain := i < 6; (got[i] == want[i]) != plain {
				t.Errorf("%s: weights after step %d are those of the plain run: %v, want %v", name, i+1, got[i] == want[i], plain)
			}
		}
		if len(r.phases) != 3 || r.phases[1].start != 3 || r.phases[2].start != 3 || r.phases[2].from != 2 {
			t.Fatalf("%s: phases %+v", name, r.phases)
		}
		if p := r.phases[1]; p.ascend != nil || slices.ContainsFunc(p.update.reads, func(s string) bool { return strings.HasPrefix(s, cellPrefix) }) {
			t.Errorf("%s: the phase before it reads %v", name, p.update.reads)
		}
	}
	// a start inside the natural warm-up is the end of that
	c.AWP = AWPConfig{Gamma: 0.01}
	method, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := c.phases(method); err != nil || len(list) != 2 || list[1].from != 1 {
		t.Errorf("phases %+v, %v", list, err)
	}
}

// TestPerturbationFrozen: what is frozen is not perturbed.
func TestPerturbationFrozen(t *testing.T) {
	c := smallConfig("at")
	c.Layerwise.Train = "5"
	if list := perturbable(c.Arch, c.trained()); len(list) != 1 || list[0].Name != "linear.weight" {
		t.Errorf("with all but the classifier frozen, %v would be perturbed", list)
	}
	c.RWP.Gamma = 0.01
	if m, err := NewMethod(c); err != nil || len(m.Cells) != 1 {
		t.Errorf("cells %v, %v", m.Cells, err)
	}
}
