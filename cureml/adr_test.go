package cureml

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// TestADRLosses writes label, attack and loss out from logits. A temperature that makes the teacher sure of itself lets it
// err by more than λ on some images, which then keep their plain label.
func TestADRLosses(t *testing.T) {
	student, teacher, b := newNet64(t, 1), newNet64(t, 2), newBatch64(8)
	y := b.labels(t)
	const temperature, interpolation = 0.02, 0.4
	for _, name := range []string{"adr", "adr-trades"} {
		c := smallConfig(name)
		c.Adr.Beta = 3
		method, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		out := onGraph(t, method, student, teacher, b, func(u *Update) []*Node {
			u.scalars["temperature"], u.scalars["interpolation"] = ConstAs(u.X, temperature), ConstAs(u.X, interpolation)
			u.Context = method.Inner.Context(&u.Frame)
			pass := func(x *Node) *Node { return fork(u.Student).Forward(nn.Train, x) }
			nat, adv := pass(u.X), pass(u.Adv)
			nodes := []*Node{u.Nets[EMATeacher].Forward(nn.Eval, u.X), nat, adv, pass(Concatenate([]*Node{u.X, u.Adv}, 0)),
				u.Context[0], method.Inner.objective(&u.Frame, adv)}
			return append(nodes, logged(method.Update(u))...)
		})
		plain, mixed := 0, 0
		var labels, objective []float64
		var loss, ce, kl float64
		nat, adv, both := softmaxRows(out[1]), softmaxRows(out[2]), softmaxRows(out[3])
		cross := func(label, p []float64) (v float64) {
			for k := range p {
				v -= label[k] * math.Log(p[k])
			}
			return v
		}
		for i := range y {
			z := slices.Clone(out[0][10*i : 10*i+10])
			for k := range z {
				z[k] /= temperature
			}
			p := softmaxRows(z)[0]
			trust := min(max(interpolation-(slices.Max(p)-p[y[i]]), 0), 1)
			if trust == 0 {
				plain++
			} else {
				mixed++
			}
			label := make([]float64, 10)
			for k := range label {
				label[k] = trust * p[k]
			}
			label[y[i]] += 1 - trust
			labels = append(labels, label...)
			if name == "adr" {
				loss += cross(label, adv[i]) / 8
				objective = append(objective, cross(label, adv[i]))
				continue
			}
			ce += cross(label, both[i]) / 8
			kl += distance64("kl", both[i], both[8+i]) / 8
			loss = ce + 3*kl
			objective = append(objective, distance64("kl", nat[i], adv[i]))
		}
		mltest.Close(t, name+": label", out[4], labels, 1e-13, 0)
		mltest.Close(t, name+": objective", out[5], objective, 1e-12, 1e-9)
		mltest.Close(t, name+": loss", out[6], []float64{loss}, 1e-12, 1e-10)
		if name == "adr-trades" {
			mltest.Close(t, name+": ce", out[7], []float64{ce}, 1e-12, 0)
			mltest.Close(t, name+": kl", out[8], []float64{kl}, 1e-12, 1e-9)
		}
		if plain == 0 || mixed == 0 {
			t.Errorf("%d plain and %d mixed labels, want some of both", plain, mixed)
		}
	}
}

// TestADRWithoutLambda: with λ = 0 labels are one-hot, and a step of the attack is that of AT in mode T.
func TestADRWithoutLambda(t *testing.T) {
	student, teacher, b := newNet64(t, 1), newNet64(t, 2), newBatch64(4)
	c := smallConfig("adr")
	c.Adr.InterpolationLow, c.Adr.InterpolationHigh = 0, 0
	adr, at := ADR(c), AT(smallMethods()["at madry"])
	var labels []float64
	for _, y := range b.labels(t) {
		labels = append(labels, label64(y, 0)...)
	}
	got := onGraph(t, adr, student, teacher, b, func(u *Update) []*Node {
		return append([]*Node{u.Context[0]}, adr.Inner.step(&u.Frame, u.State)...)
	})
	want := onGraph(t, at, student, teacher, b, func(u *Update) []*Node { return at.Inner.step(&u.Frame, u.State) })
	if !slices.Equal(got[0], labels) {
		t.Errorf("labels %v, want one-hot", got[0])
	}
	mltest.Close(t, "a step of the attack", got[1], want[0], 1e-15, 0)
}

// TestADRSchedules: both go along half a cosine, a quarter of the way after a third of the run and half after half of it.
func TestADRSchedules(t *testing.T) {
	for _, total := range []int{6, 120, 78000} {
		for i, ends := range [][2]float64{{2.5, 2}, {0.7, 0.95}} {
			at := ADR(smallConfig("adr")).Scalars[i].At
			for share, want := range map[float64]float64{0: 0, 1. / 3: .25, .5: .5, 2. / 3: .75} {
				got := at(Progress{Step: int(math.Round(share * float64(total))), Total: total, PerEpoch: 3})
				if math.Abs(got-(ends[0]+want*(ends[1]-ends[0]))) > 1e-12 {
					t.Errorf("schedule %d after %.2f of %d steps: %v, want %v of the way from %v to %v", i, share, total, got, want, ends[0], ends[1])
				}
			}
		}
	}
}

// TestADRTeacher: over a run, the teacher is 0.9 of what it was and 0.1 of the student after every step, running statistics
// included, and its file in the run folder holds it.
func TestADRTeacher(t *testing.T) {
	c := smallConfig("adr")
	c.EvalEvery, c.Adr.Decay = 0, 0.9
	dir := t.TempDir()
	folder, err := openFolder(dir, c, false)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	start := smallStart(t, c)
	r, err := newRun(mltest.GoBackend(t), c, start, smallSets(t), folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	want := map[string][]float64{}
	for name, v := range start.Values {
		for _, x := range v {
			want[name] = append(want[name], float64(x))
		}
	}
	compare := func(what string, values map[string][]float32) {
		for _, tensor := range start.Tensors {
			mltest.Close(t, what+": "+tensor.Name, values[tensor.Name], want[tensor.Name], 1e-6, 1e-5)
		}
	}
	r.afterStep = func(step int) {
		student, err := r.memory.state(Student, 0)
		if err != nil {
			t.Fatal(err)
		}
		teacher, err := r.memory.state(EMATeacher, 0)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range student.Values {
			for k, x := range v {
				want[name][k] = 0.9*want[name][k] + 0.1*float64(x)
			}
		}
		compare("teacher", teacher.Values)
	}
	if _, err := r.train(t.Context()); err != nil {
		t.Fatal(err)
	}
	saved, _, err := nn.LoadFile(c.Arch, filepath.Join(dir, EMATeacher+weightsSuffix))
	if err != nil {
		t.Fatal(err)
	}
	compare("file", saved.Values)
}

// TestADRStart: x + 0.001·U[0,1), other noise for other images, unless the config names a start.
func TestADRStart(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(3)
	m := ADRTrades(smallConfig("adr-trades"))
	out := onGraph(t, m, student, student, b, func(u *Update) []*Node {
		return []*Node{MulScalar(Sub(m.Inner.begin(&u.Frame, ZerosLike(u.X))[0], u.X), 1000)}
	})[0]
	// The mean of 9216 uniform numbers has a standard deviation of 0.003.
	var sum float64
	for _, v := range out {
		sum += v
	}
	if low, high, mean := slices.Min(out), slices.Max(out), sum/float64(len(out)); low < -1e-12 || low > 0.01 || high >= 1 || high < 0.99 || math.Abs(mean-0.5) > 0.012 {
		t.Errorf("noise from %v to %v with mean %v, want uniform in [0, 1)", low, high, mean)
	}
	if slices.Equal(out[:3072], out[3072:6144]) {
		t.Error("two images have the same noise")
	}
	c := smallConfig("adr-trades")
	c.Attack.From = "normal"
	if m := ADRTrades(c); m.Keys || m.Inner.Begin != nil || m.Inner.PGD.Start.String() != "normal" {
		t.Error("attack.start=normal is not followed")
	}
}

// TestADRResumes: teacher, schedules and keys survive an interruption.
func TestADRResumes(t *testing.T) {
	c := smallConfig("adr-trades")
	c.EvalEvery, c.Attack.Steps = 0, 1
	resumes(t, c, 2)
}
