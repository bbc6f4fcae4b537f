package analysis

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"
)

// slopeOf are the values [B] of f at images x, and their gradients by the images.
func slopeOf(x *Node, f func(x *Node) *Node) (values, grad *Node) {
	leaf := Identity(StopGradient(x))
	values = f(leaf)
	return values, Gradient(ReduceAllSum(values), leaf)[0]
}

// stepWithin moves adv by the sign of grad, within eps of x in L∞. Pixels may leave the box.
func stepWithin(x, adv, grad *Node, stepSize, eps float64) *Node {
	next := Add(adv, MulScalar(Sign(grad), stepSize))
	return Min(Max(next, AddScalar(x, -eps)), AddScalar(x, eps))
}

// largest climbs from a start, and returns the largest value that each image showed on the way: step takes images and the
// largest values so far, and returns both a step on.
func largest(b *batch, start []float32, steps int, step func(adv, best *tensors.Tensor) ([]*tensors.Tensor, error)) (*tensors.Tensor, error) {
	adv, best := b.like(start), b.each(0)
	for range steps + 1 { // the last pass only looks at where the last step led
		out, err := step(adv, best)
		free(adv, best)
		if err != nil {
			return nil, err
		}
		adv, best = out[0], out[1]
	}
	free(adv)
	return best, nil
}

// imageSum is the sum over each image of x [B, H, W, C]: [B].
func imageSum(x *Node) *Node { return ReduceSum(x, 1, 2, 3) }

// imageLength is the Euclidean length of each image of x [B, H, W, C]: [B].
func imageLength(x *Node) *Node { return Sqrt(imageSum(Square(x))) }

// wideRows shapes one value for each image, [B], for arithmetic with x [B, H, W, C].
func wideRows(v, x *Node) *Node { return Reshape(v, x.Shape().Dim(0), 1, 1, 1) }
