package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// halve is a 3x3 convolution of stride 2 with one zero on every side, or a 1x1 one, of images with even sides.
//
// gomlx writes the gradient with regard to the images as a convolution of dy with zeros between its values: three quarters
// of its products are zeros, and XLA:CPU does not run it fast. There it is [unhalve] instead.
func halve(x, w *Node) *Node {
	if w.Shape().Dim(0) == 1 {
		return Convolve(Slice(x, AxisRange(), AxisRange().Stride(2), AxisRange().Stride(2)), w).NoPadding().Done()
	}
	x = bordered(x)
	convolve := func(in []*Node) *Node { return Convolve(in[0], in[1]).Strides(2).NoPadding().Done() }
	if !onXLACPU(x.Graph()) {
		return convolve([]*Node{x, w})
	}
	return closedForm(convolve, []*Node{x, w}, func(dy *Node) []*Node { return []*Node{unhalve(dy, w), nil} })
}

// unhalve is the gradient of halve's convolution with regard to the padded images, from that with regard to its values,
// v [B, n, n, O]. In one dimension, with a kernel w0 w1 w2, the values of the padded images get
//
//	at 2j      v[j-1]·w2 + v[j]·w0
//	at 2j + 1              v[j]·w1
//
// so that a convolution of width 2 and stride 1 computes both as channels: [B, n+1, n+1, 2·2·C] before they are put side by
// side.
func unhalve(v, w *Node) *Node {
	in, out := w.Shape().Dim(2), w.Shape().Dim(3)
	end := PadAxis{End: 1}
	w = Pad(w, ScalarZero(w.Graph(), w.DType()), end, end, PadAxis{}, PadAxis{}) // w0 w1 w2 0
	for axis := range 2 {                                                        // w2 0 w0 w1: tap, then parity
		w = Concatenate([]*Node{SliceAxis(w, axis, AxisRange(2)), SliceAxis(w, axis, AxisRange(0, 2))}, axis)
	}
	w = TransposeAllAxes(Reshape(w, 2, 2, 2, 2, in, out), 0, 2, 5, 1, 3, 4)
	both := [2]int{1, 1}
	x := Convolve(v, Reshape(w, 2, 2, out, 4*in)).PaddingPerDim([][2]int{both, both}).Done()
	b, rows, columns := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	x = TransposeAllAxes(Reshape(x, b, rows, columns, 2, 2, in), 0, 1, 3, 2, 4, 5)
	return Reshape(x, b, 2*rows, 2*columns, in)
}
