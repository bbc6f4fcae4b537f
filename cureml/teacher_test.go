package cureml

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// TestPerfectTeacher: a teacher that says what the student says, on images that are not attacked, leaves ARD nothing to
// learn. The teacher is the student in mode E with the statistics of the batch, which mode T uses, as its running ones.
func TestPerfectTeacher(t *testing.T) {
	student, b := newNet64(t, 1), newBatch64(3)
	for method, change := range map[string]func(*Config){
		"ard":   func(*Config) {},
		"iad-1": func(c *Config) { c.Iad.Begin = 0 },
		"iad-2": func(c *Config) { c.Akd2.Robust, c.Akd2.Natural, c.Iad.Begin = 0.6, 0.4, 0 },
		"akd2":  func(c *Config) { c.Akd2.Robust, c.Akd2.Natural = 0.6, 0.4 },
	} {
		c := smallConfig(method)
		change(&c)
		m, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, equal := range []bool{true, false} {
			out := onGraph(t, m, student, student, b, func(u *Update) []*Node {
				u.Adv = u.X
				if equal {
					for role, net := range u.Nets {
						if role != Student {
							net.Vars = seen(u.Student, student.list, u.X)
						}
					}
				}
				o := m.Update(u)
				return append([]*Node{o.Log[0].Value}, o.Grads...)
			})
			var gradient float64
			for _, g := range out[1:] {
				for _, v := range g {
					gradient = math.Max(gradient, math.Abs(v))
				}
			}
			if loss := math.Abs(out[0][0]); equal != (loss < 1e-12 && gradient < 1e-9) {
				t.Errorf("%s, same statistics %v: loss %v, largest gradient %v", method, equal, out[0][0], gradient)
			}
		}
	}
}

// seen is a network's tensors with the batch's mean and biased variance as running statistics.
func seen(net *nn.Net, list []nn.Tensor, x *Node) map[string]*Node {
	fresh := fork(net)
	for _, t := range list {
		if !t.Kind.Trainable() {
			fresh.Vars[t.Name] = ZerosLike(fresh.Vars[t.Name]) // after one pass they hold a tenth of the batch's
		}
	}
	fresh.Forward(nn.Train, x)
	for _, t := range list {
		if t.Kind.Trainable() {
			continue
		}
		batch := MulScalar(fresh.Vars[t.Name], 10)
		if t.Kind == nn.RunningVar {
			n := float64(x.Shape().Dim(0) * pixelsOf(t.Name))
			batch = MulScalar(batch, (n-1)/n)
		}
		fresh.Vars[t.Name] = batch
	}
	return fresh.Vars
}

// pixelsOf is how many pixels an image has at a batch norm of a ResNet-18.
func pixelsOf(name string) int {
	side := 32
	if stage, ok := strings.CutPrefix(name, "layer"); ok {
		side >>= stage[0] - '1'
	}
	return side * side
}

// TestAttackInT runs the compiled steps of the attacks of ARD and IAD one by one: each moves the student's running
// statistics, to what its forward pass in mode T gives, and nothing else in the memory, the teacher least of all.
func TestAttackInT(t *testing.T) {
	for _, method := range []string{"ard", "akd2", "iad-1", "iad-2"} {
		c := smallConfig(method)
		m, err := NewMethod(c)
		if err != nil {
			t.Fatal(err)
		}
		memory, _, err := newMemory(smallStart(t, c), c, m)
		if err != nil {
			t.Fatal(err)
		}
		m.Inner.PGD.Steps = 1
		p, err := newPrograms(mltest.GoBackend(t), c, m, memory)
		if err != nil {
			t.Fatal(err)
		}
		read := func() map[string][]float32 {
			values := map[string][]float32{}
			for _, name := range memory.names {
				if values[name], err = memory.host(name); err != nil {
					t.Fatal(err)
				}
			}
			return values
		}
		b := newBatcher(c, smallSets(t), m).at(0)
		for step := range 3 {
			before := read()
			a, err := p.perturb(b, Progress{Step: step, Total: 6, PerEpoch: 3})
			if err != nil {
				t.Fatal(err)
			}
			a.free()
			for name, now := range read() {
				tracked := strings.HasPrefix(name, studentRole) && strings.Contains(name, ".running_")
				if moved := !slices.Equal(before[name], now); moved != tracked {
					t.Errorf("%s, step %d of the attack: %s moved: %v, want %v", method, step, name, moved, tracked)
				}
			}
		}
		if p.perAttack != 1 {
			t.Errorf("%s: counts %d training passes in a step of the attack, want 1", method, p.perAttack)
		}
		before := read()
		if _, err := p.run(b, Progress{Total: 6, PerEpoch: 3}); err != nil {
			t.Fatal(err)
		}
		for name, now := range read() {
			if teacher := strings.Contains(name, "teacher/"); teacher != slices.Equal(before[name], now) {
				t.Errorf("%s: an update moves %s: %v", method, name, teacher)
			}
		}
		b.free()
		p.finalize()
		memory.Free()
	}
}

// TestTeacherRefusals: a teacher that is missing, cannot be read or has other classes ends a run with one line, before it has
// made its folder.
func TestTeacherRefusals(t *testing.T) {
	folder := t.TempDir()
	hundred, err := nn.Init(nn.Arch{Name: "resnet18", Width: 2, Classes: 100}, 1)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(folder, name) }
	if err := hundred.Save(at("hundred.safetensors")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("text.pt"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, robust, natural, want string }{
		{"ard", "", "zoo:natural", "method ard has no robust teacher: name a run folder, a weights file or zoo:NAME"},
		{"iad-1", "", "", "method iad-1 has no robust teacher"},
		{"iad-2", "zoo:trades", "", "method iad-2 has no natural teacher"},
		{"akd2", "zoo:trades", "", "method akd2 has no natural teacher"},
		{"hat", "zoo:trades", "", "method hat has no natural teacher"},
		{"ard", at("none.safetensors"), "", "none.safetensors"},
		{"ard", at("text.pt"), "", "text.pt"},
		{"ard", "zoo:none", "", `unknown network "none"`},
		{"ard", at("hundred.safetensors"), "", "hundred.safetensors has 100 classes, the student 10"},
		{"iad-2", "zoo:trades", at("hundred.safetensors"), "the natural teacher " + at("hundred.safetensors") + " has 100 classes"},
	} {
		config := smallConfig(c.method)
		config.Teacher = TeacherConfig{Robust: c.robust, Natural: c.natural}
		_, err := Train(t.Context(), mltest.GoBackend(t), config, smallSets(t), at("run"), false, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: got %v, want one line with %q", c, err, c.want)
		}
		if _, err := os.Stat(at("run")); err == nil {
			t.Fatalf("%+v: the run folder was made", c)
		}
	}
}

// TestResumeTeacher: a run goes on with the teacher that it began with and no other, be it named so in the config or found
// under the same name; the refusal changes nothing.
func TestResumeTeacher(t *testing.T) {
	folder := t.TempDir()
	teacher, dir := filepath.Join(folder, "teacher.safetensors"), filepath.Join(folder, "run")
	save := func(seed uint64) {
		t.Helper()
		s, err := nn.Init(nn.Arch{Name: "wrn-10-1", Width: 2, Classes: 10}, seed)
		if err == nil {
			err = s.Save(teacher)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	save(1)
	c := smallConfig("ard")
	c.Epochs, c.EvalEvery, c.Attack.Steps = 1, 0, 1
	c.Teacher = TeacherConfig{Robust: teacher}
	trainSmall(t, c, dir, false)
	before := outcome(t, dir)
	refuse := func(c Config, want string) {
		t.Helper()
		_, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), dir, true, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with %q", err, want)
		}
		if outcome(t, dir) != before {
			t.Error("the refused run changed the folder")
		}
	}
	other := c
	other.Teacher.Robust = "zoo:trades"
	refuse(other, "teacher.robust "+teacher+" -> zoo:trades")
	save(2)
	refuse(c, "was trained with another robust teacher")
	save(1)
	trainSmall(t, c, dir, true)
}
