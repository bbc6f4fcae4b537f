package cureml

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// labels are those of b.
func (b batch64) labels(t testing.TB) []int32 {
	t.Helper()
	y, err := tensors.CopyFlatData[int32](b.y)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// softmaxRows turns logits [B, 10] into probabilities by image.
func softmaxRows(logits []float64) (rows [][]float64) {
	for z := range slices.Chunk(logits, 10) {
		rows = append(rows, softmax64(z))
	}
	return rows
}

// logged are the values of an outcome.
func logged(o Outcome) (values []*Node) {
	for _, term := range o.Log {
		values = append(values, term.Value)
	}
	return values
}

// TestSmoothing writes the loss with smoothed labels out: 1 - s on the true class, s/9 on the others.
func TestSmoothing(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(4)
	c := smallConfig("at")
	c.At.Smoothing = 0.3
	out := onGraph(t, AT(c), student, student, b, func(u *Update) []*Node {
		z := fork(u.Student).Forward(nn.Train, u.Adv)
		return append([]*Node{z}, logged(AT(c).Update(u))...)
	})
	want := 0.0
	for i, p := range softmaxRows(out[0]) {
		for k, v := range p {
			target := 0.3 / 9
			if int32(k) == b.labels(t)[i] {
				target = 0.7
			}
			want -= target * math.Log(v) / 4
		}
	}
	mltest.Close(t, "loss", out[1], []float64{want}, 1e-12, 0)
}

// TestPasses counts the passes in mode T of whole training steps by what they leave behind: with images that the attack
// cannot change and weights that stay, k passes move a running mean from 0 to m·(1 - 0.9^k), m being the batch's mean.
func TestPasses(t *testing.T) {
	const rounds = 2
	small := func(method string) Config {
		c := smallConfig(method)
		c.Schedule.Max, c.Augment, c.Batch = 1e-30, false, 2
		return c
	}
	const stat = "bn1.running_mean"
	once := stepOnce(t, small("natural")).student.Values[stat]
	for _, tc := range []struct {
		name   string
		method string
		set    map[string]string
		passes float64
	}{
		{"at pang", "at", nil, 1},
		{"at madry", "at", map[string]string{"at.face": "madry"}, rounds + 1},
		{"at rice", "at", map[string]string{"at.face": "rice"}, rounds + 1 + 2},
		{"at rice attacked in E", "at", map[string]string{"at.face": "rice", "attack.bn": "E"}, 2},
		{"at attacked in T0", "at", map[string]string{"attack.bn": "T0"}, 1},
		{"score", "score", nil, rounds + 1},
		{"score-trades", "score-trades", nil, 2},
		{"score-trades attacked in T", "score-trades", map[string]string{"attack.bn": "T"}, 1 + rounds + 2},
		{"score-generated", "score-generated", nil, 2},
		{"dafa", "dafa", nil, 2},
		{"adr", "adr", nil, rounds + 1},
		{"adr attacked in E", "adr", map[string]string{"attack.bn": "E"}, 1},
		{"adr-trades", "adr-trades", nil, 1 + rounds + 1},
		{"adr-trades attacked in E", "adr-trades", map[string]string{"attack.bn": "E"}, 1},
	} {
		c := small(tc.method)
		c.Attack.Eps, c.Attack.From, c.Attack.Steps = 0, "none", rounds
		for path, value := range tc.set {
			if err := c.Set(path, value); err != nil {
				t.Fatal(err)
			}
		}
		s := stepOnce(t, c)
		for i, mean := range s.student.Values[stat] {
			got := math.Log(1-float64(mean)/(10*float64(once[i]))) / math.Log(0.9)
			if math.Abs(got-tc.passes) > 1e-3 {
				t.Errorf("%s: the running mean of channel %d has seen %.3f passes, want %v", tc.name, i, got, tc.passes)
			}
		}
		if float64(s.tracked) != tc.passes {
			t.Errorf("%s: %d passes are counted, want %v", tc.name, s.tracked, tc.passes)
		}
	}
}

// stepped is what one compiled step leaves: the student, the numbers logged and the passes counted.
type stepped struct {
	student *nn.State
	logged  map[string]float32
	tracked int64
}

func stepOnce(t *testing.T, c Config) (s stepped) {
	t.Helper()
	method, err := NewMethod(c)
	if err != nil {
		t.Fatal(err)
	}
	memory, _, err := newMemory(smallStart(t, c), c, method)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Free()
	p, err := newPrograms(mltest.GoBackend(t), c, method, memory)
	if err != nil {
		t.Fatal(err)
	}
	defer p.finalize()
	b := newBatcher(c, smallSets(t), method).at(0)
	defer b.free()
	numbers, err := p.run(b, Progress{Total: 6, PerEpoch: 3})
	if err != nil {
		t.Fatal(err)
	}
	s.logged = map[string]float32{}
	for i, name := range p.logged {
		s.logged[name] = numbers[i]
	}
	s.tracked = p.tracked()
	if s.student, err = memory.state(Student, 0); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRiceLogs: the clean pass of face rice comes after the optimiser's step, so its statistics and its accuracy are those
// of the new weights. The attack cannot change images here and runs in mode E, so the step's passes are x, step, x.
func TestRiceLogs(t *testing.T) {
	c := smallConfig("at")
	c.At.Face, c.Attack.BN, c.Attack.From, c.Attack.Eps, c.Attack.Steps = "rice", "E", "none", 0, 1
	c.Schedule.Max, c.Augment = 1, false
	got, old := stepOnce(t, c), smallStart(t, c)
	var args []any
	for _, s := range []*nn.State{old, got.student} {
		for _, tensor := range s.Tensors {
			args = append(args, tensors.FromFlatDataAndDimensions(s.Values[tensor.Name], tensor.Shape...))
		}
	}
	b := newBatcher(c, smallSets(t), AT(c)).at(0)
	defer b.free()
	const stat = "layer1.0.bn1.running_var"
	exec := MustNewExec(mltest.GoBackend(t), func(in []*Node) []*Node {
		n := len(old.Tensors)
		x, y := pixels(in[2*n]), in[2*n+1]
		net := &nn.Net{Arch: c.Arch, Vars: map[string]*Node{}}
		for i, tensor := range old.Tensors {
			net.Vars[tensor.Name] = in[i]
		}
		net.Forward(nn.Train, x)
		early := fork(net) // a second pass before the step
		early.Forward(nn.Train, x)
		for i, tensor := range old.Tensors {
			if tensor.Kind.Trainable() {
				net.Vars[tensor.Name] = in[n+i]
			}
		}
		logits := net.Forward(nn.Train, x)
		return []*Node{net.Vars[stat], early.Vars[stat], accuracy(logits, y)}
	})
	defer exec.Finalize()
	var want [][]float32
	for _, v := range exec.MustCall(append(args, b.images, b.labels)...) {
		if v.Shape().IsScalar() {
			want = append(want, []float32{v.Value().(float32)})
			continue
		}
		want = append(want, v.Value().([]float32))
	}
	mltest.Close(t, stat, got.student.Values[stat], want[0], 0, 1e-5)
	if math.Abs(float64(want[0][0]-want[1][0])) < 1e-3*float64(want[0][0]) {
		t.Error("new and old weights leave the same statistics: the test cannot tell them apart")
	}
	mltest.Close(t, "train_accuracy", []float32{got.logged["train_accuracy"]}, want[2], 0, 0)
}
