package cureml

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/data"
	"cure/data/mini"
)

// smallConfig is a run of seconds on the Go backend: a ResNet-18 of width 2, 2 epochs of 3 steps.
func smallConfig(method string) Config {
	c := Defaults(method)
	c.Arch = nn.Arch{Name: "resnet18", Width: 2, Classes: 10}
	c.Epochs, c.Batch, c.Seed = 2, 8, 3
	c.Schedule = optim.Schedule{Kind: "constant", Max: 0.05}
	c.Attack.Steps, c.LogEvery, c.CheckpointEvery = 2, 2, 2
	c.EvalEvery, c.EvalImages = 1, 4
	c.Cure.EMARate = 0.5
	c.Teacher = TeacherConfig{Robust: "zoo:trades", Natural: "zoo:natural"}
	if strings.HasPrefix(method, "las-") { // no more options than the 10 logits of net64, which stands for the strategy network
		c.Las.Eps, c.Las.Steps, c.Las.StepSize, c.Las.Interval = Span{5, 7}, Span{1, 3}, Span{2, 3}, 2
	}
	if method == "las-trades" {
		c.Las.Beta = Span{5, 6}
	}
	return c
}

// proof reports whether tests are to run in their long form, as in make proof.
func proof() bool { return os.Getenv("CURE_PROOF") != "" }

// smallTeacher is a file with a network of width 2, in place of the shipped ones, which the Go backend takes long for.
func smallTeacher(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "teacher.safetensors")
	s, err := nn.Init(nn.Arch{Name: "resnet18", Width: 2, Classes: 10}, 4)
	if err == nil {
		err = s.Save(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func smallSets(t testing.TB) Sets {
	t.Helper()
	train, err := mini.Train().Slice(0, 26)
	if err != nil {
		t.Fatal(err)
	}
	test, err := mini.Test().Slice(0, 8)
	if err != nil {
		t.Fatal(err)
	}
	return Sets{Train: train, Test: test}
}

func smallStart(t testing.TB, c Config) *nn.State {
	t.Helper()
	s, err := nn.Init(c.Arch, c.Seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// batch64 is n images, their adversarial versions and labels as float64, for graphs on the Go backend.
type batch64 struct{ x, adv, y *tensors.Tensor }

func newBatch64(n int) batch64 {
	set := mini.Test()
	x, adv := make([]float64, n*3072), make([]float64, n*3072)
	rng := data.Stream(1, "test")
	for i := range x {
		x[i] = float64(set.Images[i]) / 255
		adv[i] = min(max(x[i]+0.1*(2*rng.Float64()-1), 0), 1)
	}
	return batch64{
		tensors.FromFlatDataAndDimensions(x, n, 32, 32, 3), tensors.FromFlatDataAndDimensions(adv, n, 32, 32, 3),
		tensors.FromFlatDataAndDimensions(append([]int32(nil), set.Labels[:n]...), n),
	}
}

// net64 is a small network in float64: its tensors and their values, other random ones for each seed.
type net64 struct {
	list   []nn.Tensor
	values []*tensors.Tensor
}

func newNet64(t testing.TB, seed uint64) net64 {
	t.Helper()
	s, err := nn.Init(nn.Arch{Name: "resnet18", Width: 2, Classes: 10}, seed)
	if err != nil {
		t.Fatal(err)
	}
	n := net64{list: s.Tensors}
	rng := data.Stream(seed, "statistics")
	for _, tensor := range s.Tensors {
		v := make([]float64, tensor.Size())
		for i, f := range s.Values[tensor.Name] {
			v[i] = float64(f)
			if tensor.Kind != nn.ConvWeight && tensor.Kind != nn.LinearWeight {
				v[i] += 0.1 + 0.2*rng.Float64()
			}
		}
		n.values = append(n.values, tensors.FromFlatDataAndDimensions(v, tensor.Shape...))
	}
	return n
}

// trainable are the names of the tensors with gradients.
func (n net64) trainable() (names []string) {
	for _, t := range n.list {
		if t.Kind.Trainable() {
			names = append(names, t.Name)
		}
	}
	return names
}

// host copies the values of the trainable tensors.
func (n net64) host(t testing.TB) (values [][]float64) {
	t.Helper()
	for i, tensor := range n.list {
		if tensor.Kind.Trainable() {
			v, err := tensors.CopyFlatData[float64](n.values[i])
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
	}
	return values
}

// testUpdate is an update of method m on images, adversarial images and labels: every network beside the student has the
// values of other, cells their first values, scheduled numbers those of the first step, the learning rate 0.1.
func testUpdate(m Method, net, other *nn.Net, in []*Node) *Update {
	u := &Update{Names: trainable(net.Arch)}
	u.X, u.Y, u.Student = in[0], in[2], net
	u.Nets, u.Cells = map[string]*nn.Net{student: net}, map[string]*Node{}
	for _, n := range m.Networks {
		u.Nets[n.Role] = fork(other)
	}
	for _, c := range m.Cells {
		u.Cells[c.Name] = BroadcastToDims(ConstAs(u.X, c.Fill), c.Shape...)
	}
	u.scalars = map[string]*Node{"lr": ConstAs(u.X, 0.1), "round": ConstAs(u.X, 0)}
	for _, s := range m.Scalars {
		u.scalars[s.Name] = ConstAs(u.X, s.At(Progress{Total: 10, PerEpoch: 5}))
	}
	if m.Keys {
		u.Keys = Iota(u.X.Graph(), shapes.Make(dtypes.Uint32, u.X.Shape().Dim(0), 2), 0)
	}
	if m.Inner == nil {
		return u
	}
	u.State = []*Node{in[1]}
	if m.Inner.Context != nil {
		u.Context = m.Inner.Context(&u.Frame)
	}
	if m.Inner.Begin != nil {
		u.State = m.Inner.Begin(&u.Frame, in[1])
	}
	u.Adv = u.State[0]
	return u
}

// fork is a net whose passes leave the statistics of n alone.
func fork(n *nn.Net) *nn.Net { return &nn.Net{Arch: n.Arch, Vars: maps.Clone(n.Vars)} }

// onGraph runs fn on the Go backend with an update of m in float64, and returns what fn returns.
func onGraph(t testing.TB, m Method, student, other net64, b batch64, fn func(u *Update) []*Node) [][]float64 {
	t.Helper()
	args := []any{b.x, b.adv, b.y}
	for _, n := range []net64{student, other} {
		for _, v := range n.values {
			args = append(args, v)
		}
	}
	exec, err := NewExec(mltest.GoBackend(t), func(in []*Node) []*Node {
		net := func(inputs []*Node) *nn.Net {
			n := &nn.Net{Arch: nn.Arch{Name: "resnet18", Width: 2, Classes: 10}, Vars: map[string]*Node{}}
			for i, t := range student.list {
				n.Vars[t.Name] = inputs[i]
			}
			return n
		}
		return fn(testUpdate(m, net(in[3:3+len(student.list)]), net(in[3+len(student.list):]), in))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	outputs, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	values := make([][]float64, len(outputs))
	for i, o := range outputs {
		v, err := tensors.CopyFlatData[float64](o)
		if err != nil {
			t.Fatal(fmt.Errorf("output %d: %w", i, err))
		}
		values[i] = v
	}
	return values
}
