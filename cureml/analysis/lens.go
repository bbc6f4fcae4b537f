package analysis

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
	"cure/data"
)

// lens is a graph over a network, whose weights are inputs: one program serves all networks of one form, as long as the
// shapes of the other inputs stay the same.
type lens struct {
	device compute.Backend
	graph  func(net *nn.Net, in []*Node) []*Node
	execs  map[string]*Exec // by the form of the network
}

func newLens(device compute.Backend, graph func(net *nn.Net, in []*Node) []*Node) *lens {
	return &lens{device: device, graph: graph, execs: map[string]*Exec{}}
}

// close frees the programs.
func (l *lens) close() {
	for _, exec := range l.execs {
		exec.Finalize()
	}
}

// subject is a network on the device.
type subject struct {
	Network
	weights []*tensors.Tensor
}

func newSubject(n Network) *subject {
	s := &subject{Network: n}
	for _, t := range n.Tensors {
		s.weights = append(s.weights, tensors.FromFlatDataAndDimensions(n.Values[t.Name], t.Shape...))
	}
	return s
}

func (s *subject) free() { freeAll(s.weights...) }

// look runs the graph on a network; the inputs stay as they are.
func (l *lens) look(ctx context.Context, s *subject, in ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("analysis: interrupted: %w", err)
	}
	form := formOf(s.Arch)
	exec := l.execs[form]
	if exec == nil {
		var err error
		exec, err = NewExec(l.device, func(in []*Node) []*Node {
			net := &nn.Net{Arch: s.Arch, Vars: make(map[string]*Node, len(s.Tensors))}
			for i, t := range s.Tensors {
				net.Vars[t.Name] = in[i]
			}
			return l.graph(net, in[len(s.Tensors):])
		})
		if err != nil {
			return nil, fmt.Errorf("analysis: %w", err)
		}
		l.execs[form] = exec
	}
	args := make([]any, 0, len(s.weights)+len(in))
	for _, t := range slices.Concat(s.weights, in) {
		args = append(args, t)
	}
	out, err := exec.Exec(args...)
	if err != nil {
		return nil, fmt.Errorf("analysis: %s: %w", s.Name, err)
	}
	return out, nil
}

// formOf tells architectures apart.
func formOf(a nn.Arch) string { return fmt.Sprintf("%+v", a) }

// tapped runs the network in mode E and returns the output of a layer, by the names of nn.Net.Tap, and the logits.
func tapped(net *nn.Net, layer string, x *Node) (out, logits *Node) {
	net.Tap = func(name string, x *Node) {
		if name == layer {
			out = x
		}
	}
	logits = net.Forward(nn.Eval, x)
	if out == nil {
		panic(fmt.Errorf("analysis: %s has no layer %q", net.Arch, layer))
	}
	return out, logits
}

const imageValues = data.Height * data.Width * data.Channels

// unitPixels are the images of a set in [0, 1].
func unitPixels(set *data.Set) []float32 { return fromBytes(set.Images) }

func fromBytes(pixels []uint8) []float32 {
	v := make([]float32, len(pixels))
	for i, p := range pixels {
		v[i] = float32(p) / 255
	}
	return v
}

// toBytes rounds pixels in [0, 1].
func toBytes(pixels []float32) []uint8 {
	v := make([]uint8, len(pixels))
	for i, p := range pixels {
		v[i] = uint8(min(max(p, 0), 1)*255 + 0.5)
	}
	return v
}

// rowsOf copies rows first to first+size-1 of v, whose rows have width values, to the device; rows behind the last repeat
// the last one, so that all batches have one shape.
func rowsOf[T float32 | int32](v []T, width, first, size int) []T {
	out := make([]T, 0, size*width)
	for i := first; i < first+size; i++ {
		k := min(i, len(v)/width-1)
		out = append(out, v[k*width:(k+1)*width]...)
	}
	return out
}

// imageBatch is rowsOf images as a tensor [size, 32, 32, 3].
func imageBatch(images []float32, first, size int) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(rowsOf(images, imageValues, first, size), size, data.Height, data.Width, data.Channels)
}

// take copies a tensor to the host and frees it.
func take(t *tensors.Tensor) ([]float32, error) {
	v, err := tensors.CopyFlatData[float32](t)
	freeAll(t)
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	return v, nil
}

// freeAll gives tensors on the device back.
func freeAll(list ...*tensors.Tensor) {
	for _, t := range list {
		_ = t.FinalizeAll() // there is nothing to do about a buffer that does not go
	}
}
