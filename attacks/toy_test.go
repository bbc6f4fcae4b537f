package attacks

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// toy are grey images of 4 x 4 pixels in four classes: the class is the quadrant that was made brighter.
var toy = struct {
	image   [3]int
	classes int
	ball    Ball
}{[3]int{4, 4, 1}, 4, Ball{Linf, .1}}

func quadrant(pixel int) int { return pixel/8*2 + pixel%4/2 }

// toyImages are brighter in their quadrant by 0.1 to 0.4 of the pixels' range, with noise; labels are the quadrants.
func toyImages(seed uint64, n int) ([]uint8, []int32) {
	rng := rand.New(rand.NewPCG(seed, 16))
	images, labels := make([]uint8, 16*n), make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % 4)
		extra := 25 + 75*rng.Float64()
		for k := range 16 {
			v := 100 + 15*rng.NormFloat64()
			if quadrant(k) == int(labels[i]) {
				v += extra
			}
			images[16*i+k] = uint8(math.Max(0, math.Min(255, v)))
		}
	}
	return images, labels
}

// toyLinear has the quadrants' sums as logits.
func toyLinear(backend compute.Backend) Model {
	w := make([][]float32, 16)
	for k := range w {
		w[k] = make([]float32, 4)
		w[k][quadrant(k)] = 5
	}
	return Model{
		Backend: backend, Classes: 4, Image: toy.image, Weights: []*tensors.Tensor{tensors.FromValue(w)},
		Logits: func(w []*Node, x *Node) *Node { return Dot(Reshape(x, x.Shape().Dim(0), -1), w[0]).MatMul() },
	}
}

// toyNetwork is a network of one hidden layer of random weights; its last layer is fitted to 400 images by least squares
// with a penalty.
func toyNetwork(t testing.TB, backend compute.Backend, hidden int, activation func(h *Node) *Node) Model {
	rng := rand.New(rand.NewPCG(3, uint64(hidden)))
	w := make([][]float32, 16)
	for k := range w {
		w[k] = make([]float32, hidden)
		for j := range w[k] {
			w[k][j] = float32(rng.NormFloat64())
		}
	}
	features := func(x, w *Node) *Node {
		centred := AddScalar(Reshape(x, x.Shape().Dim(0), -1), -.45)
		return activation(Dot(centred, w).MatMul())
	}
	const n = 400
	images, labels := toyImages(1, n)
	first := tensors.FromValue(w)
	h := eval(t, backend, func(in []*Node) []*Node { return []*Node{features(in[0], in[1])} },
		tensors.FromFlatDataAndDimensions(floats(images), n, 4, 4, 1), first)[0].Value().([][]float32)
	second := tensors.FromValue(ridge(h, labels))
	return Model{
		Backend: backend, Classes: 4, Image: toy.image, Weights: []*tensors.Tensor{first, second},
		Logits: func(w []*Node, x *Node) *Node { return Dot(features(x, w[0]), w[1]).MatMul() },
	}
}

// ridge solves (H'H + I) V = H'T for targets T of 6 for the label and -2 else, by Cholesky's decomposition.
func ridge(h [][]float32, labels []int32) [][]float32 {
	d := len(h[0])
	a, v := make([][]float64, d), make([][]float64, d)
	for i := range a {
		a[i], v[i] = make([]float64, i+1), make([]float64, 4)
		a[i][i] = 1
	}
	for n, row := range h {
		for i := range d {
			for j := range i + 1 {
				a[i][j] += float64(row[i]) * float64(row[j])
			}
			for k := range 4 {
				v[i][k] -= 2 * float64(row[i])
			}
			v[i][labels[n]] += 8 * float64(row[i])
		}
	}
	for i := range d { // a becomes L with LL' = a, v becomes L^-1 v
		for j := range i + 1 {
			for k := range j {
				a[i][j] -= a[i][k] * a[j][k]
			}
			if j < i {
				a[i][j] /= a[j][j]
			}
		}
		a[i][i] = math.Sqrt(a[i][i])
		for k := range 4 {
			for j := range i {
				v[i][k] -= a[i][j] * v[j][k]
			}
			v[i][k] /= a[i][i]
		}
	}
	out := make([][]float32, d)
	for i := d - 1; i >= 0; i-- { // v becomes L'^-1 v
		out[i] = make([]float32, 4)
		for k := range 4 {
			for j := i + 1; j < d; j++ {
				v[i][k] -= a[j][i] * v[j][k]
			}
			v[i][k] /= a[i][i]
			out[i][k] = float32(v[i][k])
		}
	}
	return out
}

func relu(h *Node) *Node { return MaxScalar(h, 0) }

// winners keeps the k largest of each row (k-WTA; Xiao et al. 2020) and sets the others to zero.
func winners(k int) func(h *Node) *Node {
	return func(h *Node) *Node {
		z := StopGradient(h)
		low, high := ReduceAndKeep(z, ReduceMin, -1), ReduceAndKeep(z, ReduceMax, -1)
		for range 24 {
			middle := MulScalar(Add(low, high), .5)
			count := ReduceAndKeep(ConvertDType(GreaterThan(z, BroadcastToShape(middle, z.Shape())), z.DType()), ReduceSum, -1)
			many := GreaterOrEqual(count, MulScalar(OnesLike(count), float64(k)))
			low, high = Where(many, middle, low), Where(many, high, middle)
		}
		return Where(GreaterThan(z, BroadcastToShape(low, z.Shape())), h, ZerosLike(h))
	}
}

// wrapped is a model around another: of its logits, given its input.
func wrapped(m Model, logits func(inner func(x *Node) *Node, x *Node) *Node) Model {
	base := m.Logits
	m.Logits = func(w []*Node, x *Node) *Node {
		return logits(func(x *Node) *Node { return base(w, x) }, x)
	}
	return m
}

// drawing is wrapped for a model with keys.
func drawing(m Model, logits func(inner func(x *Node) *Node, x, keys *Node) *Node) Model {
	base := m.Logits
	m.Logits = nil
	m.Random = func(w []*Node, x, keys *Node) *Node {
		return logits(func(x *Node) *Node { return base(w, x) }, x, keys)
	}
	return m
}
