package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mltest"
)

// layer is a piece of a network in float64 on the Go backend, with random tensors.
type layer struct {
	tensors []Tensor
	values  [][]float64
	x       []float64
	input   []int
	build   func(p *pass, x *Node) *Node
}

func newLayer(t testing.TB, seed uint64, build func(p *pass, x *Node) *Node, input ...int) *layer {
	t.Helper()
	l := &layer{input: input, build: build}
	var err error
	if l.tensors, err = declared(Arch{Name: "resnet18", Width: 2, Classes: 3}, build, input...); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	for _, x := range l.tensors {
		v := normal(rng, x.Size())
		fillNorm(x, v, rng)
		l.values = append(l.values, v)
	}
	n := 1
	for _, d := range input {
		n *= d
	}
	l.x = normal(rng, n)
	return l
}

// inputs are the tensors and the image batch, as [layer.net] expects them.
func (l *layer) inputs() (args []any) {
	for i, x := range l.tensors {
		args = append(args, tensors.FromFlatDataAndDimensions(l.values[i], x.Shape...))
	}
	return append(args, tensors.FromFlatDataAndDimensions(l.x, l.input...))
}

func (l *layer) net(in []*Node) *Net {
	net := &Net{Arch: Arch{Name: "resnet18", Width: 2, Classes: 3}, Vars: map[string]*Node{}}
	for i, x := range l.tensors {
		net.Vars[x.Name] = in[i]
	}
	return net
}

// call runs fn on the network and the image batch.
func (l *layer) call(t testing.TB, fn func(net *Net, x *Node) []*Node) [][]float64 {
	t.Helper()
	exec := MustNewExec(mltest.GoBackend(t), func(in []*Node) []*Node { return fn(l.net(in), in[len(l.tensors)]) })
	defer exec.Finalize()
	var out [][]float64
	for _, v := range exec.MustCall(l.inputs()...) {
		out = append(out, tensors.MustCopyFlatData[float64](v))
	}
	return out
}

// TestConvolution compares with the definition: kernels 1 and 3, strides 1 and 2, both paddings, even and odd images.
func TestConvolution(t *testing.T) {
	const in, out = 2, 3
	for _, k := range []int{1, 3} {
		for _, stride := range []int{1, 2} {
			for _, same := range []bool{false, true} {
				for _, size := range []int{4, 5} {
					if same && size%2 == 1 {
						continue // SAME is meant for even images
					}
					name := fmt.Sprintf("k=%d stride=%d same=%v size=%d", k, stride, same, size)
					l := newLayer(t, uint64(k+stride), func(p *pass, x *Node) *Node {
						p.same = same
						return p.conv(x, "c", out, k, stride)
					}, 2, size, size, in)
					got := l.call(t, func(net *Net, x *Node) []*Node { return []*Node{l.build(&pass{net: net}, x)} })[0]
					before := k / 2
					if same && stride == 2 {
						before = 0 // all of the padding comes after the image
					}
					mltest.Close(t, name, got, convolution(l.x, l.values[0], size, in, out, k, stride, before), 1e-13, 1e-13)
				}
			}
		}
	}
}

// convolution is the definition for images [2, size, size, in] and a kernel [k, k, in, out]; the first row and column of
// the kernel begin before pixels outside of the image, and the output has size/stride pixels, rounded up.
func convolution(x, w []float64, size, in, out, k, stride, before int) []float64 {
	n := (size + stride - 1) / stride
	y := make([]float64, 0, 2*n*n*out)
	for b := range 2 {
		for i := range n {
			for j := range n {
				for o := range out {
					sum := 0.0
					for u := range k {
						for v := range k {
							r, c := i*stride+u-before, j*stride+v-before
							if r < 0 || c < 0 || r >= size || c >= size {
								continue
							}
							for m := range in {
								sum += x[((b*size+r)*size+c)*in+m] * w[((u*k+v)*in+m)*out+o]
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

// TestBatchNorm: the outputs of the three modes and the new running statistics in closed form, over two passes.
func TestBatchNorm(t *testing.T) {
	const n, c = 2 * 3 * 3, 2
	l := newLayer(t, 3, func(p *pass, x *Node) *Node { return p.batchNorm(x, "bn") }, 2, 3, 3, c)
	weight, bias, runMean, runVar := l.values[0], l.values[1], l.values[2], l.values[3]
	var mean, variance [c]float64
	for i, x := range l.x {
		mean[i%c] += x / n
	}
	for i, x := range l.x {
		variance[i%c] += (x - mean[i%c]) * (x - mean[i%c]) / n
	}
	normalised := func(mean, variance []float64) []float64 {
		y := make([]float64, len(l.x))
		for i, x := range l.x {
			j := i % c
			y[i] = (x-mean[j])/math.Sqrt(variance[j]+1e-5)*weight[j] + bias[j]
		}
		return y
	}
	moved := func(run []float64, batch [c]float64, scale float64, passes int) []float64 {
		v := append([]float64(nil), run...)
		for range passes {
			for j := range v {
				v[j] = 0.9*v[j] + 0.1*scale*batch[j]
			}
		}
		return v
	}
	const unbiased = float64(n) / (n - 1)
	for _, mode := range []Mode{Eval, Train, TrainFrozen} {
		for passes := 1; passes <= 2; passes++ {
			out := l.call(t, func(net *Net, x *Node) []*Node {
				var y *Node
				for range passes {
					y = l.build(&pass{net: net, mode: mode}, x)
				}
				return []*Node{y, net.Vars["bn.running_mean"], net.Vars["bn.running_var"], net.Vars["bn.weight"], net.Vars["bn.bias"]}
			})
			wantY, wantMean, wantVar := normalised(mean[:], variance[:]), runMean, runVar
			switch mode {
			case Eval:
				wantY = normalised(runMean, runVar)
			case Train:
				wantMean, wantVar = moved(runMean, mean, 1, passes), moved(runVar, variance, unbiased, passes)
			}
			what := fmt.Sprintf("mode %s, pass %d: ", mode, passes)
			mltest.Close(t, what+"output", out[0], wantY, 1e-13, 1e-13)
			mltest.Close(t, what+"running mean", out[1], wantMean, 1e-15, 1e-15)
			mltest.Close(t, what+"running variance", out[2], wantVar, 1e-15, 1e-15)
			mltest.Close(t, what+"weight", out[3], weight, 0, 0)
			mltest.Close(t, what+"bias", out[4], bias, 0, 0)
		}
	}
}

// TestFolding: convBN is the convolution followed by the batch norm, folded (E) or not.
func TestFolding(t *testing.T) {
	for _, mode := range []Mode{Eval, Train, TrainFrozen} {
		for _, stride := range []int{1, 2} {
			l := newLayer(t, 5, func(p *pass, x *Node) *Node { return p.convBN(x, "c", "bn", 3, 3, stride) }, 2, 4, 4, 2)
			out := l.call(t, func(net *Net, x *Node) []*Node {
				p := &pass{net: net, mode: mode}
				before := net.Vars["bn.running_mean"]
				folded := l.build(p, x)
				net.Vars["bn.running_mean"] = before
				return []*Node{folded, p.batchNorm(p.conv(x, "c", 3, 3, stride), "bn")}
			})
			mltest.Close(t, fmt.Sprintf("mode %s stride %d", mode, stride), out[0], out[1], 1e-13, 1e-13)
		}
	}
}

// TestActivations: values, and slopes including the one of relu at 0, which is PyTorch's.
func TestActivations(t *testing.T) {
	x := []float64{-800, -2, -1e-3, 0, 1e-3, 2, 800}
	out := MustNewExec(mltest.GoBackend(t), func(x *Node) []*Node {
		r, s := relu(x), silu(x)
		return []*Node{r, Gradient(ReduceAllSum(r), x)[0], s, Gradient(ReduceAllSum(s), x)[0]}
	}).MustCall(x)
	var silus, slopes []float64
	for _, v := range x {
		sigmoid := 1 / (1 + math.Exp(-v))
		silus, slopes = append(silus, v*sigmoid), append(slopes, sigmoid*(1+v*(1-sigmoid)))
	}
	for i, want := range [][]float64{{0, 0, 0, 0, 1e-3, 2, 800}, {0, 0, 0, 0, 1, 1, 1}, silus, slopes} {
		mltest.Close(t, []string{"relu", "slope of relu", "silu", "slope of silu"}[i], tensors.MustCopyFlatData[float64](out[i]), want, 1e-15, 1e-14)
	}
}

// TestLinearAndPool compares with the definitions.
func TestLinearAndPool(t *testing.T) {
	l := newLayer(t, 7, func(p *pass, x *Node) *Node { return p.linear(p.pool(x), "linear", 3) }, 2, 2, 3, 2)
	var tapped string
	out := l.call(t, func(net *Net, x *Node) []*Node {
		var pooled *Node
		net.Tap = func(name string, x *Node) { tapped, pooled = name, x }
		y := l.build(&pass{net: net}, x)
		return []*Node{pooled, y}
	})
	pooled, y := make([]float64, 4), make([]float64, 6)
	for i, x := range l.x {
		pooled[i/12*2+i%2] += x / 6
	}
	for b := range 2 {
		for o := range 3 {
			y[b*3+o] = l.values[1][o]
			for m := range 2 {
				y[b*3+o] += pooled[b*2+m] * l.values[0][m*3+o]
			}
		}
	}
	mltest.Close(t, tapped, out[0], pooled, 1e-14, 0)
	mltest.Close(t, "linear", out[1], y, 1e-14, 0)
	if tapped != "pooled" {
		t.Errorf("tap saw %q, want pooled", tapped)
	}
}
