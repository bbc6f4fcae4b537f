package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/shapes"
)

// Two operations have gradients of ours, in a form that XLA runs faster than gomlx's: convolutions of stride 2 (see
// unhalve) and relu. gomlx keeps gradients by the type of a node, so ours look at the shapes and inputs of every such node
// and leave to gomlx's what is not one of these two.
func init() {
	replace := func(kind NodeType, ours func(node, v *Node, grads []*Node)) {
		plain := VJPRegistration[kind]
		VJPRegistration[kind] = func(node *Node, v []*Node, shape shapes.Shape) []*Node {
			grads := plain(node, v, shape)
			ours(node, v[0], grads)
			return grads
		}
	}
	replace(NodeTypeConvGeneral, func(node, v *Node, grads []*Node) {
		if x, w := node.Inputs()[0], node.Inputs()[1]; halved(x, w, node) {
			grads[0] = unhalve(v, w)
		}
	})
	replace(NodeTypeMax, func(node, v *Node, grads []*Node) {
		if rectified(node) { // not GreaterThan: XLA knows that max(0, x) > 0 is x > 0, and would keep x
			grads[1] = Where(NotEqual(node, ZerosLike(node)), v, ZerosLike(v))
		}
	})
}

// rectified recognises relu.
func rectified(node *Node) bool {
	zero := node.Inputs()[0].ConstantValue()
	return zero != nil && zero.Shape().IsScalar() && isZero(zero.Value())
}

func isZero(v any) bool { return v == float32(0) || v == float64(0) }
