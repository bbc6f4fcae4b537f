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

// newCorner is x, y -> x + eps·sign ∇, where a loss of logits and labels rises fastest within eps in L∞; in the pixel box
// if clip says so.
func newCorner(eps float64, clip bool, loss func(logits, y *Node) *Node) *program {
	return newProgram(func(s *subject, weights, in []*Node) []*Node {
		_, grad := slopeOf(in[0], func(x *Node) *Node { return loss(s.Logits(weights, x), in[1]) })
		corner := Add(in[0], MulScalar(Sign(grad), eps))
		if clip {
			corner = ClipScalar(corner, 0, 1)
		}
		return []*Node{corner}
	})
}

// largest climbs from each of some starts, which it frees, and returns the largest value that each image showed on the ways:
// step takes images and the largest values so far, and returns both a step on.
func largest(b *batch, steps int, starts []*tensors.Tensor, step func(adv, best *tensors.Tensor) ([]*tensors.Tensor, error)) (*tensors.Tensor, error) {
	best := b.each(0)
	for i, adv := range starts {
		for range steps + 1 { // the last pass only looks at where the last step led
			out, err := step(adv, best)
			free(adv, best)
			if err != nil {
				free(starts[i+1:]...)
				return nil, err
			}
			adv, best = out[0], out[1]
		}
		free(adv)
	}
	return best, nil
}

// imageSum is the sum over each image of x [B, H, W, C]: [B].
func imageSum(x *Node) *Node { return ReduceSum(x, 1, 2, 3) }

// imageLength is the Euclidean length of each image of x [B, H, W, C]: [B].
func imageLength(x *Node) *Node { return Sqrt(imageSum(Square(x))) }

// wideRows shapes one value for each image, [B], for arithmetic with x [B, H, W, C].
func wideRows(v, x *Node) *Node { return Reshape(v, x.Shape().Dim(0), 1, 1, 1) }
