package cureml

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/data"
)

// smallStrategist is a strategist of a small run, and a batch of it.
func smallStrategist(t *testing.T, c Config) (*strategist, *batch) {
	t.Helper()
	m := Las(c)
	m.before = nil
	memory, _, err := newMemory(smallStart(t, c), c, m)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPrograms(mltest.GoBackend(t), c, m, memory)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStrategist(newLas(c), p)
	if err != nil {
		t.Fatal(err)
	}
	b := newBatcher(c, smallSets(t), m).at(0)
	t.Cleanup(func() {
		b.free()
		s.close()
		p.finalize()
		memory.Free()
	})
	return s, b
}

// snapshot copies a whole memory.
func snapshot(t *testing.T, m *Memory) map[string][]float32 {
	t.Helper()
	all := map[string][]float32{}
	for _, name := range m.names {
		v, err := m.host(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = v
	}
	return all
}

// changed lists the roles of the tensors that differ, with their kind.
func changed(before, after map[string][]float32) (roles []string) {
	for name, v := range before {
		if slices.Equal(v, after[name]) {
			continue
		}
		role := name[:strings.LastIndex(name, "/")+1]
		role, _, _ = strings.Cut(strings.TrimPrefix(role, velocityOf), "/")
		if strings.HasPrefix(name, velocityOf) {
			role = velocityOf + role
		}
		if strings.Contains(name, "running_") {
			role += " statistics"
		}
		if !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return roles
}

// TestStrategist watches what an update of the strategy network reads and moves.
func TestStrategist(t *testing.T) {
	at := Progress{Step: 1, Total: 6, PerEpoch: 3}
	for name, c := range map[string]Config{
		"las-at": smallConfig("las-at"), lasTrades: smallConfig(lasTrades),
		"las-at in T": func() Config { c := smallConfig("las-at"); c.Attack.BN = "T"; return c }(),
	} {
		for _, face := range []string{"paper", "released"} {
			name := name + " " + face
			c.Las.Face = face
			c.Las.Rate, c.Las.ClipNorm = c.Schedule.Max, 0.25 // a rate that float32 can see
			s, b := smallStrategist(t, c)
			before := snapshot(t, s.p.memory)
			if err := s.run(b, Progress{Step: 0, Total: 6, PerEpoch: 3}); err != nil {
				t.Fatal(err)
			}
			if moved := changed(before, snapshot(t, s.p.memory)); moved != nil {
				t.Errorf("%s: between two updates %v move", name, moved)
			}
			if err := s.run(b, at); err != nil {
				t.Fatal(err)
			}
			after := snapshot(t, s.p.memory)
			want := []string{"cell", Strategy, Strategy + " statistics", velocityOf + Strategy}
			if moved := changed(before, after); !slices.Equal(moved, want) {
				t.Errorf("%s: an update moves %v, want %v", name, moved, want)
			}

			// The step is rate·(the gradient, at most ClipNorm long), which is long enough here to be cut, plus decay.
			var squares float64
			for _, tensor := range trainable(newLas(c).arch()) {
				w, now := before[Strategy+"/"+tensor], after[Strategy+"/"+tensor]
				for i := range w {
					d := float64(w[i]-now[i])/newLas(c).strategyRate(at) - c.Las.SGD.WeightDecay*float64(w[i])
					squares += d * d
				}
			}
			mltest.Close(t, name+": length of the step", []float64{math.Sqrt(squares)}, []float64{0.25}, 1e-5, 0)

			// Rewards are of the right sign and size, and the attack on θ' finds larger losses than the clean images have.
			r := after[cellPrefix+rewardsCell]
			if !(r[0] > 0 && float64(r[0]) <= c.Las.Clip) {
				t.Errorf("%s: R1 = %v", name, r[0])
			}
			robust, clean := float64(r[1])/c.Las.RobustWeight, float64(r[2])/c.Las.CleanWeight
			if face == "paper" && !(robust < clean && clean < 0) {
				t.Errorf("%s: R2 = %v and R3 = %v of weight 1, want negative losses, the robust one larger", name, robust, clean)
			}
			if eighths := 8 * clean; face == "released" && !(robust <= clean && robust >= 0 && eighths == math.Round(eighths)) {
				t.Errorf("%s: R2 = %v and R3 = %v of weight 1, want accuracies of 8 images", name, robust, clean)
			}
		}
	}
}

// TestStrategyPass: an update moves π's running statistics as one pass of the clean images in mode T does.
func TestStrategyPass(t *testing.T) {
	s, b := smallStrategist(t, smallConfig("las-at"))
	pass, err := s.p.compile("pass", s.p.memory.having(Strategy+"/"), nil, func(f *Frame, in []*Node) []*Node {
		f.Nets[Strategy].Forward(nn.Train, pixels(in[0]))
		return []*Node{f.Nets[Strategy].Vars["bn1.running_mean"], f.Nets[Strategy].Vars["layer4.1.bn2.running_var"]}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pass.finalize()
	want, err := pass.run(b.images)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.run(b, Progress{Step: 1, Total: 6, PerEpoch: 3}); err != nil {
		t.Fatal(err)
	}
	after := snapshot(t, s.p.memory)
	for i, name := range []string{"bn1.running_mean", "layer4.1.bn2.running_var"} {
		mltest.Close(t, name, after[Strategy+"/"+name], tensors.MustCopyFlatData[float32](want[i]), 1e-7, 1e-6)
	}
}

// TestVirtual looks at θ': which passes its running statistics count, the budgets of the images it is made with, and the
// choice among restarts.
func TestVirtual(t *testing.T) {
	at := Progress{Step: 1, Total: 6, PerEpoch: 3}
	const stat = "student/bn1.running_mean"
	for _, tc := range []struct {
		method, face string
		step         string // passes in mode T of the step to θ', x over clean images, a over adversarial ones
	}{{"las-at", "paper", "a"}, {"las-at", "released", "a"}, {lasTrades, "paper", "xa"}, {lasTrades, "released", "xax"}} {
		name := tc.method + " " + tc.face
		c := smallConfig(tc.method)
		c.Las.Face = tc.face
		s, b := smallStrategist(t, c)
		a, err := s.trial.perturb(b, at)
		if err != nil {
			t.Fatal(err)
		}
		actions := tensors.MustCopyFlatData[int32](a.rest[0])
		x, adv := tensors.MustCopyFlatData[float32](a.x), tensors.MustCopyFlatData[float32](a.rest[a.state])
		for i := range c.Batch {
			eps := float64(c.Las.Eps.Low+int(actions[len(s.heads)*i])) / 255
			for k := 3072 * i; k < 3072*(i+1); k++ {
				if d := math.Abs(float64(adv[k]) - float64(x[k])); d > eps+1e-7 || adv[k] < 0 || adv[k] > 1 {
					t.Fatalf("%s: image %d moves by %v, eps %v", name, i, d, eps)
				}
			}
		}
		r1, err := s.stepVirtual(b, a, at)
		if err != nil {
			t.Fatal(err)
		}
		r1.MustFinalizeAll()
		passes, err := s.p.compile("passes", s.p.memory.having(studentRole), nil, func(f *Frame, in []*Node) []*Node {
			for _, images := range tc.step {
				f.Student.Forward(nn.Train, map[rune]*Node{'x': in[0], 'a': in[1]}[images])
			}
			return []*Node{f.tensor(stat)}
		})
		if err != nil {
			t.Fatal(err)
		}
		want, err := passes.run(a.x, a.rest[a.state])
		passes.finalize()
		if err != nil {
			t.Fatal(err)
		}
		stepped := snapshot(t, s.virtual)
		mltest.Close(t, name+": statistics of θ'", stepped[stat], tensors.MustCopyFlatData[float32](want[0]), 1e-7, 1e-6)
		student := snapshot(t, s.p.memory)
		if slices.Equal(stepped["student/conv1.weight"], student["student/conv1.weight"]) {
			t.Errorf("%s: θ' is θ", name)
		}

		// Losses of two candidates alone, then one after the other.
		candidates := []*tensors.Tensor{a.x, a.rest[a.state]}
		losses := make([][]float32, 2)
		zeros := tensors.FromFlatDataAndDimensions(make([]float32, c.Batch), c.Batch)
		for i, candidate := range candidates {
			out, err := s.worse.run(b.labels, candidate, candidates[1-i], zeros)
			if err != nil {
				t.Fatal(err)
			}
			losses[i] = tensors.MustCopyFlatData[float32](out[1])
			if !slices.Equal(tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](candidate)) {
				t.Errorf("%s: a first candidate is not taken", name)
			}
		}
		out, err := s.worse.run(b.labels, candidates[1], candidates[0], tensors.FromFlatDataAndDimensions(losses[0], c.Batch))
		if err != nil {
			t.Fatal(err)
		}
		kept := tensors.MustCopyFlatData[float32](out[0])
		for i := range c.Batch {
			worse := [][]float32{x, adv}[0]
			if losses[1][i] >= losses[0][i] {
				worse = adv
			}
			if !slices.Equal(kept[3072*i:3072*(i+1)], worse[3072*i:3072*(i+1)]) {
				t.Errorf("%s: image %d: losses %v and %v, the wrong candidate is kept", name, i, losses[0][i], losses[1][i])
			}
		}

		// The attack moves running statistics of θ' in the released face alone, and nothing else anywhere.
		worst, err := s.attackVirtual(b, at, data.Stream(1, "restarts"))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range tensors.MustCopyFlatData[float32](worst) {
			if math.Abs(float64(v)-float64(x[k])) > c.Attack.Eps+1e-7 {
				t.Fatalf("%s: the attack on θ' leaves its ball", name)
			}
		}
		var moved []string
		if tc.face == "released" {
			moved = []string{"student statistics"}
		}
		if got := changed(stepped, snapshot(t, s.virtual)); !slices.Equal(got, moved) {
			t.Errorf("%s: the attack on θ' moves %v, want %v", name, got, moved)
		}
		if got := changed(student, snapshot(t, s.p.memory)); got != nil {
			t.Errorf("%s: the attack on θ' moves %v of the run", name, got)
		}
		a.free()
	}
}

// TestReleasedStep: misclassified images rest, others take a step of PGD, and passes end when there are none of those.
func TestReleasedStep(t *testing.T) {
	const n = 8
	student, other, b := newNet64(t, 1), newNet64(t, 2), newBatch64(n)
	c := smallConfig("las-at")
	c.Las.Face = "released"
	pgd := newLas(c).attackOnVirtual().PGD
	const stat = "layer1.0.bn1.running_var"
	got := onGraph(t, Natural(c), student, other, b, func(u *Update) (out []*Node) {
		step := func(y *Node, live bool) {
			f := u.Frame
			f.Student, f.Y = fork(u.Student), y
			state := releasedStep(pgd, &f, []*Node{u.X, Const(u.X.Graph(), live)})
			out = append(out, state[0], f.Student.Vars[stat], ConvertDType(Reshape(state[1], 1), u.X.DType()))
		}
		logits := fork(u.Student).Forward(nn.Train, u.X)
		top := ArgMax(logits, -1, u.Y.DType())
		half := Where(LessThan(Iota(u.X.Graph(), u.Y.Shape(), 0), Const(u.X.Graph(), int32(n/2))), top, ModScalar(AddScalar(top, 1), 10))
		step(half, true)
		step(ModScalar(AddScalar(top, 1), 10), true)
		step(half, false)
		passed := fork(u.Student)
		next := pgd.Step(u.X, u.X, func(adv *Node) *Node {
			return pgd.Objective(passed.Forward(nn.Train, adv), half, nil)
		})
		return append(out, u.X, next, u.Student.Vars[stat], passed.Vars[stat])
	})
	x, next, still, passed := got[9], got[10], got[11], got[12]
	mltest.Close(t, "images that are right", got[0][:n/2*3072], next[:n/2*3072], 0, 0)
	mltest.Close(t, "images that are wrong", got[0][n/2*3072:], x[n/2*3072:], 0, 0)
	mltest.Close(t, "statistics", got[1], passed, 0, 0)
	mltest.Close(t, "all wrong: images", got[3], x, 0, 0)
	mltest.Close(t, "all wrong: statistics", got[4], passed, 0, 0)
	mltest.Close(t, "ended: statistics", got[7], still, 0, 0)
	if got[2][0] != 1 || got[5][0] != 0 || got[8][0] != 0 {
		t.Errorf("passes go on: %v, %v, %v, want 1 while an image is right, 0 after", got[2], got[5], got[8])
	}
	if slices.Equal(next, x) || slices.Equal(still, passed) {
		t.Error("the test needs a step that moves")
	}
}

// TestLasRewards compares the rewards of network O on records 0 to 63 and their PGD-10 images with PyTorch's, where θ' is
// one step of size 0.1 on their cross entropy without decay, and R2 is taken on the same images.
func TestLasRewards(t *testing.T) {
	var file struct {
		PGD struct {
			Values map[string]float64 `json:"values"`
		} `json:"with_x_adv_pgd"`
	}
	readFixture(t, filepath.Join(torchFolder, "losses.json"), &file)
	backend := mltest.XLA(t)
	x, adv, y := records(t, 64)
	o := networkO(t)
	for face, names := range map[string][3]string{
		"paper":    {"las_R1_ce_adv_eval", "las_R2_paper_minus_ce_adv_after_step", "las_R3_paper_minus_ce_nat_after_step"},
		"released": {"las_R1_ce_adv_eval", "las_acc_adv_after_step", "las_acc_nat_after_step"},
	} {
		c := Defaults("las-at")
		c.Arch, c.Schedule, c.SGD = resnet16, optim.Schedule{Kind: "constant", Max: 0.1}, optim.SGD{}
		c.Las.Face, c.Las.Target, c.Las.RobustWeight, c.Las.CleanWeight = face, 1, 2, 4
		m := Las(c)
		memory, _, err := newMemory(o, c, m)
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Free()
		p, err := newPrograms(backend, c, m, memory)
		if err != nil {
			t.Fatal(err)
		}
		defer p.finalize()
		s, err := newStrategist(newLas(c), p)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		s.trial.contexts = 1 // the images are given, so that the program that would tell is not run
		b := &batch{labels: y, keys: tensors.FromFlatDataAndDimensions(make([]uint32, 128), 64, 2)}
		actions := tensors.FromFlatDataAndDimensions(make([]int32, 64*3), 64, 3)
		r1, err := s.stepVirtual(b, &attacked{x: x, rest: []*tensors.Tensor{actions, adv}, state: 1}, Progress{Total: 1, PerEpoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		rewards, err := s.judge.run(y, r1, x, adv)
		if err != nil {
			t.Fatal(err)
		}
		got := tensors.MustCopyFlatData[float32](rewards[0])
		for i, name := range names {
			want, ok := file.PGD.Values[name]
			if !ok {
				t.Fatalf("no reference value %s", name)
			}
			mltest.Close(t, name, got[i:i+1], []float64{[]float64{1, 2, 4}[i] * want}, 0, 2e-5)
		}
		if face == "paper" {
			mltest.Close(t, "sum", []float32{got[0] + got[1] + got[2]}, []float64{file.PGD.Values["las_total_paper_R1+2R2+4R3"]}, 0, 2e-5)
		}
	}
}

// TestLasInterrupted: runs that stop before and after an update of the strategy network end in the same bits.
func TestLasInterrupted(t *testing.T) {
	for method, stops := range map[string][]int{"las-at": {1}, lasTrades: {2, 3}} { // the second and fourth step update it
		c := smallConfig(method)
		c.EvalEvery = 0
		c.Las.Rate = 0.1 // for the strategy network to matter
		whole := filepath.Join(t.TempDir(), "whole")
		trainSmall(t, c, whole, false)
		want := outcome(t, whole) + strategyFile(t, whole)
		for _, stop := range stops {
			dir := filepath.Join(t.TempDir(), "stopped")
			err := stopped(t, c, dir, stop)
			if !errors.Is(err, ErrInterrupted) {
				t.Fatalf("%s stopped after step %d: %v", method, stop, err)
			}
			trainSmall(t, c, dir, true)
			if outcome(t, dir)+strategyFile(t, dir) != want {
				t.Errorf("%s stopped after step %d: the resumed run differs from an uninterrupted one", method, stop)
			}
		}
	}
}

func strategyFile(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, Strategy+weightsSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestStrategyNetwork: its size follows the student's, it is read back from a run, and its rate falls as the student's.
func TestStrategyNetwork(t *testing.T) {
	for _, tc := range []struct {
		method, student string
		width, set      int
		want            nn.Arch
	}{
		{"las-at", "resnet18", 64, 0, nn.Arch{Name: "resnet18", Width: 64, Classes: 13 + 12 + 5}},
		{"las-at", "wrn-34-10", 16, 0, nn.Arch{Name: "resnet18", Width: 64, Classes: 30}},
		{"las-at", "resnet18", 16, 0, nn.Arch{Name: "resnet18", Width: 16, Classes: 30}},
		{"las-at", "resnet18", 16, 64, nn.Arch{Name: "resnet18", Width: 64, Classes: 30}},
		{lasTrades, "resnet18", 16, 0, nn.Arch{Name: "resnet18", Width: 16, Classes: 5 + 8 + 3 + 5}},
	} {
		c := Defaults(tc.method)
		c.Arch, c.Las.Width = nn.Arch{Name: tc.student, Width: tc.width, Classes: 10}, tc.set
		if got := newLas(c).arch(); got.Name != tc.want.Name || got.Width != tc.want.Width || got.Classes != tc.want.Classes {
			t.Errorf("%+v: strategy network %+v", tc, got)
		}
	}
	c := smallConfig("las-at")
	c.Epochs, c.EvalEvery = 1, 0
	dir := filepath.Join(t.TempDir(), "run")
	trainSmall(t, c, dir, false)
	saved, err := LoadRun(dir, Strategy)
	if err != nil || saved.Arch.Classes != 8 {
		t.Errorf("strategy network of a run: %+v, %v", saved, err)
	}
	c.Schedule, c.Las.Rate = optim.Step(0.1, 0.1, 2), 1e-4
	late := Progress{Step: 5, Total: 6, PerEpoch: 3}
	if got := newLas(c).strategyRate(late); math.Abs(got-1e-5) > 1e-12 {
		t.Errorf("rate %v after a milestone, want a tenth of 1e-4", got)
	}
	c.Las.Face = "released"
	if got := newLas(c).strategyRate(late); got != 1e-4 {
		t.Errorf("released: rate %v after a milestone, want 1e-4", got)
	}
}
