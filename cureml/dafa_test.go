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
	"cure/data"
)

// TestClassWeights has three classes with M = (.5 .3 .2; .1 .8 .1; .2 .1 .7), worked out by hand. With λ = 1:
//
//	class 0 is weaker than both:            1 + .3·.8 + .2·.7 = 1.38
//	class 1 is stronger than both:          1 - .3·.8 - .1·.8 = .68
//	class 2 is stronger than 0, weaker than 1:  1 - .2·.7 + .1·.8 = .94
func TestClassWeights(t *testing.T) {
	m := [][]float64{{.5, .3, .2}, {.1, .8, .1}, {.2, .1, .7}}
	for _, tc := range []struct {
		name   string
		m      [][]float64
		counts []float64
		lambda float64
		want   []float64
	}{
		{"lambda 1", m, []float64{10, 20, 5}, 1, []float64{1.38, .68, .94}},
		{"lambda 1.5", m, []float64{10, 20, 5}, 1.5, []float64{1.57, .52, .91}},
		{"lambda 0", m, []float64{10, 20, 5}, 0, []float64{1, 1, 1}},
		{"no images of class 1", m, []float64{10, 0, 5}, 1, []float64{1 + .2*.7, 1, 1 - .2*.7}},
		// All is taken for class 0: 1 - .9·1 - .9·1 < 0.
		{"collapsed", [][]float64{{1, 0, 0}, {.9, .1, 0}, {.9, 0, .1}}, []float64{4, 4, 4}, 1, []float64{0, 1.9, 1.9}},
	} {
		sums := make([][]float64, 3)
		for i, row := range tc.m {
			for _, v := range row {
				sums[i] = append(sums[i], v*tc.counts[i])
			}
		}
		exec := MustNewExec(mltest.GoBackend(t), func(sums, counts *Node) *Node { return classWeights(sums, counts, tc.lambda) })
		got, err := tensors.CopyFlatData[float64](exec.MustCall(sums, tc.counts)[0])
		if err != nil {
			t.Fatal(err)
		}
		mltest.Close(t, tc.name, got, tc.want, 1e-14, 0)
		exec.Finalize()
	}
}

// classMatrix is a class matrix of ten classes of different strength, and the weights that follow from it by the formula.
func classMatrix(lambda float64) (m [][]float64, w []float64) {
	m = make([][]float64, 10)
	for i := range m {
		m[i] = make([]float64, 10)
		own, rest := .15+.08*float64((7*i)%10), 0.0
		for j := range m[i] {
			if j != i {
				m[i][j] = 1 + float64((3*i+j*j)%7)
				rest += m[i][j]
			}
		}
		for j := range m[i] {
			m[i][j] *= (1 - own) / rest
		}
		m[i][i] = own
	}
	for i := range m {
		w = append(w, 1)
		for j := range m {
			switch {
			case i == j:
			case m[i][i] < m[j][j]:
				w[i] += lambda * m[i][j] * m[j][j]
			default:
				w[i] -= lambda * m[j][i] * m[i][i]
			}
		}
	}
	return m, w
}

// afterWarmup puts an update of DAFA behind its warm-up, with the class matrix above from 50 images a class.
func afterWarmup(m Method, u *Update) {
	matrix, _ := classMatrix(0)
	sums, counts := make([][]float64, 10), make([]float64, 10)
	for i, row := range matrix {
		counts[i] = 50
		for _, v := range row {
			sums[i] = append(sums[i], 50*v)
		}
	}
	u.Cells[dafaSums], u.Cells[dafaCounts] = Const(u.X.Graph(), sums), Const(u.X.Graph(), counts)
	u.scalars[dafaWeigh] = ConstAs(u.X, 1.0)
	u.Context = m.Inner.Context(&u.Frame)
}

// TestDafaLoss writes the loss behind the warm-up out from probabilities, and differentiates it numerically.
func TestDafaLoss(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(5)
	c := smallConfig("dafa")
	c.Dafa.Lambda, c.Dafa.Beta = 1.5, 4
	m, y := DAFA(c), b.labels(t)
	run := func(n net64) [][]float64 {
		return onGraph(t, m, n, student, b, func(u *Update) []*Node {
			nat, adv := fork(u.Student).Forward(nn.Train, u.X), fork(u.Student).Forward(nn.Train, u.Adv)
			afterWarmup(m, u)
			o := m.Update(u)
			return append(append([]*Node{nat, adv}, logged(o)[:5]...), o.Grads...)
		})
	}
	out := run(student)
	nat, adv := softmaxRows(out[0]), softmaxRows(out[1])
	_, w := classMatrix(1.5)
	var ce, kl float64
	least, most := math.Inf(1), 0.0
	for i := range y {
		ce -= w[y[i]] * math.Log(nat[i][y[i]]) / 5
		kl += distance64("kl", nat[i], adv[i]) / 5
		least, most = min(least, w[y[i]]), max(most, w[y[i]])
	}
	for i, want := range []float64{ce + 4*kl, ce, kl, least, most} {
		mltest.Close(t, []string{"loss", "ce", "kl", "class_weight_min", "class_weight_max"}[i], out[2+i], []float64{want}, 1e-12, 1e-9)
	}
	if most-least < 0.1 {
		t.Errorf("the class weights of the batch are %v to %v: too even for a test", least, most)
	}

	const h = 1e-7
	rng := data.Stream(9, "direction")
	ends := [2]net64{student, student}
	for e := range ends {
		ends[e].values = slices.Clone(student.values)
	}
	want, g := 0.0, 7
	for i, tensor := range student.list {
		if !tensor.Kind.Trainable() {
			continue
		}
		v, err := tensors.CopyFlatData[float64](student.values[i])
		if err != nil {
			t.Fatal(err)
		}
		up, down := slices.Clone(v), slices.Clone(v)
		for k := range v {
			d := rng.NormFloat64()
			up[k], down[k] = v[k]+h*d, v[k]-h*d
			want += d * out[g][k]
		}
		ends[0].values[i] = tensors.FromFlatDataAndDimensions(up, tensor.Shape...)
		ends[1].values[i] = tensors.FromFlatDataAndDimensions(down, tensor.Shape...)
		g++
	}
	got := (run(ends[0])[2][0] - run(ends[1])[2][0]) / (2 * h)
	mltest.Close(t, "derivative", []float64{want}, []float64{got}, 1e-8, 1e-6)
}

// TestDafaWithoutLambda: with λ = 0, DAFA behind its warm-up is TRADES: the attack to the bit, the update to rounding.
func TestDafaWithoutLambda(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(3)
	c := smallConfig("dafa")
	c.Dafa.Lambda = 0
	dafa, trades := DAFA(c), Trades(smallConfig("trades"))
	got := onGraph(t, dafa, student, student, b, func(u *Update) []*Node {
		afterWarmup(dafa, u)
		return append(dafa.Inner.step(&u.Frame, u.State), dafa.Update(u).Grads...)
	})
	want := onGraph(t, trades, student, student, b, func(u *Update) []*Node {
		return append(trades.Inner.step(&u.Frame, u.State), trades.Update(u).Grads...)
	})
	if !slices.Equal(got[0], want[0]) {
		t.Error("the attacks differ")
	}
	for i, name := range student.trainable() {
		mltest.Close(t, name, got[1+i], want[1+i], 1e-13, 1e-9)
	}
}

// TestDafaBudgets: behind the warm-up every image stays in its class's ball and steps by its class's step, as a loop over
// images that are attacked alone does.
func TestDafaBudgets(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(6)
	c := smallConfig("dafa")
	m, y := DAFA(c), b.labels(t)
	const steps = 6 // enough to reach the walls
	out := onGraph(t, m, student, student, b, func(u *Update) []*Node {
		afterWarmup(m, u)
		state := []*Node{u.X}
		out := []*Node{u.X}
		for range steps {
			state = m.Inner.step(&u.Frame, state)
		}
		out = append(out, state[0])
		_, w := classMatrix(1)
		for i := range y { // TRADES on each image alone
			alone := smallConfig("trades")
			alone.Attack.Eps, alone.Attack.StepSize = w[y[i]]*c.Attack.Eps, w[y[i]]*c.Attack.StepSize
			trades := Trades(alone)
			f := Frame{X: SliceAxis(u.X, 0, AxisElem(i)), Y: SliceAxis(u.Y, 0, AxisElem(i)), Student: u.Student}
			f.Context = natural(&f)
			state := []*Node{f.X}
			for range steps {
				state = trades.Inner.step(&f, state)
			}
			out = append(out, state[0])
		}
		return out
	})
	_, w := classMatrix(1)
	for i := range y {
		x, adv := out[0][i*3072:(i+1)*3072], out[1][i*3072:(i+1)*3072]
		reach, moved := w[y[i]]*c.Attack.Eps, 0.0
		for k, v := range adv {
			if v < max(x[k]-reach, 0)-1e-15 || v > min(x[k]+reach, 1)+1e-15 {
				t.Fatalf("image %d of class %d: pixel %d is %v from %v, the budget is %v", i, y[i], k, v, x[k], reach)
			}
			moved = max(moved, math.Abs(v-x[k]))
		}
		if math.Abs(moved-reach) > 1e-12 {
			t.Errorf("image %d: moved by %v at most, want to the wall at %v", i, moved, reach)
		}
		mltest.Close(t, fmt.Sprintf("image %d", i), adv, out[2+i], 1e-13, 0)
	}
}

// TestDafaCollects: in the last epoch of the warm-up, cells sum the predictions on x' by class; else they keep their bits.
func TestDafaCollects(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(8)
	m, y := DAFA(smallConfig("dafa")), b.labels(t)
	for _, collect := range []float64{0, 1} {
		out := onGraph(t, m, student, student, b, func(u *Update) []*Node {
			adv := fork(u.Student).Forward(nn.Train, u.Adv)
			afterWarmup(m, u)
			u.scalars[dafaCollect] = ConstAs(u.X, collect)
			before := []*Node{adv, u.Cells[dafaSums], u.Cells[dafaCounts]}
			m.Update(u)
			return append(before, u.Cells[dafaSums], u.Cells[dafaCounts])
		})
		sums, counts := slices.Clone(out[1]), slices.Clone(out[2])
		for i, p := range softmaxRows(out[0]) {
			counts[y[i]] += collect
			for j, v := range p {
				sums[10*int(y[i])+j] += collect * v
			}
		}
		mltest.Close(t, "sums", out[3], sums, 1e-14*collect, 1e-14*collect)
		mltest.Close(t, "counts", out[4], counts, 0, 0)
	}
}

// TestDafaEpochs: which epochs collect and from which on classes have weights, for the published and shorter runs.
func TestDafaEpochs(t *testing.T) {
	for _, tc := range []struct{ epochs, set, want int }{{110, 0, 70}, {110, 40, 40}, {6, 0, 4}, {2, 0, 1}, {11, 0, 7}} {
		c := smallConfig("dafa")
		c.Epochs, c.Dafa.WarmupEpochs = tc.epochs, tc.set
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		scalars := DAFA(c).Scalars
		for epoch := range tc.epochs {
			p := Progress{Step: epoch*9 + 8, PerEpoch: 9, Total: tc.epochs * 9}
			if got := scalars[0].At(p) == 1; got != (epoch == tc.want-1) {
				t.Errorf("%+v: epoch %d collects: %v", tc, epoch, got)
			}
			if got := scalars[1].At(p) == 1; got != (epoch >= tc.want) {
				t.Errorf("%+v: classes have weights in epoch %d: %v", tc, epoch, got)
			}
		}
	}
	c := smallConfig("dafa")
	c.Epochs = 1
	if err := c.Validate(); err == nil {
		t.Error("a run of one epoch was accepted, which ends with the warm-up")
	}
}

// TestDafaResumes stops runs in the epoch that collects, at the change of phase and behind it.
func TestDafaResumes(t *testing.T) {
	c := smallConfig("dafa")
	c.EvalEvery, c.Attack.Steps = 0, 1
	resumes(t, c, 2, 3, 4)
}

// TestDafaRun: after a run the cells hold each image of the collecting epoch once, and the weights that followed were used.
func TestDafaRun(t *testing.T) {
	c := smallConfig("dafa")
	c.EvalEvery, c.LogEvery = 0, 1
	folder, err := openFolder(t.TempDir(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	r, err := newRun(mltest.GoBackend(t), c, smallStart(t, c), smallSets(t), folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	var spread []float64 // of the class weights, after each step
	r.afterStep = func(int) {
		v := r.at.Means.Sums
		spread = append(spread, v["class_weight_max"]-v["class_weight_min"])
	}
	if _, err := r.train(t.Context()); err != nil {
		t.Fatal(err)
	}
	sums, err := r.memory.host(cellPrefix + dafaSums)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := r.memory.host(cellPrefix + dafaCounts)
	if err != nil {
		t.Fatal(err)
	}
	var images float32
	for i, n := range counts {
		images += n
		var row float32
		for _, v := range sums[10*i : 10*i+10] {
			row += v
		}
		mltest.Close(t, "probabilities of a class", []float32{row}, []float32{n}, 1e-5, 0)
	}
	if images != 24 {
		t.Errorf("%v images were collected, want the 24 of one epoch", images)
	}
	for step, s := range spread {
		if (s > 0) != (step >= 3) {
			t.Errorf("step %d: class weights differ by %v; they are in force from step 3 on", step, s)
		}
	}
}
