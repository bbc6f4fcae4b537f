package attacks

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Norm is the norm that bounds a perturbation.
type Norm int

const (
	// Linf bounds the largest change of a pixel value.
	Linf Norm = iota
	// L2 bounds the Euclidean length of the perturbation of a whole image.
	L2
	// L1 bounds the sum of the absolute changes of an image.
	L1
	// L0 counts the pixel values that change, channels one by one. Only searches for smallest perturbations take it.
	L0
)

// smallestNorm is the length below which a gradient counts as zero, so that no step divides by zero.
const smallestNorm = 1e-12

var normNames = []string{"linf", "l2", "l1", "l0"}

// String is the name on the command line and in reports: "linf", "l2", "l1" or "l0".
func (n Norm) String() string {
	if n < 0 || int(n) >= len(normNames) {
		return fmt.Sprintf("Norm(%d)", int(n))
	}
	return normNames[n]
}

// Ball is the set of images that an attack may return: within Eps of the clean image in Norm, with pixels in [0, 1].
type Ball struct {
	Norm Norm
	Eps  float64 // in pixel units of [0, 1]: 8/255, not 8
}

// Project maps adv to the eps-ball around x and then to the pixel box. Both are [B, ...] of one float type, x in [0, 1].
//
// Linf clips each pixel, which is the exact projection to ball and box. L2 scales the perturbation back to length eps
// and then clips to the box, as the reference codes do: the result obeys both, but it is not the nearest such point. L1 is the exact projection again.
// With eps = 0 the result is x, bit for bit.
func (b Ball) Project(adv, x *Node) *Node {
	if b.Eps == 0 {
		return x
	}
	return projectWithin(b.Norm, adv, x, Scalar(x.Graph(), dtypes.Float64, b.Eps))
}

// projectWithin is Ball.Project with eps as a node: radius is float64, a scalar or one for each image, [B, 1, 1, 1].
func projectWithin(norm Norm, adv, x, radius *Node) *Node {
	switch norm {
	case Linf:
		reach := ConvertDType(radius, x.DType())
		return Min(Max(adv, MaxScalar(Sub(x, reach), 0)), MinScalar(Add(x, reach), 1))
	case L2:
		delta := Sub(adv, x)
		shrink := MinScalar(Div(radius, MaxScalar(lengths(delta), smallestNorm)), 1)
		return ClipScalar(Add(x, Mul(delta, ConvertDType(shrink, x.DType()))), 0, 1)
	case L1:
		return projectL1(adv, x, radius)
	}
	exceptions.Panicf("attacks.Ball.Project: norm %s, want linf, l2 or l1", norm)
	return nil
}

// Direction is the direction of steepest ascent of unit size in the norm: sign(g) for Linf, g / max(|g|_2, 1e-12) per
// image for L2, and for L1 sign(g) on the largest |g| alone, shared among equals. Where the gradient is zero there is no move; entries that are NaN or infinite count as zero.
func (b Ball) Direction(grad *Node) *Node {
	grad = finite(grad)
	switch b.Norm {
	case Linf:
		return Sign(grad)
	case L2:
		unit := Div(ConvertDType(grad, dtypes.Float64), MaxScalar(lengths(grad), smallestNorm))
		return ConvertDType(unit, grad.DType())
	case L1:
		return sparse(grad, ZerosLike(reduceImages(grad, ReduceMax)))
	}
	exceptions.Panicf("attacks.Ball.Direction: norm %s, want linf, l2 or l1", b.Norm)
	return nil
}

// within says whether adv, one image, lies in the ball around x and in the box, up to the rounding of float32.
func (b Ball) within(adv, x []float32) bool {
	return inBox(adv) && b.distance(adv, x) <= b.Eps*(1+1e-6)+1e-7
}

// inBox says whether all pixels lie in [0, 1].
func inBox(adv []float32) bool {
	for _, v := range adv {
		if !(v >= 0 && v <= 1) {
			return false
		}
	}
	return true
}

// distance is the norm of adv - x, computed in float64.
func (b Ball) distance(adv, x []float32) float64 {
	var largest, squares, sum, changed float64
	for i, v := range adv {
		if v != x[i] {
			changed++
		}
		d := math.Abs(float64(v) - float64(x[i]))
		largest = math.Max(largest, d)
		squares += d * d
		sum += d
	}
	switch b.Norm {
	case Linf:
		return largest
	case L1:
		return sum
	case L0:
		return changed
	}
	return math.Sqrt(squares)
}

// lengths is the Euclidean norm of each image of x [B, ...], float64 with the axes kept: [B, 1, ...]. Squares and their
// sum are float64 because 3072 float32 terms, added in an order that the backend chooses, would miss the tolerance of
// within, and small gradients would underflow.
func lengths(x *Node) *Node {
	return Sqrt(sumImages(Square(ConvertDType(x, dtypes.Float64))))
}

// sumImages is the sum over each image of x [B, ...], with the axes kept: [B, 1, ...].
func sumImages(x *Node) *Node { return reduceImages(x, ReduceSum) }

// reduceImages applies a reduction to each image of x [B, ...], with the axes kept.
func reduceImages(x *Node, reduction func(x *Node, axes ...int) *Node) *Node {
	axes := make([]int, x.Rank()-1)
	for i := range axes {
		axes[i] = i + 1
	}
	return ReduceAndKeep(x, reduction, axes...)
}

// finite replaces NaN and infinite entries by zero.
func finite(x *Node) *Node {
	return Where(IsFinite(x), x, ZerosLike(x))
}
