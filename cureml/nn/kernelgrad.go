package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/dtypes"
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

// kernelForm chooses by shapes, from milliseconds for 64 images on two cores with AVX-512 (BenchmarkKernelForms; PyTorch's by
// cure bench shapes):
//
//	image, channels       convolution   patches   flipped   pasted   PyTorch
//	32 x 32,   3 ->  16           3.2       2.6       3.0      3.0       0.6
//	32 x 32,   3 ->  64           9.4       4.0        14       17       2.6
//	32 x 32,  16                 10.6       9.3       5.1      5.7       2.6
//	16 x 16,  32                  3.7       5.4       3.8      3.6       1.4
//	 8 x  8,  64                  1.8       4.0       3.2      3.0       1.5
//	 4 x  4, 128                  1.7       3.4       3.1      2.8       1.8
//	32 x 32,  64                   96        84        35       46        18
//	16 x 16, 128                   83        44        32       26        16
//	 8 x  8, 256                   40        40        32       23        15
//	 4 x  4, 512                   33        40        36       29        32
//
// Inside a step forms that look at x alone first are quicker than here: CURE's several gradients share that work.
func kernelForm(x, w *Node) func(x, dy *Node) *Node {
	if !onXLACPU(x.Graph()) {
		return nil
	}
	side := min(x.Shape().Dim(1), x.Shape().Dim(2))
	least, most := min(w.Shape().Dim(2), w.Shape().Dim(3)), max(w.Shape().Dim(2), w.Shape().Dim(3))
	switch {
	case least <= 4 && side >= 16:
		return patches
	case most <= 64 && side >= 16:
		return flipped
	case least*side >= 2048:
		return pasted
	}
	return nil
}

// flipped is the gradient as one product [3·C, pixels] · [pixels, 3·O]: x brings the three horizontal taps, as lines
// shifted by a pixel, and dy the three vertical ones, shifted by a row.
func flipped(x, dy *Node) *Node {
	row, c, o := x.Shape().Dim(2)+1, x.Shape().Dim(3), dy.Shape().Dim(3)
	columns := shifts(lines(x), x, row, row+1, row+2)
	rows := shifts(lines(dy), x, 2*row+1, row+1, 1)
	return verticalFirst(DotGeneral(columns, []int{1}, nil, rows, []int{1}, nil), c, o)
}

// patches is the gradient as one product [9·C, pixels] · [pixels, O]: for the few channels of images.
func patches(x, dy *Node) *Node {
	b, height, row := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)+1
	c, o := x.Shape().Dim(3), dy.Shape().Dim(3)
	var from []int
	for a := range 3 {
		for b := range 3 {
			from = append(from, a*row+b)
		}
	}
	dy = paste(Zeros(dy.Graph(), shapes.Make(dy.DType(), b, height+1, row, o)), dy, 0, 0, 0, 0)
	product := DotGeneral(shifts(lines(x), x, from...), []int{1}, nil, Reshape(dy, -1, o), []int{0}, nil)
	return Reshape(product, 3, 3, c, o)
}

// pasted is flipped without turning the images over, for which many channels are too many: [pixels, 3·C] and [pixels, 3·O].
// Images are taken in groups, to occupy both threads.
//
// The copies are pasted one after the other: put together by Concatenate and Pad, XLA asks for every single value which
// of the parts it comes from.
func pasted(x, dy *Node) *Node {
	b, height, width := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	c, o := x.Shape().Dim(3), dy.Shape().Dim(3)
	all, rest := AxisRange(), AxisRange(1)
	columns := Zeros(x.Graph(), shapes.Make(x.DType(), b, height, width, 3*c))
	columns = paste(columns, Slice(x, all, all, AxisRange(0, width-1)), 0, 0, 1, 0)
	columns = paste(columns, x, 0, 0, 0, c)
	columns = paste(columns, Slice(x, all, all, rest), 0, 0, 0, 2*c)
	rows := Zeros(dy.Graph(), shapes.Make(dy.DType(), b, height, width, 3*o))
	rows = paste(rows, Slice(dy, all, rest), 0, 0, 0, 0) // x above dy
	rows = paste(rows, dy, 0, 0, 0, o)
	rows = paste(rows, Slice(dy, all, AxisRange(0, height-1)), 0, 1, 0, 2*o)
	return verticalFirst(grouped(columns, rows), c, o)
}

// verticalFirst orders a product [b, C, a, O] of horizontal taps b and vertical ones a as a kernel [a, b, C, O].
func verticalFirst(product *Node, c, o int) *Node {
	return TransposeAllAxes(Reshape(product, 3, c, 3, o), 2, 0, 1, 3)
}

// grouped is the product [M, N] over images and pixels of columns [B, n, m, M] and rows [B, n, m, N].
func grouped(columns, rows *Node) *Node {
	const most = 8
	groups := 1
	for groups < most && columns.Shape().Dim(0)%(2*groups) == 0 {
		groups *= 2
	}
	columns = Reshape(columns, groups, -1, columns.Shape().Dim(-1))
	rows = Reshape(rows, groups, -1, rows.Shape().Dim(-1))
	return ReduceSum(DotGeneral(columns, []int{1}, []int{0}, rows, []int{1}, []int{0}), 0)
}

// lines lays out images [B, n, m, C] as a line of pixels for each channel, [C, (B+1)·(n+1)·(m+1)]. Before each row and each
// image lie zeros, and behind the last one an image of them: so a shift by a row or a pixel is a slice of the line, and
// what it reads beyond the border is 0. Pixel i, j of an image lies (i+1)·(m+1) + j+1 behind its beginning.
//
// Lines come from a product with ones on the diagonal. XLA would compute a transposition anew, value by value, for each
// of the slices.
func lines(x *Node) *Node {
	b, height, width, c := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2), x.Shape().Dim(3)
	x = paste(Zeros(x.Graph(), shapes.Make(x.DType(), b+1, height+1, width+1, c)), x, 0, 1, 1, 0)
	square := shapes.Make(dtypes.Int32, c, c)
	one := ConvertDType(Equal(Iota(x.Graph(), square, 0), Iota(x.Graph(), square, 1)), x.DType())
	return DotGeneral(one, []int{1}, nil, Reshape(x, -1, c), []int{1}, nil)
}

// shifts are the parts of the lines of images that begin at the places from and are as long as all of the images but the
// last, one below the other: [len(from)·C, B·(n+1)·(m+1)].
func shifts(lines, images *Node, from ...int) *Node {
	length := images.Shape().Dim(0) * (images.Shape().Dim(1) + 1) * (images.Shape().Dim(2) + 1)
	var parts []*Node
	for _, begin := range from {
		parts = append(parts, Slice(lines, AxisRange(), AxisRange(begin, begin+length)))
	}
	return Concatenate(parts, 0)
}

// paste puts part into whole, from the position at.
func paste(whole, part *Node, at ...int) *Node {
	var start []*Node
	for _, i := range at {
		start = append(start, Const(whole.Graph(), int32(i)))
	}
	return DynamicUpdateSlice(whole, part, start)
}
