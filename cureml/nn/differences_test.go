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

// TestFiniteDifferences: the gradients of every layer and block in every mode, with regard to the images and to each
// tensor, against central differences along a random direction, in float64.
func TestFiniteDifferences(t *testing.T) {
	same := func(f func(p *pass, x *Node) *Node) func(p *pass, x *Node) *Node {
		return func(p *pass, x *Node) *Node { p.same = true; return f(p, x) }
	}
	ofBlock := func(b block, planes, stride int) func(p *pass, x *Node) *Node {
		return func(p *pass, x *Node) *Node { return b(p, x, "b", planes, stride) }
	}
	ofWide := func(names wideNames, planes, stride int) func(p *pass, x *Node) *Node {
		return func(p *pass, x *Node) *Node { p.same = names.same; return wideBlock(p, x, names, "b.", planes, stride) }
	}
	worst := 0.0
	for _, c := range []struct {
		name  string
		build func(p *pass, x *Node) *Node
	}{
		{"conv 1x1", func(p *pass, x *Node) *Node { return p.conv(x, "c", 3, 1, 1) }},
		{"conv 1x1 stride 2", func(p *pass, x *Node) *Node { return p.conv(x, "c", 3, 1, 2) }},
		{"conv 3x3", func(p *pass, x *Node) *Node { return p.conv(x, "c", 3, 3, 1) }},
		{"conv 3x3 stride 2", func(p *pass, x *Node) *Node { return p.conv(x, "c", 3, 3, 2) }},
		{"conv 3x3 stride 2 same", same(func(p *pass, x *Node) *Node { return p.conv(x, "c", 3, 3, 2) })},
		{"convBN", func(p *pass, x *Node) *Node { return p.convBN(x, "c", "bn", 3, 3, 1) }},
		{"convBN stride 2", func(p *pass, x *Node) *Node { return p.convBN(x, "c", "bn", 3, 3, 2) }},
		{"convBN 1x1 stride 2", func(p *pass, x *Node) *Node { return p.convBN(x, "c", "bn", 3, 1, 2) }},
		{"convBN stride 2 same", same(func(p *pass, x *Node) *Node { return p.convBN(x, "c", "bn", 3, 3, 2) })},
		{"batch norm", func(p *pass, x *Node) *Node { return p.batchNorm(x, "bn") }},
		{"pool", func(p *pass, x *Node) *Node { return p.pool(x) }},
		{"linear", func(p *pass, x *Node) *Node { return p.linear(p.pool(x), "linear", 3) }},
		{"relu", func(p *pass, x *Node) *Node { return relu(x) }},
		{"silu", func(p *pass, x *Node) *Node { return silu(x) }},
		{"basic block", ofBlock(basicBlock, 2, 1)},
		{"basic block stride 2", ofBlock(basicBlock, 3, 2)},
		{"bottleneck", ofBlock(bottleneck, 2, 1)},
		{"bottleneck stride 2", ofBlock(bottleneck, 2, 2)},
		{"preact block", ofBlock(preactBlock(false), 2, 1)},
		{"preact block stride 2", ofBlock(preactBlock(false), 3, 2)},
		{"preact block stride 2 raw", ofBlock(preactBlock(true), 3, 2)},
		{"preact block silu", same(ofBlock(preactBlockSwish, 2, 1))},
		{"preact block silu stride 2", same(ofBlock(preactBlockSwish, 3, 2))},
		{"wide block", ofWide(tradesNames, 2, 1)},
		{"wide block stride 2", ofWide(tradesNames, 4, 2)},
		{"wide block silu", ofWide(deepMindNames, 2, 1)},
		{"wide block silu stride 2", ofWide(deepMindNames, 4, 2)},
	} {
		for _, mode := range []Mode{Eval, Train, TrainFrozen} {
			l := newLayer(t, 11, c.build, 2, 4, 4, 2)
			worst = max(worst, differences(t, fmt.Sprintf("%s, mode %s", c.name, mode), l, mode))
		}
	}
	t.Logf("largest relative error %.2g", worst)
}

// differences compares the derivative of a scalar of the layer's output along random directions, one for each tensor and
// one for the images, with (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h.
func differences(t *testing.T, what string, l *layer, mode Mode) (worst float64) {
	t.Helper()
	const h = 1e-5
	rng := rand.New(rand.NewPCG(5, 5))
	vars := len(l.tensors) + 1
	exec := MustNewExec(mltest.GoBackend(t), func(in []*Node) []*Node {
		point, directions, shift := in[:vars], in[vars:2*vars], in[2*vars]
		at := make([]*Node, vars)
		for i := range at {
			step := Reshape(Slice(shift, AxisRange(i, i+1)), make([]int, 0)...)
			at[i] = Add(point[i], Mul(directions[i], step))
		}
		net := l.net(at)
		y := l.build(&pass{net: net, mode: mode}, at[vars-1])
		cotangent := Cos(IotaFull(y.Graph(), y.Shape())) // any fixed numbers
		f := ReduceAllSum(Add(Mul(y, cotangent), MulScalar(Square(y), 0.5)))
		out := []*Node{f}
		for i, g := range Gradient(f, at...) {
			out = append(out, ReduceAllSum(Mul(g, directions[i])))
		}
		return out
	})
	defer exec.Finalize()
	args := l.inputs()
	sizes := []int{}
	for i, x := range l.tensors {
		args = append(args, tensors.FromFlatDataAndDimensions(normal(rng, len(l.values[i])), x.Shape...))
		sizes = append(sizes, len(l.values[i]))
	}
	args = append(args, tensors.FromFlatDataAndDimensions(normal(rng, len(l.x)), l.input...))
	call := func(shift []float64) []float64 {
		var out []float64
		for _, v := range exec.MustCall(append(args[:len(args):len(args)], shift)...) {
			out = append(out, v.Value().(float64))
		}
		return out
	}
	slopes := call(make([]float64, vars))
	for i := range vars {
		name := "images"
		if i < len(sizes) {
			name = l.tensors[i].Name
			if mode != Eval && !l.tensors[i].Kind.Trainable() {
				if slopes[1+i] != 0 {
					t.Errorf("%s: slope %g along %s, which is not used", what, slopes[1+i], name)
				}
				continue
			}
		}
		f := func(x float64) float64 {
			shift := make([]float64, vars)
			shift[i] = x
			return call(shift)[0]
		}
		want := (8*(f(h)-f(-h)) - (f(2*h) - f(-2*h))) / (12 * h)
		e := math.Abs(slopes[1+i]/want - 1)
		if !(e <= 1e-6) {
			t.Errorf("%s: slope along %s is %.10g, differences give %.10g (relative error %.2g)", what, name, slopes[1+i], want, e)
		}
		worst = max(worst, e)
	}
	return worst
}

func normal(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	return v
}
