package cureml

import (
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data"
	"cure/data/mini"
)

// compiled64 compiles fn once for a student in float64 on the Go backend; the result runs it on any inputs.
func compiled64(t testing.TB, student net64, fn func(net *nn.Net, in []*Node) []*Node) func(in ...any) [][]float64 {
	t.Helper()
	exec, err := NewExec(mltest.GoBackend(t), func(in []*Node) []*Node {
		net := &nn.Net{Arch: nn.Arch{Name: "resnet18", Width: 2, Classes: 10}, Vars: map[string]*Node{}}
		for i, tensor := range student.list {
			net.Vars[tensor.Name] = in[i]
		}
		return fn(net, in[len(student.list):])
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exec.Finalize)
	return func(in ...any) (values [][]float64) {
		t.Helper()
		var args []any
		for _, v := range student.values {
			args = append(args, v)
		}
		outputs, err := exec.Call(append(args, in...)...)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range outputs {
			v, err := tensors.CopyFlatData[float64](o)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		return values
	}
}

// images64 are images in float64, [B, 32, 32, 3].
func images64(v []float64) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(v, len(v)/3072, 32, 32, 3)
}

// friends are images for the early-stopped attack on a small network: labels that it predicts, but for every fourth
// image, and start noise of both kinds.
type friends struct {
	student net64
	x       []float64
	y       []int32
	uniform []float64 // within eps
	normal  []float64 // of deviation 0.001
}

const (
	friendsEps    = 0.05
	friendsStep   = 0.01
	friendsRounds = 4
)

func newFriends(t testing.TB, n int) friends {
	t.Helper()
	f := friends{student: newNet64(t, 4), x: make([]float64, n*3072)}
	set, rng := mini.Test(), data.Stream(2, "friends")
	for i := range f.x {
		f.x[i] = float64(set.Images[i]) / 255
		f.uniform = append(f.uniform, friendsEps*(2*rng.Float64()-1))
		f.normal = append(f.normal, 0.001*rng.NormFloat64())
	}
	logits := func() []float64 {
		return compiled64(t, f.student, func(net *nn.Net, in []*Node) []*Node { return []*Node{net.Forward(nn.Eval, in[0])} })(images64(f.x))[0]
	}
	// A random network predicts one class for nearly all images, by far: without the mean of the logits, it is in doubt.
	z, bias := logits(), make([]float64, 10)
	for i, v := range z {
		bias[i%10] -= v / float64(n)
	}
	at := slices.IndexFunc(f.student.list, func(t nn.Tensor) bool { return t.Name == "linear.bias" })
	old, err := tensors.CopyFlatData[float64](f.student.values[at])
	if err != nil {
		t.Fatal(err)
	}
	for k := range bias {
		bias[k] += old[k]
	}
	f.student.values[at] = tensors.FromFlatDataAndDimensions(bias, 10)
	z = logits()
	for i := range n {
		y := argmax64(z[10*i : 10*i+10])
		if i%4 == 3 {
			y = (y + 1) % 10
		}
		f.y = append(f.y, int32(y))
	}
	return f
}

func argmax64(v []float64) (best int) {
	for k := range v {
		if v[k] > v[best] {
			best = k
		}
	}
	return best
}

// noise is what a method starts with.
func (f friends) noise(m Method) []float64 {
	if m.Inner.PGD.Start == attacks.Normal {
		return f.normal
	}
	return f.uniform
}

// config is a method with the attack of friends.
func (f friends) config(method string, change func(*Config)) Config {
	c := smallConfig(method)
	c.Attack.Eps, c.Attack.StepSize, c.Attack.Steps = friendsEps, friendsStep, friendsRounds
	if change != nil {
		change(&c)
	}
	return c
}

// attack runs all rounds of a method's attack for a τ, and returns the state: iterate, what is left of τ, steps taken.
func (f friends) attack(t testing.TB, c Config) func(tau int) [][]float64 {
	t.Helper()
	m, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	run := compiled64(t, f.student, func(net *nn.Net, in []*Node) []*Node {
		u := testUpdate(m, net, net, in)
		u.scalars["tau"] = in[3]
		state := m.Inner.begin(&u.Frame, in[1])
		for round := range m.Inner.PGD.Steps {
			u.scalars["round"] = ConstAs(u.X, round)
			state = m.Inner.step(&u.Frame, state)
		}
		return state
	})
	return func(tau int) [][]float64 {
		return run(images64(f.x), images64(f.noise(m)), tensors.FromFlatDataAndDimensions(f.y, len(f.y)), float64(tau))
	}
}

// released is the early-stopped PGD of earlystop.py for one image, on the host: look gives logits and the gradient of the
// attack's loss at an iterate, omega is ω·N(0,1) for each round. It returns the image and how many steps it took.
func released(x, start []float64, y int32, tau int, look func(adv []float64) (logits, grad []float64), omega [][]float64) (adv []float64, steps int) {
	adv, control := slices.Clone(start), tau
	for k := friendsRounds; k > 0; k-- {
		logits, grad := look(adv)
		if argmax64(logits) != int(y) {
			if control == 0 {
				return adv, steps
			}
			control--
		}
		for i := range adv {
			var sign float64
			if grad[i] > 0 {
				sign = 1
			} else if grad[i] < 0 {
				sign = -1
			}
			adv[i] += friendsStep * sign
			if omega != nil {
				adv[i] += omega[friendsRounds-k][i]
			}
			adv[i] = min(max(adv[i], x[i]-friendsEps), x[i]+friendsEps)
			adv[i] = min(max(adv[i], 0), 1)
		}
		steps++
	}
	return adv, steps
}

// TestEarlyStopping compares the attack on a batch with the released algorithm, image by image on the host, with the same
// network and the same noise.
func TestEarlyStopping(t *testing.T) {
	const n, omega = 6, 0.01
	f := newFriends(t, n)
	// One image: losses are written out here.
	look := func(loss string) func(in ...any) [][]float64 {
		return compiled64(t, f.student, func(net *nn.Net, in []*Node) []*Node {
			x, adv, isY := in[0], in[1], in[2]
			logits := net.Forward(nn.Eval, adv)
			logQ := Log(Softmax(logits, -1))
			objective := Neg(ReduceAllSum(Mul(isY, logQ)))
			if loss == "kl" {
				p := Softmax(net.Forward(nn.Eval, x), -1)
				objective = ReduceAllSum(Mul(p, Sub(Log(p), logQ)))
			}
			return []*Node{logits, Gradient(objective, adv)[0]}
		})
	}
	looks := map[string]func(in ...any) [][]float64{"ce": look("ce"), "kl": look("kl")}
	normals := MustNewExec(mltest.GoBackend(t), func(keys *Node) *Node { return attacks.KeyedNormal(keys, 3072) })
	defer normals.Finalize()
	keyed := make([][][]float64, n) // by image and round; testUpdate gives image i the keys (i, i)
	for round := range friendsRounds {
		keys := make([]uint32, 2*n)
		for i := range keys {
			keys[i] = uint32(i/2 + round)
		}
		v, err := tensors.CopyFlatData[float32](normals.MustCall(tensors.FromFlatDataAndDimensions(keys, n, 2))[0])
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			row := make([]float64, 3072)
			for k := range row {
				row[k] = omega * float64(v[3072*i+k])
			}
			keyed[i] = append(keyed[i], row)
		}
	}
	for _, tc := range []struct {
		method, loss string
		omega        float64
		taus         []int
	}{
		{"fat", "ce", 0, []int{0, 1, 2, 3, 4, 5}},
		{"fat", "ce", omega, []int{0, 2}},
		{"fat-trades", "kl", 0, []int{0, 1}},
		{"fat-mart", "ce", omega, []int{0}},
	} {
		c := f.config(tc.method, func(c *Config) { c.Fat.Omega = tc.omega })
		m, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		attack, noise := f.attack(t, c), f.noise(m)
		for _, tau := range tc.taus {
			state, seen := attack(tau), map[int]bool{}
			for i := range n {
				image := func(v []float64) []float64 { return v[3072*i : 3072*i+3072] }
				x, start := image(f.x), slices.Clone(image(noise))
				for k := range start {
					start[k] = min(max(x[k]+start[k], 0), 1)
				}
				isY := make([]float64, 10)
				isY[f.y[i]] = 1
				var drawn [][]float64
				if tc.omega > 0 {
					drawn = keyed[i]
				}
				want, steps := released(x, start, f.y[i], tau, func(adv []float64) (logits, grad []float64) {
					out := looks[tc.loss](images64(x), images64(slices.Clone(adv)), tensors.FromFlatDataAndDimensions(isY, 1, 10))
					return out[0], out[1]
				}, drawn)
				mltest.Close(t, tc.method+": image", image(state[0]), want, 1e-13, 0)
				if int(state[2][i]) != steps {
					t.Errorf("%s, omega %g, tau %d: image %d took %v steps, want %d", tc.method, tc.omega, tau, i, state[2][i], steps)
				}
				if done := state[1][i] < 0; done != (steps < friendsRounds) {
					t.Errorf("%s, omega %g, tau %d: image %d is done: %v after %d steps", tc.method, tc.omega, tau, i, done, steps)
				}
				if steps == 0 && !slices.Equal(image(state[0]), start) {
					t.Errorf("%s, omega %g, tau %d: image %d is misclassified at its start, and was changed", tc.method, tc.omega, tau, i)
				}
				seen[steps] = true
			}
			if tau == 0 && (!seen[0] || len(seen) < 3) {
				t.Errorf("%s, omega %g: images take %v steps: the test needs some that stop at once, later, and latest", tc.method, tc.omega, seen)
			}
		}
	}
}

// TestFriendlyIdentities: with a τ of all rounds, the attack is PGD; in a ball without content it returns the images.
func TestFriendlyIdentities(t *testing.T) {
	f := newFriends(t, 4)
	pgd := f.attack(t, f.config("at", nil))(0)[0]
	friendly := f.attack(t, f.config("fat", func(c *Config) { c.Fat.Omega = 0 }))
	for _, tau := range []int{friendsRounds, friendsRounds + 3} {
		if !slices.Equal(friendly(tau)[0], pgd) {
			t.Errorf("tau %d: not the iterate of PGD", tau)
		}
	}
	if slices.Equal(friendly(friendsRounds - 1)[0], pgd) {
		t.Error("one less than all rounds stops no image, which the test needs")
	}
	for _, method := range []string{"fat", "fat-trades", "fat-mart"} {
		attack := f.attack(t, f.config(method, func(c *Config) { c.Attack.Eps = 0 }))
		for _, tau := range []int{0, 2} {
			if !slices.Equal(attack(tau)[0], f.x) {
				t.Errorf("%s, tau %d: eps 0 changes images", method, tau)
			}
		}
	}
}

// TestFriendlyPrograms watches the compiled attack: τ reaches it from the host, and every round has noise of its own.
func TestFriendlyPrograms(t *testing.T) {
	perturb := func(c Config, at Progress) (x, adv []float32, b *batch) {
		t.Helper()
		m, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		memory, _, err := newMemory(smallStart(t, c), c, m)
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Free()
		p, err := newPrograms(mltest.GoBackend(t), c, m, memory)
		if err != nil {
			t.Fatal(err)
		}
		defer p.finalize()
		b = newBatcher(c, smallSets(t), m).at(0)
		a, err := p.perturb(b, at)
		if err != nil {
			t.Fatal(err)
		}
		defer a.free()
		for _, v := range []*tensors.Tensor{a.x, a.rest[a.state]} {
			flat, err := tensors.CopyFlatData[float32](v)
			if err != nil {
				t.Fatal(err)
			}
			x, adv = adv, flat
		}
		return x, adv, b
	}
	early, late := Progress{Step: 0, Total: 10, PerEpoch: 5}, Progress{Step: 9, Total: 10, PerEpoch: 5}

	c := smallConfig("fat")
	c.Attack.Steps, c.Fat = 3, FatConfig{Raise: []float64{.5, .6, .7}} // τ 0, and 3 in the end
	_, pgd, _ := perturb(func() Config { at := smallConfig("at"); at.Attack = c.Attack; return at }(), late)
	if _, adv, _ := perturb(c, late); !slices.Equal(adv, pgd) {
		t.Error("late in the run, the attack is not PGD")
	}
	if _, adv, _ := perturb(c, early); slices.Equal(adv, pgd) {
		t.Error("early in the run, the attack stops no image")
	}

	c.Attack.From, c.Attack.StepSize, c.Fat = "none", 0, FatConfig{Tau: 3, Omega: 0.002}
	x, adv, b := perturb(c, early)
	sums := MustNewExec(mltest.GoBackend(t), func(keys *Node) *Node {
		sum := attacks.KeyedNormal(keys, 3072)
		for round := range 2 {
			sum = Add(sum, attacks.KeyedNormal(Add(keys, Scalar(keys.Graph(), dtypes.Uint32, round+1)), 3072))
		}
		return sum
	})
	defer sums.Finalize()
	normal, err := tensors.CopyFlatData[float32](sums.MustCall(b.keys)[0])
	if err != nil {
		t.Fatal(err)
	}
	var got, want []float32
	for i, v := range x {
		if v > 0.1 && v < 0.9 { // walls are far
			got, want = append(got, adv[i]-v), append(want, 0.002*normal[i])
		}
	}
	mltest.Close(t, "noise of three rounds", got, want, 1e-6, 0)
	if len(got) < len(x)/2 {
		t.Errorf("only %d of %d pixels compared", len(got), len(x))
	}
}

// TestTau compares τ with the published schedules, in epochs counted from 1.
func TestTau(t *testing.T) {
	for method, published := range map[string]struct {
		epochs int
		last   []int // epoch of each τ
	}{
		"fat": {120, []int{50, 90, 120}}, "fat-trades": {85, []int{30, 50, 70, 85}}, "fat-mart": {90, []int{20, 40, 60, 80, 90}},
	} {
		c := Defaults(method)
		for _, perEpoch := range []int{1, 3, 390, 391} {
			for epoch := 1; epoch <= published.epochs; epoch++ {
				want := slices.IndexFunc(published.last, func(last int) bool { return epoch <= last })
				for _, step := range []int{(epoch - 1) * perEpoch, epoch*perEpoch - 1} {
					if got := c.Fat.tau(Progress{Step: step, Total: published.epochs * perEpoch, PerEpoch: perEpoch}); got != float64(want) {
						t.Fatalf("%s: tau %v at step %d of epoch %d, want %d", method, got, step, epoch, want)
					}
				}
			}
		}
		seen := map[float64]bool{}
		for step := range 6 * 40 {
			seen[c.Fat.tau(Progress{Step: step, Total: 6 * 40, PerEpoch: 40})] = true
		}
		if len(seen) != len(published.last) {
			t.Errorf("%s: a run of 6 epochs has τ in %v, want %d values", method, seen, len(published.last))
		}
	}
	c := smallConfig("fat")
	if err := c.Set("fat.raise", "[]"); err != nil {
		t.Fatal(err)
	}
	c.Fat.Tau = 7
	if got := c.Fat.tau(Progress{Step: 9, Total: 10, PerEpoch: 1}); got != 7 {
		t.Errorf("without a schedule τ is %v, want 7", got)
	}
}

// TestFriendlyResumes: noise and τ of a resumed run are those of an uninterrupted one.
func TestFriendlyResumes(t *testing.T) {
	c := smallConfig("fat-mart")
	c.Fat.Omega = 0.01
	resumes(t, c, 4)
}
