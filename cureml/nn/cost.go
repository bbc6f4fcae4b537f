package nn

import . "github.com/gomlx/gomlx/core/graph" //nolint:revive

// MACs counts the multiply-adds of a forward pass over one image [32, 32, 3]: those of convolutions, H·W·k²·in·out each
// with H·W the size of what comes out, and of the classifier, in·out. Products with the zeros of a padding count, as in
// the figures that papers give; batch norm, activations and sums are left out, which are below 1 %. One multiply-add is
// two floating-point operations.
//
// It is read off the forward function itself: 0.56e9 for a ResNet-18 of width 64, 5.24e9 for a WRN-28-10, 6.66e9 for a
// WRN-34-10.
func (a Arch) MACs() (n int64, err error) {
	if err := a.Validate(); err != nil {
		return 0, err
	}
	plan, err := a.plan()
	if err != nil {
		return 0, err
	}
	g, err := traced(a, plan, func(Tensor) {}, 1, 32, 32, 3)
	if err != nil {
		return 0, err
	}
	defer g.Finalize()
	for _, node := range g.Nodes() {
		n += multiplied(node)
	}
	return n, nil
}

// multiplied counts the multiply-adds of a node of a forward pass.
func multiplied(node *Node) int64 {
	out := int64(node.Shape().Size())
	switch node.Type() {
	case NodeTypeConvGeneral: // kernel [k, k, in, out]
		kernel := node.Inputs()[1].Shape()
		return out * int64(kernel.Size()/kernel.Dim(-1))
	case NodeTypeDotGeneral: // [B, in] by [in, out]
		return out * int64(node.Inputs()[1].Shape().Dim(0))
	}
	return 0
}
