package attacks

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// minimumPresets are the gradient-based searches for smallest perturbations. Their eps decides the robust flags alone. In L0
// it is a number of pixel values; the search begins at one and adds about one a step, so that 100 steps break fewer images.
var minimumPresets = []Attack{
	{Name: "ddn", Method: DDN{Ball: Ball{L2, .5}}},
	{Name: "fmn-l2", Method: FMN{Ball: Ball{L2, .5}}},
	{Name: "fmn-linf", Method: FMN{Ball: standardBall}},
	{Name: "fmn-l1", Method: FMN{Ball: Ball{L1, 12}}},
	{Name: "fmn-l0", Method: FMN{Ball: Ball{L0, 24}, Steps: 200}},
	{Name: "alma", Method: ALMA{Ball: Ball{L2, .5}}},
}

// approach is a search for the smallest perturbation in a fixed number of steps from the clean image, each of them one
// gradient pass at the iterate and one move: DDN, FMN and ALMA. The nearest adversarial iterate stays on the device until
// the last step.
type approach interface {
	minimizer
	program() any                   // the settings that the program of the move depends on, as a key
	state() (images, numbers int)   // how many tensors [B, H, W, C] and [B] a move hands to the next, besides approachState
	schedule(step int) [2]float64   // two numbers for the move of a step
	move(s *approachState, p probe) // moves s.x
}

// approachState is the state of an approach in all rows, as nodes of its program.
type approachState struct {
	x, best         *Node // the iterate that the pass was at, and the nearest adversarial one so far
	distance        *Node // of best, [B]; +Inf before there is one
	marks           *Node // int32 [B], or-ed over the passes
	images, numbers []*Node
}

// probe is what a pass at the iterate showed.
type probe struct {
	clean, natural *Node // the clean images and their logits
	grad           *Node // of the goal; zero where it was NaN or infinite
	losses         *Node
	wrong          *Node    // Bool [B]: misclassified
	first          *Node    // Bool [B]: the pass was at the clean image
	noise          [2]*Node // [B], keys for gaussian
	schedule       [2]*Node // [B]
}

// keep takes the iterate over as the best one where it is adversarial and nearer than the last such.
func (s *approachState) keep(adversarial, distance *Node) {
	nearer := LogicalAnd(adversarial, LessThan(distance, s.distance))
	s.best = wherever(nearer, s.x, s.best)
	s.distance = Where(nearer, distance, s.distance)
}

// sizes is a norm of each image of x [B, ...]: float32 [B].
func sizes(norm Norm, x *Node) *Node {
	var size *Node
	switch norm {
	case Linf:
		size = reduceImages(Abs(x), ReduceMax)
	case L1:
		size = sumImages(Abs(ConvertDType(x, dtypes.Float64)))
	case L0:
		return differing(x, ZerosLike(x))
	default:
		size = lengths(x)
	}
	return Reshape(ConvertDType(size, dtypes.Float32), x.Shape().Dim(0))
}

// farthest is the distance from each image to the corner of the pixel box that is farthest from it: float32 [B].
func farthest(norm Norm, clean *Node) *Node { return sizes(norm, Max(clean, OneMinus(clean))) }

// constant is v in the shape of x.
func constant(x *Node, v float64) *Node { return MulScalar(OnesLike(x), v) }

// perImage is numbers [B] as [B, 1, 1, 1].
func perImage(numbers *Node) *Node { return InsertAxes(numbers, -1, -1, -1) }

// cosine falls from one value to the other along half a wave, which it would end at step steps.
func cosine(from, to float64, step, steps int) float64 {
	return to + (from-to)*(1+math.Cos(math.Pi*float64(step)/float64(steps)))/2
}
