package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/shapes"
)

// halve is a 3x3 convolution of stride 2 with one zero on every side, or a 1x1 one, of images with even sides.
//
// gomlx writes the gradient with regard to the images as a convolution of dy with zeros between its values: three quarters
// of its products are zeros, and XLA:CPU does not run it fast. There it is [unhalve] instead, and that with regard to the
// kernel [halfPatches].
func halve(x, w *Node) *Node {
	if w.Shape().Dim(0) == 1 {
		return Convolve(Slice(x, AxisRange(), AxisRange().Stride(2), AxisRange().Stride(2)), w).NoPadding().Done()
	}
	border := [2]int{1, 1}
	convolve := func(in []*Node) *Node {
		return Convolve(in[0], in[1]).Strides(2).PaddingPerDim([][2]int{border, border}).Done()
	}
	if !onXLACPU(x.Graph()) {
		return convolve([]*Node{x, w})
	}
	return closedForm(convolve, []*Node{x, w}, func(dy *Node) []*Node { return []*Node{unhalve(dy, w), halfPatches(x, dy)} })
}

// unhalve is the gradient of halve's convolution with regard to the images, from that with regard to its values v
// [B, n, m, O]. In one dimension, with a kernel w0 w1 w2, the images get
//
//	at 2j      v[j]·w1
//	at 2j + 1  v[j]·w2 + v[j+1]·w0
//
// so that four convolutions of stride 1, of kernels 1x1 to 2x2, compute what is between one another. Where channels are few,
// those of a row are one convolution with both as channels: more products, fewer calls.
func unhalve(v, w *Node) *Node {
	const few = 32
	b, n, m, in := v.Shape().Dim(0), v.Shape().Dim(1), v.Shape().Dim(2), w.Shape().Dim(2)
	w = TransposeAllAxes(w, 0, 1, 3, 2)
	taps := func(a, b int) *Node { return Slice(w, AxisRange(a, a+1), AxisRange(b, b+1)) }
	none := ZerosLike(taps(0, 0))
	even := func(a int) *Node { return taps(a, 1) }
	odd := func(a int) *Node { return Concatenate([]*Node{taps(a, 2), taps(a, 0)}, 1) }
	x := Zeros(v.Graph(), shapes.Make(v.DType(), b, n, 2, m, 2, in))
	convolve := func(row, column, columns int, kernel func(a int) *Node) {
		k := kernel(1)
		if row == 1 {
			k = Concatenate([]*Node{kernel(2), kernel(0)}, 0)
		}
		below, right := k.Shape().Dim(0)-1, k.Shape().Dim(1)-1
		part := Convolve(v, k).PaddingPerDim([][2]int{{0, below}, {0, right}}).Done()
		x = paste(x, Reshape(part, b, n, 1, m, columns, in), 0, 0, row, 0, column, 0)
	}
	for row := range 2 {
		if in <= few {
			convolve(row, 0, 2, func(a int) *Node {
				return Concatenate([]*Node{Concatenate([]*Node{even(a), none}, 1), odd(a)}, 3)
			})
			continue
		}
		convolve(row, 0, 1, even)
		convolve(row, 1, 1, odd)
	}
	return Reshape(x, b, 2*n, 2*m, in)
}

// halfPatches is the gradient of halve's convolution with regard to the kernel, as one product [9·C, pixels] · [pixels, O].
// Two neighbours in a row of the bordered images, 2j and 2j+1, and the first of the next two are what the three horizontal
// taps see: of the nine patches two thirds are copied two at a time.
func halfPatches(x, dy *Node) *Node {
	b, n, m := dy.Shape().Dim(0), dy.Shape().Dim(1), dy.Shape().Dim(2)
	c, o := x.Shape().Dim(3), dy.Shape().Dim(3)
	all := AxisRange()
	x = paste(Zeros(x.Graph(), shapes.Make(x.DType(), b, 2*n+2, 2*m+2, c)), x, 0, 1, 1, 0)
	x = Reshape(x, b, n+1, 2, m+1, 2*c)
	columns := Zeros(x.Graph(), shapes.Make(x.DType(), b, n, m, 9*c))
	for a := range 3 {
		row := Reshape(Slice(x, all, AxisRange(a/2, a/2+n), AxisElem(a%2)), b, n, m+1, 2*c)
		columns = paste(columns, Slice(row, all, all, AxisRange(0, m)), 0, 0, 0, 3*a*c)
		columns = paste(columns, Slice(row, all, all, AxisRange(1), AxisRange(0, c)), 0, 0, 0, (3*a+2)*c)
	}
	return Reshape(grouped(columns, dy), 3, 3, c, o)
}
