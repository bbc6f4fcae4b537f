package cureml

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/optim"
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
	once, _ := meanAfterStep(t, small("natural"))
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
		mean, tracked := meanAfterStep(t, c)
		for i := range mean {
			got := math.Log(1-float64(mean[i])/(10*float64(once[i]))) / math.Log(0.9)
			if math.Abs(got-tc.passes) > 1e-3 {
				t.Errorf("%s: the running mean of channel %d has seen %.3f passes, want %v", tc.name, i, got, tc.passes)
			}
		}
		if float64(tracked) != tc.passes {
			t.Errorf("%s: %d passes are counted, want %v", tc.name, tracked, tc.passes)
		}
	}
}

// meanAfterStep runs one compiled step and returns the running mean of the first norm and the number of passes counted.
func meanAfterStep(t *testing.T, c Config) ([]float32, int64) {
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
	if _, err := p.run(b, Progress{Total: 6, PerEpoch: 3}); err != nil {
		t.Fatal(err)
	}
	mean, err := memory.host("student/bn1.running_mean")
	if err != nil {
		t.Fatal(err)
	}
	return mean, p.tracked()
}

// TestRiceLogs: the clean pass of face rice comes after the optimiser's step, so its statistics are those of new weights.
func TestRiceLogs(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(3)
	c := smallConfig("at")
	c.At.Face = "rice"
	const stat = "layer1.0.bn1.running_var"
	out := onGraph(t, AT(c), student, student, b, func(u *Update) []*Node {
		old := fork(u.Student)
		u.velocities = map[string]map[string]*Node{"student": {}}
		for _, name := range u.Names {
			u.velocities["student"][name] = ZerosLike(u.Student.Vars[name])
		}
		o := AT(c).Update(u)
		u.apply(o, optim.SGD{})
		fresh := fork(u.Student)
		terms := o.After()

		for range 2 {
			old.Forward(nn.Train, u.Adv)
		}
		early := fork(old) // what a pass before the step would leave
		early.Forward(nn.Train, u.X)
		for _, name := range u.Names {
			old.Vars[name] = fresh.Vars[name]
		}
		logits := old.Forward(nn.Train, u.X)
		return []*Node{u.Student.Vars[stat], old.Vars[stat], early.Vars[stat], terms[0].Value, accuracy(logits, u.Y)}
	})
	mltest.Close(t, stat, out[0], out[1], 1e-14, 0)
	if math.Abs(out[0][0]-out[2][0]) < 1e-6 {
		t.Error("new and old weights leave the same statistics: the test cannot tell them apart")
	}
	mltest.Close(t, "train_accuracy", out[3], out[4], 0, 0)
}
