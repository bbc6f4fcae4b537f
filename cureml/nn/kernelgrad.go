package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/shapes"
)

// smooth is the 3x3 convolution of stride 1 with one zero on every side, [B, n, m, C] -> [B, n, m, O]. The gradient with
// regard to its kernel,
//
//	dw[a, b, c, o] = sum over images and pixels of x[i+a-1, j+b-1, c] · dy[i, j, o],
//
// is for gomlx a convolution with the images as channels and a kernel as large as an image, which XLA:CPU runs at a fifth
// of the speed of the forward pass. Where a matrix product is quicker, it is written as such (see kernelForm).
func smooth(x, w *Node) *Node {
	border := [2]int{1, 1}
	convolve := func(in []*Node) *Node { return Convolve(in[0], in[1]).PaddingPerDim([][2]int{border, border}).Done() }
	if form := kernelForm(x, w); form != nil {
		return closedForm(convolve, []*Node{x, w}, func(dy *Node) []*Node { return []*Node{nil, form(x, dy)} })
	}
	return convolve([]*Node{x, w})
}

// kernelForm chooses by shapes, from measurements of a machine with two cores and AVX-512, batches of 64, in milliseconds:
//
//	image, channels    convolution   pairs   taps
//	32 x 32, 16            10.4        3.6    7.6
//	16 x 16, 32             5.4        3.5    4.1
//	 8 x  8, 64             2.6        5.3    2.8
//	 4 x  4, 128            2.4        4.7    3.3
//	32 x 32, 64             100        43     74
//	16 x 16, 128            74         39     30
//	 8 x  8, 256            41         40     25
//	 4 x  4, 512            36         87     24
//
// The first two are left to the convolution: inside a training step, where x and dy are computed in passing, nothing was
// gained by them.
func kernelForm(x, w *Node) func(x, dy *Node) *Node {
	if !onXLACPU(x.Graph()) {
		return nil
	}
	height, width := x.Shape().Dim(1), x.Shape().Dim(2)
	least, most := min(w.Shape().Dim(2), w.Shape().Dim(3)), max(w.Shape().Dim(2), w.Shape().Dim(3))
	switch {
	case least == 64 && most == 64 && min(height, width) >= 16 && width%2 == 0:
		return pairs
	case least*min(height, width) >= 2048:
		return taps
	}
	return nil
}

// bordered puts a zero on every side of images.
func bordered(x *Node) *Node {
	one := PadAxis{Start: 1, End: 1}
	return Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, one, one, PadAxis{})
}

// taps is the gradient as nine products, each of one shift of the images [C, pixels] with dy [pixels, O].
func taps(x, dy *Node) *Node {
	height, width := x.Shape().Dim(1), x.Shape().Dim(2)
	c, o := x.Shape().Dim(3), dy.Shape().Dim(3)
	x = bordered(x)
	dy = Reshape(dy, -1, o)
	var products []*Node
	for a := range 3 {
		for b := range 3 {
			shifted := Reshape(Slice(x, AxisRange(), AxisRange(a, a+height), AxisRange(b, b+width)), -1, c)
			products = append(products, Reshape(DotGeneral(shifted, []int{0}, nil, dy, []int{0}, nil), 1, c, o))
		}
	}
	return Reshape(Concatenate(products, 0), 3, 3, c, o)
}

// pairs is the gradient as one product. Two neighbours in a row of dy see four columns of x, of which two lie side by side
// in memory: their product [4·C, 2·O] has each of the three horizontal taps twice, once for each of the two, at the price
// of a third more multiplications. The vertical taps are copies of dy, shifted by a row: [4·C, 3·2·O]. Images are taken in
// groups, to occupy both threads.
//
// The copies are pasted one after the other: put together by Concatenate and Pad, XLA asks for every single value which
// of the parts it comes from.
func pairs(x, dy *Node) *Node {
	b, height, half := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)/2
	c, o := x.Shape().Dim(3), dy.Shape().Dim(3)
	all, rest := AxisRange(), AxisRange(1)
	x = Reshape(x, b, height, half, 2*c)
	columns := Zeros(x.Graph(), shapes.Make(x.DType(), b, height, half, 4*c))
	columns = paste(columns, x, 0, 0, 0, c)
	columns = paste(columns, Slice(x, all, all, AxisRange(0, half-1), AxisRange(c)), 0, 0, 1, 0)
	columns = paste(columns, Slice(x, all, all, rest, AxisRange(0, c)), 0, 0, 0, 3*c)

	dy = Reshape(dy, b, height, half, 2*o)
	rows := Zeros(dy.Graph(), shapes.Make(dy.DType(), b, height, half, 6*o))
	rows = paste(rows, Slice(dy, all, rest), 0, 0, 0, 0) // x above dy
	rows = paste(rows, dy, 0, 0, 0, 2*o)
	rows = paste(rows, Slice(dy, all, AxisRange(0, height-1)), 0, 1, 0, 4*o)

	groups := 1
	for groups < 8 && b%(2*groups) == 0 {
		groups *= 2
	}
	product := DotGeneral(Reshape(columns, groups, -1, 4*c), []int{1}, []int{0}, Reshape(rows, groups, -1, 6*o), []int{1}, []int{0})
	product = Reshape(ReduceSum(product, 0), 4, c, 3, 2, o) // column of the four, C, vertical tap, which of the two, O
	first := Slice(product, AxisRange(0, 3), all, all, AxisElem(0))
	second := Slice(product, AxisRange(1, 4), all, all, AxisElem(1))
	return TransposeAllAxes(Reshape(Add(first, second), 3, c, 3, o), 2, 0, 1, 3)
}

// paste puts part into whole, from the position at.
func paste(whole, part *Node, at ...int) *Node {
	var start []*Node
	for _, i := range at {
		start = append(start, Const(whole.Graph(), int32(i)))
	}
	return DynamicUpdateSlice(whole, part, start)
}
