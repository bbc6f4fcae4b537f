package similarity

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"cure/cureml/nn"
)

// Layer is what one layer of a network makes of n inputs.
type Layer struct {
	Name   string // as nn.Net.Tap names it: stem, layer1.0, ..., pooled, logits
	Width  int    // features
	Values []float32
}

// Dense is the layer as a float64 matrix [n, Width].
func (l Layer) Dense() *mat.Dense {
	v := make([]float64, len(l.Values))
	for i, x := range l.Values {
		v[i] = float64(x)
	}
	return mat.NewDense(len(v)/l.Width, l.Width, v)
}

// Activations runs the images, n of [32, 32, 3] in [0,1], through a network in mode E and returns the output of the stem,
// of every block and the logits; pooled averages feature maps over space, [n, C] instead of [n, H·W·C]. batch is how many
// images go through at once.
func Activations(backend compute.Backend, s *nn.State, images []float32, batch int, pooled bool) ([]Layer, error) {
	const size = 32 * 32 * 3
	n := len(images) / size
	if n == 0 || len(images)%size != 0 || batch < 1 {
		return nil, fmt.Errorf("similarity: %d pixel values in batches of %d: want images of 32x32x3, and batches of 1 or more", len(images), batch)
	}
	batch = min(batch, n)
	var layers []Layer
	exec, err := NewExec(backend, func(in []*Node) []*Node {
		net := &nn.Net{Arch: s.Arch, Vars: map[string]*Node{}}
		for i, t := range s.Tensors {
			net.Vars[t.Name] = in[i]
		}
		var out []*Node
		layers = layers[:0]
		net.Tap = func(name string, x *Node) {
			if name == "pooled" {
				return // the average of the block before
			}
			if pooled && x.Rank() == 4 {
				x = ReduceMean(x, 1, 2)
			}
			x = Reshape(x, batch, -1)
			layers = append(layers, Layer{Name: name, Width: x.Shape().Dim(1)})
			out = append(out, x)
		}
		net.Forward(nn.Eval, in[len(s.Tensors)])
		return out
	})
	if err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	defer exec.Finalize()
	var args []any
	for _, t := range s.Tensors {
		v := tensors.FromFlatDataAndDimensions(s.Values[t.Name], t.Shape...)
		defer v.MustFinalizeAll()
		args = append(args, v)
	}
	input := make([]float32, batch*size)
	for first := 0; first < n; first += batch {
		count := min(batch, n-first)
		copy(input, images[first*size:(first+count)*size]) // a short last batch keeps images of the one before, which are not read
		out, err := exec.Exec(append(args[:len(s.Tensors):len(s.Tensors)], tensors.FromFlatDataAndDimensions(input, batch, 32, 32, 3))...)
		if err != nil {
			return nil, fmt.Errorf("similarity: %w", err)
		}
		for i, t := range out {
			if layers[i].Values == nil {
				layers[i].Values = make([]float32, 0, n*layers[i].Width)
			}
			err := t.ConstFlatData(func(flat any) {
				layers[i].Values = append(layers[i].Values, flat.([]float32)[:count*layers[i].Width]...)
			})
			t.MustFinalizeAll()
			if err != nil {
				return nil, fmt.Errorf("similarity: layer %s: %w", layers[i].Name, err)
			}
		}
	}
	return layers, nil
}
