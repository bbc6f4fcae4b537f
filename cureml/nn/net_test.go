package nn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"cure/cureml/mltest"
)

// oneOfEach is a narrow network of every naming and block.
func oneOfEach(t *testing.T) []Arch {
	t.Helper()
	var all []Arch
	for _, name := range []string{"resnet18", "resnet50", "preactresnet18", "preactresnet18-raw", "preactresnet18-swish", "wrn-10-2", "wrn-10-2-swish"} {
		a, err := Parse(name, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	older := all[2]
	older.NoFinalBN = true
	return append(all, older)
}

// TestModes: in a whole network a pass in mode T moves every running statistic, E and T0 move nothing, weights never
// change, and Tracked counts the passes in mode T. T and T0 give the same logits, E others.
func TestModes(t *testing.T) {
	images, _ := testImages(t, 4)
	for _, a := range oneOfEach(t) {
		s := random(t, a, 1)
		for _, mode := range []Mode{Eval, Train, TrainFrozen} {
			var tracked int
			out := run(t, mltest.GoBackend(t), s, []*tensors.Tensor{images}, func(net *Net, in []*Node) []*Node {
				small := Slice(in[0], AxisRange(), AxisRange(8, 16), AxisRange(8, 16)) // 8x8 pixels are enough
				out := []*Node{net.Forward(mode, small), nil, nil}
				before := map[string]*Node{}
				for k, v := range net.Vars {
					before[k] = v
				}
				tracked = net.Tracked
				out[1], out[2] = net.Forward(Eval, small), net.Forward(TrainFrozen, small)
				for k, v := range net.Vars {
					if before[k] != v {
						t.Errorf("%s: a pass in E or T0 replaced %s", a, k)
					}
				}
				for _, x := range s.Tensors {
					out = append(out, before[x.Name])
				}
				return out
			})
			if want := map[Mode]int{Train: 1}[mode]; tracked != want {
				t.Errorf("%s: %d tracked passes after one in mode %s, want %d", a, tracked, mode, want)
			}
			for i, x := range s.Tensors {
				moved := !slices.Equal(floats(out[3+i]), s.Values[x.Name])
				if want := mode == Train && !x.Kind.Trainable(); moved != want {
					t.Errorf("%s: %s moved %v in mode %s, want %v", a, x.Name, moved, mode, want)
				}
			}
			if same := slices.Equal(floats(out[0]), floats(out[2])); same != (mode != Eval) {
				t.Errorf("%s: logits of mode %s equal those of T0: %v", a, mode, same)
			}
			if same := slices.Equal(floats(out[0]), floats(out[1])); mode != Eval && same {
				t.Errorf("%s: logits of mode %s equal those of E", a, mode)
			}
		}
	}
}

// TestTaps: stem, every block under PyTorch's name, pooling and logits are seen once each, in order and with the right
// shapes.
func TestTaps(t *testing.T) {
	images, _ := testImages(t, 1)
	for _, a := range oneOfEach(t) {
		s := random(t, a, 1)
		seen := map[string]string{}
		var order []string
		run(t, mltest.GoBackend(t), s, []*tensors.Tensor{images}, func(net *Net, in []*Node) []*Node {
			net.Tap = func(name string, x *Node) {
				order = append(order, name)
				seen[name] = fmt.Sprint(x.Shape().Dimensions)
			}
			return []*Node{net.Forward(Eval, in[0])}
		})
		var blocks []string
		for _, x := range s.Tensors { // a block is what owns a second convolution
			for _, conv := range []string{".conv2.weight", ".conv_1.weight", ".conv_2d_2.weight"} {
				if block, ok := strings.CutSuffix(x.Name, conv); ok {
					blocks = append(blocks, block)
				}
			}
		}
		want := append(append([]string{"stem"}, blocks...), "pooled", "logits")
		if !slices.Equal(order, want) {
			t.Errorf("%s: taps saw %v, want %v", a, order, want)
		}
		channels := map[string]int{"resnet18": 8, "resnet50": 32, "wrn-10-2": 8, "wrn-10-2-swish": 8}[a.Name]
		last := "[1 8 8 8]"
		if channels == 0 {
			channels = 8
		}
		if !strings.HasPrefix(a.Name, "wrn") {
			last = fmt.Sprintf("[1 4 4 %d]", channels)
		}
		for name, shape := range map[string]string{"stem": "[1 32 32 1]", blocks[len(blocks)-1]: last, "pooled": fmt.Sprintf("[1 %d]", channels), "logits": "[1 3]"} {
			if seen[name] != shape {
				t.Errorf("%s: %s has shape %s, want %s", a, name, seen[name], shape)
			}
		}
	}
}

// TestNormalisation: a network with mean and std is the network without on normalised images; the -swish forms normalise
// by the constants of CIFAR-10 or CIFAR-100 unless told otherwise.
func TestNormalisation(t *testing.T) {
	images, _ := testImages(t, 2)
	normalised := func(mean, std []float64) *tensors.Tensor {
		v := floats(images)
		for i := range v {
			v[i] = float32((float64(v[i]) - mean[i%3]) / std[i%3])
		}
		return tensors.FromFlatDataAndDimensions(v, images.Shape().Dimensions...)
	}
	plain, unit := []float64{0, 0, 0}, []float64{1, 1, 1}
	for _, c := range []struct {
		name      string
		classes   int
		mean, std []float64 // asked for
		wantMean  []float64
		wantStd   []float64
	}{
		{"resnet18", 3, nil, nil, plain, unit},
		{"resnet18", 3, cifar10Mean, cifar10Std, cifar10Mean, cifar10Std},
		{"wrn-10-1", 3, []float64{0.1, 0.2, 0.3}, []float64{2, 3, 4}, []float64{0.1, 0.2, 0.3}, []float64{2, 3, 4}},
		{"wrn-10-1-swish", 10, nil, nil, cifar10Mean, cifar10Std},
		{"wrn-10-1-swish", 100, nil, nil, cifar100Mean, cifar100Std},
		{"wrn-10-1-swish", 10, []float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}},
		{"preactresnet18-swish", 10, nil, nil, cifar10Mean, cifar10Std},
	} {
		s := random(t, Arch{Name: c.name, Width: 2, Classes: c.classes, Mean: c.mean, Std: c.std}, 1)
		got := logits(t, mltest.GoBackend(t), s, Eval, images)
		s.Arch.Mean, s.Arch.Std = plain, unit
		want := logits(t, mltest.GoBackend(t), s, Eval, normalised(c.wantMean, c.wantStd))
		mltest.Close(t, fmt.Sprintf("%s with mean %v", c.name, c.mean), got, want, 2e-6, 2e-6)
	}
}

// TestBFloat16: convolutions in bfloat16 stay within its precision of float32 and are not float32; everything that comes
// out stays float32.
func TestBFloat16(t *testing.T) {
	images, _ := testImages(t, 4)
	s := random(t, Arch{Name: "wrn-10-1", Width: 4, Classes: 10}, 1)
	pass := func(compute dtypes.DType) []*tensors.Tensor {
		return run(t, mltest.Backend(t), s, []*tensors.Tensor{images}, func(net *Net, in []*Node) []*Node {
			net.Compute = compute
			x := Slice(in[0], AxisRange(), AxisRange(8, 16), AxisRange(8, 16)) // CPUs are slow at this
			y, z := net.Forward(Eval, x), net.Forward(Train, x)
			return []*Node{y, Gradient(ReduceAllSum(Square(y)), x)[0], z, net.Vars["bn1.running_var"]}
		})
	}
	exact, got := pass(dtypes.InvalidDType), pass(dtypes.BFloat16)
	for i, what := range []string{"logits in E", "dx in E", "logits in T", "running variance"} {
		d := apart(floats(got[i]), floats(exact[i]))
		t.Logf("%s are %.2g from float32", what, d)
		if !(d > 0 && d < 0.2) { // 8 bits of mantissa through 10 layers, some ReLUs flip
			t.Errorf("%s are %.2g from float32, want more than 0 and less than 0.2", what, d)
		}
	}
}

// TestBFloat16Pixels: a network that computes in bfloat16 does not round pixels, nor the gradient with regard to them, but
// the values of a layer.
func TestBFloat16Pixels(t *testing.T) {
	for _, c := range []struct {
		channels int
		rounded  bool
	}{{1, false}, {3, false}, {16, true}} {
		rng := rand.New(rand.NewPCG(1, 2))
		var in []any
		for _, dims := range [][]int{{2, 8, 8, c.channels}, {3, 3, c.channels, 4}} {
			v := make([]float32, dims[0]*dims[1]*dims[2]*dims[3])
			for i := range v {
				v[i] = rng.Float32()
			}
			in = append(in, tensors.FromFlatDataAndDimensions(v, dims...))
		}
		exec, err := NewExec(mltest.Backend(t), func(in []*Node) (out []*Node) {
			for _, dtype := range []dtypes.DType{dtypes.InvalidDType, dtypes.BFloat16} {
				y := (&pass{net: &Net{Compute: dtype}}).convolve(in[0], in[1], 1)
				out = append(out, y, Gradient(ReduceAllSum(Square(y)), in[0])[0])
			}
			return out
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Call(in...)
		if err != nil {
			t.Fatal(err)
		}
		for i, what := range []string{"values", "dx"} {
			if d := apart(floats(out[2+i]), floats(out[i])); c.rounded != (d > 1e-4) {
				t.Errorf("%s from %d channels are %.2g from float32, want rounded %v", what, c.channels, d, c.rounded)
			}
		}
		exec.Finalize()
	}
}

// TestMisuse: building a graph with wrong parts panics with a message that names them.
func TestMisuse(t *testing.T) {
	arch := Arch{Name: "resnet18", Width: 1, Classes: 3}
	all, err := arch.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		arch    Arch
		without string
		input   []int
		want    string
	}{
		{"unknown network", Arch{Name: "lenet"}, "", []int{1, 32, 32, 3}, `unknown arch "lenet"`},
		{"channels first", arch, "", []int{1, 3, 32, 32}, "want [B, H, W, 3]"},
		{"missing tensor", arch, "layer2.0.bn1.weight", []int{1, 32, 32, 3}, `no tensor "layer2.0.bn1.weight"`},
	} {
		g := NewGraph(mltest.GoBackend(t), c.name)
		net := &Net{Arch: c.arch, Vars: map[string]*Node{}}
		for _, x := range all {
			if x.Name != c.without {
				net.Vars[x.Name] = Parameter(g, x.Name, shapes.Make(dtypes.Float32, x.Shape...))
			}
		}
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), c.want) {
					t.Errorf("%s: panic %v, want one with %q", c.name, r, c.want)
				}
			}()
			net.Forward(Eval, Parameter(g, "images", shapes.Make(dtypes.Float32, c.input...)))
		}()
		g.Finalize()
	}
}
