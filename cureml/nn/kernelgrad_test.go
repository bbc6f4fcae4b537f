package nn

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
)

// values64 evaluates a graph in float64 on random inputs of the shapes.
func values64(t *testing.T, backend compute.Backend, inputs [][]int, graph func(in []*Node) []*Node) (values [][]float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var args []any
	for _, dims := range inputs {
		size := 1
		for _, d := range dims {
			size *= d
		}
		v := make([]float64, size)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		args = append(args, tensors.FromFlatDataAndDimensions(v, dims...))
	}
	exec, err := NewExec(backend, graph)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	out, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		values = append(values, tensors.MustCopyFlatData[float64](o))
	}
	return values
}

// TestKernelForms: the forms of a kernel's gradient agree with gomlx's, in batches and images of any size that they take.
func TestKernelForms(t *testing.T) {
	device := mltest.XLA(t)
	border := [2]int{1, 1}
	for _, c := range []struct{ b, height, width, in, out int }{{3, 4, 6, 2, 5}, {4, 2, 4, 1, 3}, {16, 5, 8, 3, 2}} {
		dims := [][]int{{c.b, c.height, c.width, c.in}, {3, 3, c.in, c.out}, {c.b, c.height, c.width, c.out}}
		got := values64(t, device, dims, func(in []*Node) []*Node {
			x, w, dy := in[0], in[1], in[2]
			y := Convolve(x, w).PaddingPerDim([][2]int{border, border}).Done()
			return []*Node{Gradient(ReduceAllSum(Mul(y, dy)), w)[0], flipped(x, dy), patches(x, dy), pasted(x, dy)}
		})
		for i, form := range []string{"flipped", "patches", "pasted"} {
			mltest.Close(t, fmt.Sprintf("%s %v", form, c), got[1+i], got[0], 1e-12, 1e-12)
		}
	}
}

// TestKernelFormChosen: which form a convolution gets, on a CPU by XLA and elsewhere, and that its gradients are those of
// the plain convolution. (gomlx cannot differentiate the gradients of convolutions once more.)
func TestKernelFormChosen(t *testing.T) {
	device := mltest.XLA(t)
	for _, c := range []struct {
		size, in, out int
		want          bool
	}{{32, 16, 16, true}, {32, 3, 16, true}, {32, 3, 160, true}, {32, 16, 160, false}, {32, 64, 64, true}, {16, 32, 32, true}, {8, 32, 32, false}, {16, 64, 64, true}, {16, 128, 128, true}, {8, 64, 64, false}, {4, 512, 512, true}, {33, 64, 64, true}} {
		for _, b := range []compute.Backend{device, mltest.GoBackend(t)} {
			g := NewGraph(b, "shapes")
			x, w := Zeros(g, shapes.Make(dtypes.Float32, 1, c.size, c.size, c.in)), Zeros(g, shapes.Make(dtypes.Float32, 3, 3, c.in, c.out))
			if got, want := kernelForm(x, w) != nil, c.want && b == device; got != want {
				t.Errorf("%s, %+v: a form of ours: %v, want %v", b.Name(), c, got, want)
			}
			g.Finalize()
		}
	}
	dims := [][]int{{1, 16, 16, 64}, {3, 3, 64, 64}, {1, 16, 16, 64}}
	border := [2]int{1, 1}
	plain := func(x, w *Node) *Node { return Convolve(x, w).PaddingPerDim([][2]int{border, border}).Done() }
	gradients := func(conv func(x, w *Node) *Node) [][]float64 {
		return values64(t, device, dims, func(in []*Node) []*Node {
			return Gradient(ReduceAllSum(Mul(Square(conv(in[0], in[1])), in[2])), in[0], in[1])
		})
	}
	got, want := gradients(smooth), gradients(plain)
	for i, what := range []string{"dx", "dw"} {
		mltest.Close(t, what, got[i], want[i], 1e-9, 1e-10)
	}
}

// BenchmarkKernelForms measures the table of kernelForm: the forms of a kernel's gradient on convolutions of ResNet-18s.
func BenchmarkKernelForms(b *testing.B) {
	const images = 64
	device := mltest.XLA(b)
	convolution := func(x, dy *Node) *Node {
		border := [2]int{1, 1}
		w := Zeros(x.Graph(), shapes.Make(x.DType(), 3, 3, x.Shape().Dim(3), dy.Shape().Dim(3)))
		y := Convolve(x, w).PaddingPerDim([][2]int{border, border}).Done()
		return Gradient(ReduceAllSum(Mul(y, dy)), w)[0]
	}
	noise := func(dims ...int) *tensors.Tensor {
		v := make([]float32, images*dims[1]*dims[2]*dims[3])
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return tensors.FromFlatDataAndDimensions(v, dims...)
	}
	for _, c := range []struct{ side, in, out int }{
		{32, 3, 16}, {32, 3, 64}, {32, 16, 16}, {16, 32, 32}, {8, 64, 64}, {4, 128, 128}, {32, 64, 64}, {16, 128, 128}, {8, 256, 256}, {4, 512, 512},
	} {
		x, dy := noise(images, c.side, c.side, c.in), noise(images, c.side, c.side, c.out)
		for _, form := range []struct {
			name string
			dw   func(x, dy *Node) *Node
		}{{"convolution", convolution}, {"patches", patches}, {"flipped", flipped}, {"pasted", pasted}} {
			b.Run(fmt.Sprintf("%dx%d,%d,%d/%s", c.side, c.side, c.in, c.out, form.name), func(b *testing.B) {
				exec := MustNewExec(device, form.dw)
				defer exec.Finalize()
				run := func() {
					out, err := exec.Call(x, dy)
					if err != nil {
						b.Fatal(err)
					}
					tensors.MustCopyFlatData[float32](out[0])
					if err := out[0].FinalizeAll(); err != nil {
						b.Fatal(err)
					}
				}
				run() // compiles
				for b.Loop() {
					run()
				}
			})
		}
	}
}

// TestNormGradients: the written-out gradients of batch norm, and the gradients of these, are those that gomlx finds for
// the formula of the forward pass.
func TestNormGradients(t *testing.T) {
	plain := func(x, weight, bias *Node) *Node {
		centred := Sub(x, wide(ReduceMean(x, 0, 1, 2), 4))
		scale := Div(weight, Sqrt(AddScalar(ReduceMean(Square(centred), 0, 1, 2), bnEps)))
		return Add(Mul(centred, wide(scale, 4)), wide(bias, 4))
	}
	ours := func(x, weight, bias *Node) *Node {
		net := &Net{Vars: map[string]*Node{"n.weight": weight, "n.bias": bias, "n.running_mean": bias, "n.running_var": weight}}
		return (&pass{net: net, mode: TrainFrozen}).batchNorm(x, "n")
	}
	dims := [][]int{{4, 3, 5, 2}, {2}, {2}, {4, 3, 5, 2}, {4, 3, 5, 2}}
	for _, b := range []compute.Backend{mltest.GoBackend(t), mltest.Backend(t)} {
		gradients := func(norm func(x, weight, bias *Node) *Node) [][]float64 {
			return values64(t, b, dims, func(in []*Node) []*Node {
				y := norm(in[0], in[1], in[2])
				first := Gradient(ReduceAllSum(Mul(Square(y), in[3])), in[0], in[1], in[2])
				return append(first, Gradient(ReduceAllSum(Mul(first[0], in[4])), in[0], in[1])...)
			})
		}
		got, want := gradients(ours), gradients(plain)
		for i, what := range []string{"dx", "dweight", "dbias", "d(dx)/dx", "d(dx)/dweight"} {
			mltest.Close(t, b.Name()+": "+what, got[i], want[i], 1e-10, 1e-9)
		}
	}
}

// TestHalving: the gradients of convolutions of stride 2 are gomlx's, for images of any even size.
func TestHalving(t *testing.T) {
	device := mltest.XLA(t)
	for _, c := range []struct{ b, height, width, k, in, out int }{{2, 6, 4, 3, 2, 5}, {1, 2, 2, 3, 1, 3}, {3, 8, 10, 3, 3, 2}, {2, 4, 6, 1, 3, 2}} {
		dims := [][]int{{c.b, c.height, c.width, c.in}, {c.k, c.k, c.in, c.out}, {c.b, c.height / 2, c.width / 2, c.out}}
		got := values64(t, device, dims, func(in []*Node) []*Node {
			x, w, dy := in[0], in[1], in[2]
			border := [2]int{c.k / 2, c.k / 2}
			plain := Convolve(x, w).Strides(2).PaddingPerDim([][2]int{border, border}).Done()
			ours := halve(x, w)
			return append(append([]*Node{plain, ours}, Gradient(ReduceAllSum(Mul(plain, dy)), x, w)...), Gradient(ReduceAllSum(Mul(ours, dy)), x, w)...)
		})
		for i, what := range []string{"values", "dx", "dw"} {
			a, b := []int{1, 4, 5}[i], []int{0, 2, 3}[i]
			mltest.Close(t, fmt.Sprintf("%s %v", what, c), got[a], got[b], 1e-12, 1e-12)
		}
	}
}
