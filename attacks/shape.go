package attacks

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// checkLogits panics unless logits is [B, C] of a float type.
func checkLogits(name string, logits *Node) {
	if logits.Rank() != 2 || !logits.DType().IsFloat() {
		exceptions.Panicf("attacks.%s: logits have shape %s, want floats [batch, classes]", name, logits.Shape())
	}
}

// checkClasses panics unless there are at least n classes.
func checkClasses(name string, logits *Node, n int) {
	if c := logits.Shape().Dim(-1); c < n {
		exceptions.Panicf("attacks.%s: %d classes, want at least %d", name, c, n)
	}
}

// classIndex is int32 [B, C] that holds each entry's class.
func classIndex(logits *Node) *Node {
	shape := logits.Shape()
	return Iota(logits.Graph(), shapes.Make(dtypes.Int32, shape.Dim(0), shape.Dim(1)), 1)
}
