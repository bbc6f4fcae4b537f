package nn

import (
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/shapes"
)

// onXLACPU says whether a graph is for XLA's CPU backend, some of whose forms are slow: this package then writes the same
// values in forms that were measured to be quicker. A GPU's libraries have kernels for the plain ones.
func onXLACPU(g *Graph) bool {
	return g.Backend().Name() == "xla" && !strings.Contains(strings.ToLower(g.Backend().Description()), "cuda")
}

// channelSum is the sum over all axes of x [B, ..., C] but the last: [C].
//
// XLA:CPU adds up columns on one thread and without vectors. Products with ones run 2 to 4 times as fast; that they are
// taken in groups of rows uses both threads, and rounds less than one long sum.
func channelSum(x *Node) *Node {
	c := x.Shape().Dim(-1)
	rows := x.Shape().Size() / c
	if !onXLACPU(x.Graph()) {
		return ReduceSum(Reshape(x, rows, c), 0)
	}
	const most = 16
	groups := 1
	for 2*groups <= most && rows%(2*groups) == 0 {
		groups *= 2
	}
	ones := Ones(x.Graph(), shapes.Make(x.DType(), groups, rows/groups))
	return ReduceSum(DotGeneral(ones, []int{1}, []int{0}, Reshape(x, groups, rows/groups, c), []int{1}, []int{0}), 0)
}

// spread repeats v [C] over all axes of x [B, ..., C] but the last. Its gradient is a channelSum.
func spread(v, x *Node) *Node {
	if !onXLACPU(x.Graph()) {
		return wide(v, x.Rank())
	}
	rows := Ones(x.Graph(), shapes.Make(x.DType(), x.Shape().Size()/v.Shape().Size()))
	return Reshape(DotGeneral(rows, nil, nil, v, nil, nil), x.Shape().Dimensions...) // ones, times v: no product remains
}
