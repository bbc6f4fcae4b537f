package nn

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/gomlx/compute/dtypes"
)

type node = Node

// Mode says which statistics batch norm uses in a forward pass, and whether the pass moves the running ones.
type Mode int

const (
	// Eval (E): running statistics, nothing is updated.
	Eval Mode = iota
	// Train (T): statistics of the batch; the running ones move towards them.
	Train
	// TrainFrozen (T0): statistics of the batch; the running ones stay.
	TrainFrozen
)

// String is the letter of the method cards: E, T or T0.
func (m Mode) String() string { return [...]string{"E", "T", "T0"}[m] }

// Net is a network inside one graph.
type Net struct {
	Arch Arch
	// Vars holds every tensor by name. A pass in mode [Train] replaces the running statistics here, so that after the
	// last pass they are the new ones, to be returned from the graph.
	Vars map[string]*Node
	// Tap, if set, sees the output of the stem ("stem"), of every block under its PyTorch name ("layer1.0",
	// "block1.layer.0", "layer.0.block.0", "layer_0.0"), of the pooling ("pooled") and the logits ("logits").
	Tap func(name string, x *Node)
	// FixedNorm, if set, picks batch norms by name that use their running statistics in every mode, and leave them as they
	// are.
	FixedNorm func(name string) bool
	// Compute is the type of the convolutions' arithmetic, but for those of pixels; these, batch norm, weights and logits
	// stay as they are. The zero value means no conversion.
	Compute dtypes.DType
	// Tracked counts the training-mode passes (PyTorch's num_batches_tracked moves by it).
	Tracked int
}

// Forward maps images x [B, H, W, 3] in [0,1] to logits [B, classes].
func (n *Net) Forward(mode Mode, x *Node) *Node {
	plan, err := n.Arch.plan()
	if err != nil {
		panic(err)
	}
	if x.Rank() != 4 || x.Shape().Dim(-1) != 3 {
		panic(fmt.Errorf("nn.Forward: images have shape %s, want [B, H, W, 3]", x.Shape()))
	}
	if mode == Train {
		n.Tracked++
	}
	p := &pass{net: n, mode: mode}
	if mean, std := n.Arch.normalisation(); mean != nil {
		x = Div(Sub(x, p.channels(mean, x)), p.channels(std, x))
	}
	logits := plan(p, x)
	p.tap("logits", logits)
	return logits
}

// pass is one forward pass; with declare set it only records which tensors the network has.
type pass struct {
	net     *Net
	mode    Mode
	same    bool // convolutions pad as TensorFlow's SAME
	declare func(t Tensor) *Node
}

func (p *pass) tap(name string, x *Node) {
	if p.net.Tap != nil {
		p.net.Tap(name, x)
	}
}

// tensor returns the variable named t.Name, which must have t's shape.
func (p *pass) tensor(t Tensor) *Node {
	if p.declare != nil {
		return p.declare(t)
	}
	v, ok := p.net.Vars[t.Name]
	if !ok {
		panic(fmt.Errorf("nn: %s has no tensor %q", p.net.Arch, t.Name))
	}
	return v
}

// channels is the constant v as [1, 1, 1, 3] in x's type.
func (p *pass) channels(v []float64, x *Node) *Node {
	return Reshape(ConstAsDType(x.Graph(), x.DType(), v), 1, 1, 1, 3)
}
