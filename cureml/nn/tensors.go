package nn

import (
	"fmt"
	"sync"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	_ "github.com/gomlx/compute/gobackend" // shapes are worked out on the Go backend, without a plugin
	"github.com/gomlx/compute/shapes"
)

// Kind is the role of a tensor, which decides its start value and its layout in PyTorch files.
type Kind int

const (
	ConvWeight   Kind = iota // [kh, kw, in, out]
	LinearWeight             // [in, out]
	LinearBias               // [out]
	NormWeight               // [c], scale
	NormBias                 // [c], offset
	RunningMean              // [c], statistics: no gradient
	RunningVar               // [c], statistics: no gradient
)

// Trainable is false for running statistics.
func (k Kind) Trainable() bool { return k != RunningMean && k != RunningVar }

// Tensor describes one tensor of a network.
type Tensor struct {
	Name  string
	Shape []int
	Kind  Kind
	FanIn int // of the layer, for a LinearBias
}

// Size is the number of elements.
func (t Tensor) Size() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// goBackend works out shapes; nothing is ever compiled or run on it here.
var goBackend = sync.OnceValues(func() (compute.Backend, error) { return compute.NewWithConfig("go") })

// Tensors lists the tensors of a in the order of PyTorch's state dict. The list is read off the forward function
// itself, so there is no second description that could drift.
func (a Arch) Tensors() ([]Tensor, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	plan, err := a.plan()
	if err != nil {
		return nil, err
	}
	return declared(a, plan, 2, 32, 32, 3)
}

// declared lists the tensors that plan asks for on an input of the given shape.
func declared(a Arch, plan func(p *pass, x *Node) *Node, input ...int) (list []Tensor, err error) {
	g, err := traced(a, plan, func(t Tensor) { list = append(list, t) }, input...)
	if err != nil {
		return nil, err
	}
	g.Finalize()
	return list, nil
}

// traced is the graph of plan on an input of the given shape, which nobody compiles. see gets the tensors that plan asks for.
func traced(a Arch, plan func(p *pass, x *Node) *Node, see func(t Tensor), input ...int) (g *Graph, err error) {
	backend, err := goBackend()
	if err != nil {
		return nil, fmt.Errorf("nn: the Go backend, which works out shapes: %w", err)
	}
	g = NewGraph(backend, "tensors of "+a.String())
	defer func() {
		if r := recover(); r != nil {
			g.Finalize()
			err = fmt.Errorf("nn: %s: %v", a, r)
		}
	}()
	p := &pass{net: &Net{Arch: a}, mode: TrainFrozen}
	p.declare = func(t Tensor) *Node {
		see(t)
		return Parameter(g, t.Name, shapes.Make(dtypes.Float32, t.Shape...))
	}
	plan(p, Parameter(g, "images", shapes.Make(dtypes.Float32, input...)))
	return g, nil
}
