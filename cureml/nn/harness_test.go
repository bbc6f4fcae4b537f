package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/weights"
	"cure/data"
	"cure/data/mini"
)

// run builds one graph with the network s, runs fn in it on the inputs and returns the outputs.
func run(t testing.TB, backend compute.Backend, s *State, inputs []*tensors.Tensor, fn func(net *Net, in []*Node) []*Node) []*tensors.Tensor {
	t.Helper()
	exec, err := NewExec(backend, func(in []*Node) []*Node {
		net := &Net{Arch: s.Arch, Vars: map[string]*Node{}}
		for i, x := range s.Tensors {
			net.Vars[x.Name] = in[i]
		}
		return fn(net, in[len(s.Tensors):])
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	var args []any
	for _, x := range s.Tensors {
		args = append(args, tensors.FromFlatDataAndDimensions(s.Values[x.Name], x.Shape...))
	}
	for _, x := range inputs {
		clone, err := x.LocalClone() // a tensor stays with the first backend that sees it
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, clone)
	}
	out, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// logits runs one forward pass.
func logits(t testing.TB, backend compute.Backend, s *State, mode Mode, x *tensors.Tensor) []float32 {
	t.Helper()
	return floats(run(t, backend, s, []*tensors.Tensor{x}, func(net *Net, in []*Node) []*Node {
		return []*Node{net.Forward(mode, in[0])}
	})[0])
}

func floats(x *tensors.Tensor) []float32 { return tensors.MustCopyFlatData[float32](x) }

// testImages is the first n test images of CIFAR-10 in [0,1], and their labels.
func testImages(t testing.TB, n int) (images, labels *tensors.Tensor) {
	t.Helper()
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	return unit(set.Images, n), tensors.FromFlatDataAndDimensions(set.Labels, n)
}

// unit is bytes [n, 32, 32, 3] as float32(byte)/255.
func unit(bytes []uint8, n int) *tensors.Tensor {
	v := make([]float32, len(bytes))
	for i, b := range bytes {
		v[i] = float32(b) / 255
	}
	return tensors.FromFlatDataAndDimensions(v, n, data.Height, data.Width, data.Channels)
}

// channelsLast turns [n, c, h, w] into [n, h, w, c].
func channelsLast[T any](v []T, n, c, h, w int) []T {
	out := make([]T, len(v))
	for i := range n {
		for j := range c {
			for k := range h * w {
				out[(i*h*w+k)*c+j] = v[(i*c+j)*h*w+k]
			}
		}
	}
	return out
}

// read is a fixture file; tensor one of its tensors in float32.
func read(t testing.TB, path string) *weights.Dict {
	t.Helper()
	d, err := weights.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func tensor(t testing.TB, d *weights.Dict, name string) []float32 {
	t.Helper()
	x, ok := d.Get(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	v, err := x.Float32()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// load is LoadFile without warnings.
func load(t testing.TB, name string, width int, path string) *State {
	t.Helper()
	a, err := Parse(name, width, 10)
	if err != nil {
		t.Fatal(err)
	}
	s, warnings, err := LoadFile(a, path)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("%s: warnings %q", path, warnings)
	}
	return s
}

// random is a network with nothing at its start value: norms and statistics are random too.
func random(t testing.TB, a Arch, seed uint64) *State {
	t.Helper()
	s, err := Init(a, seed)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, x := range s.Tensors {
		fillNorm(x, s.Values[x.Name], rng)
	}
	return s
}

// fillNorm draws the parameters and statistics of a batch norm; other tensors keep their values.
func fillNorm[T float32 | float64](x Tensor, v []T, rng *rand.Rand) {
	for i := range v {
		switch x.Kind {
		case NormWeight, RunningVar:
			v[i] = T(0.5 + rng.Float64())
		case NormBias, RunningMean:
			v[i] = T(0.2 * rng.NormFloat64())
		}
	}
}

// farthest is the largest |got - want|, for the log of a test.
func farthest[T, U ~float32 | ~float64](got []T, want []U) float64 {
	worst := 0.0
	for i := range min(len(got), len(want)) {
		worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
	}
	return worst
}

// apart is the relative L2 distance |got - want| / |want|.
func apart[T, U ~float32 | ~float64](got []T, want []U) float64 {
	var d, n float64
	for i := range want {
		d += (float64(got[i]) - float64(want[i])) * (float64(got[i]) - float64(want[i]))
		n += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(d / n)
}
