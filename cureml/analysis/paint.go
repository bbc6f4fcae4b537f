package analysis

import (
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// Images that are optimised to excite a unit are painted as in Olah et al., "Feature Visualization" (Distill 2017), and its
// code, tensorflow/lucid (optvis/param/spatial.py, color.py): by frequencies instead of pixels, in colours that do not go
// together, so that steepest ascent does not paint noise. The frequencies here are those of the cosine transform.

const side32 = 32

// cosines is the orthonormal DCT-II as a matrix [32, 32]: row k is frequency k.
func cosines() [][]float32 {
	d := make([][]float32, side32)
	for k := range d {
		d[k] = make([]float32, side32)
		scale := math.Sqrt(2. / side32)
		if k == 0 {
			scale = math.Sqrt(1. / side32)
		}
		for x := range d[k] {
			d[k][x] = float32(scale * math.Cos(math.Pi*(float64(x)+0.5)*float64(k)/side32))
		}
	}
	return d
}

// decay is 1/max(f, 1/32) [32, 32, 1] of the frequencies f in cycles per pixel: natural images have their energy spread
// like that.
func decay() [][][]float32 {
	s := make([][][]float32, side32)
	for i := range s {
		s[i] = make([][]float32, side32)
		for j := range s[i] {
			f := math.Hypot(float64(i), float64(j)) / (2 * side32)
			s[i][j] = []float32{float32(1 / math.Max(f, 1./side32))}
		}
	}
	return s
}

// colours turns uncorrelated channels into red, green and blue: lucid's square root of the colour covariance of natural
// images, rows divided as there by the largest norm of a column.
func colours() [][]float32 {
	root := [3][3]float64{{0.26, 0.09, 0.02}, {0.27, 0.00, -0.05}, {0.27, -0.09, 0.03}}
	largest := 0.0
	for k := range 3 {
		largest = math.Max(largest, math.Sqrt(root[0][k]*root[0][k]+root[1][k]*root[1][k]+root[2][k]*root[2][k]))
	}
	m := make([][]float32, 3)
	for i := range m {
		for k := range 3 {
			m[i] = append(m[i], float32(root[i][k]/largest))
		}
	}
	return m
}

// painted is the image [B, 32, 32, 3] in (0, 1) of a spectrum of the same shape:
//
//	sigmoid(colours · Dᵀ (spectrum · decay / 4) D)
func painted(spectrum *Node) *Node {
	g := spectrum.Graph()
	d := Const(g, cosines())
	x := MulScalar(Mul(spectrum, InsertAxes(Const(g, decay()), 0)), 0.25)
	x = Einsum("bijc,iy->byjc", x, d)
	x = Einsum("byjc,jx->byxc", x, d)
	return Sigmoid(Einsum("byxc,dc->byxd", x, Const(g, colours())))
}

// warped looks at an image [B, 32, 32, 3] through the matrices [32, 32] of [glance].
func warped(image, rows, cols *Node) *Node {
	return Einsum("bvxc,wx->bvwc", Einsum("byxc,vy->bvxc", image, rows), cols)
}

// glance draws a way to look at an image along one axis, a matrix [32, 32] to multiply with: 32 equally spaced places
// around a centre that is moved by up to jitter pixels, scaled together by up to 1 ± zoom; linear interpolation, places
// outside see the edge. What survives all glances is no pattern of single pixels.
func glance(rng *rand.Rand, jitter, zoom float64) (rows, cols []float32) {
	scale := 1 + zoom*(2*rng.Float64()-1)
	axis := func() []float32 { return resample(scale, jitter*(2*rng.Float64()-1)) }
	return axis(), axis()
}

// resample is the matrix of places (i - 15.5)·scale + 15.5 + shift.
func resample(scale, shift float64) []float32 {
	m := make([]float32, side32*side32)
	for i := range side32 {
		at := (float64(i)-(side32-1)/2.)*scale + (side32-1)/2. + shift
		at = math.Min(math.Max(at, 0), side32-1)
		low := min(int(at), side32-2)
		f := at - float64(low)
		m[i*side32+low] = float32(1 - f)
		m[i*side32+low+1] = float32(f)
	}
	return m
}

// variation is the total variation of each image [B, 32, 32, 3], the mean absolute difference of neighbours.
func variation(x *Node) *Node {
	down := Sub(Slice(x, AxisRange(), AxisRange(1, side32)), Slice(x, AxisRange(), AxisRange(0, side32-1)))
	right := Sub(Slice(x, AxisRange(), AxisRange(), AxisRange(1, side32)), Slice(x, AxisRange(), AxisRange(), AxisRange(0, side32-1)))
	return MulScalar(Add(ReduceMean(Abs(down), 1, 2, 3), ReduceMean(Abs(right), 1, 2, 3)), 0.5)
}

// adam is a step of Adam (Kingma and Ba 2015) with its published constants towards higher values: p, its two moments and
// the number t of the step, from 1.
func adam(p, m, v, grad, t, rate *Node) (p2, m2, v2 *Node) {
	const b1, b2, tiny = 0.9, 0.999, 1e-8
	m2 = Add(MulScalar(m, b1), MulScalar(grad, 1-b1))
	v2 = Add(MulScalar(v, b2), MulScalar(Square(grad), 1-b2))
	unbiased := func(x *Node, b float64) *Node {
		return Div(x, OneMinus(Exp(MulScalar(t, math.Log(b)))))
	}
	step := Div(unbiased(m2, b1), AddScalar(Sqrt(unbiased(v2, b2)), tiny))
	return Add(p, Mul(rate, step)), m2, v2
}
