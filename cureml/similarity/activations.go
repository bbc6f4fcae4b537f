package similarity

import (
	"context"
	"fmt"
	"reflect"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"cure/cureml/nn"
)

// Layer is what one layer of a network makes of n inputs.
type Layer struct {
	Name     string // as nn.Net.Tap names it: stem, layer1.0, ..., logits
	Width    int    // features of an input
	Channels int    // of a feature map, whose Width is H·W·Channels; else Width
	Values   []float32
}

// Dense is the layer as a float64 matrix [n, Width].
func (l Layer) Dense() *mat.Dense {
	v := make([]float64, len(l.Values))
	for i, x := range l.Values {
		v[i] = float64(x)
	}
	return mat.NewDense(len(v)/l.Width, l.Width, v)
}

// Pooled is the layer with feature maps averaged over space: [n, H·W·C] -> [n, C].
func (l Layer) Pooled() Layer {
	n, c := len(l.Values)/l.Width, l.Channels
	p := Layer{Name: l.Name, Width: c, Channels: c, Values: make([]float32, n*c)}
	sums := make([]float64, c)
	for i := range n {
		clear(sums)
		for k, v := range l.Values[i*l.Width : (i+1)*l.Width] {
			sums[k%c] += float64(v)
		}
		for k, s := range sums {
			p.Values[i*c+k] = float32(s / float64(l.Width/c))
		}
	}
	return p
}

const imageSize = 32 * 32 * 3

// Reader runs images through networks of one form in mode E, with one program for all of them.
type Reader struct {
	arch   nn.Arch
	list   []nn.Tensor
	batch  int
	exec   *Exec
	layers []Layer // without values, in the order of the program's outputs
}

// NewReader is a reader of the output of the stem, of every block and of the logits; pooled averages feature maps over
// space, [n, C] instead of [n, H·W·C]. batch is how many images go through at once. Close it after use.
func NewReader(backend compute.Backend, arch nn.Arch, batch int, pooled bool) (*Reader, error) {
	if batch < 1 {
		return nil, fmt.Errorf("similarity: batches of %d images: want 1 or more", batch)
	}
	list, err := arch.Tensors()
	if err != nil {
		return nil, err
	}
	r := &Reader{arch: arch, list: list, batch: batch}
	r.exec, err = NewExec(backend, func(in []*Node) []*Node {
		net := &nn.Net{Arch: arch, Vars: map[string]*Node{}}
		for i, t := range list {
			net.Vars[t.Name] = in[i]
		}
		var out []*Node
		r.layers = r.layers[:0]
		net.Tap = func(name string, x *Node) {
			if name == "pooled" {
				return // the average of the block before
			}
			if pooled && x.Rank() == 4 {
				x = ReduceMean(x, 1, 2)
			}
			channels := x.Shape().Dim(-1)
			x = Reshape(x, batch, -1)
			r.layers = append(r.layers, Layer{Name: name, Width: x.Shape().Dim(1), Channels: channels})
			out = append(out, x)
		}
		net.Forward(nn.Eval, in[len(list)])
		return out
	})
	if err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	return r, nil
}

// Close frees the program.
func (r *Reader) Close() { r.exec.Finalize() }

// Read runs images, n of [32, 32, 3] in [0,1], through a network of the reader's form.
func (r *Reader) Read(ctx context.Context, s *nn.State, images []float32) ([]Layer, error) {
	n := len(images) / imageSize
	if n == 0 || len(images)%imageSize != 0 {
		return nil, fmt.Errorf("similarity: %d pixel values: want images of 32x32x3", len(images))
	}
	if !reflect.DeepEqual(s.Arch, r.arch) {
		return nil, fmt.Errorf("similarity: a network %s for a reader of %s", s.Arch, r.arch)
	}
	var weights []any
	for _, t := range r.list {
		v := tensors.FromFlatDataAndDimensions(s.Values[t.Name], t.Shape...)
		defer v.MustFinalizeAll()
		weights = append(weights, v)
	}
	var layers []Layer
	input := make([]float32, r.batch*imageSize)
	for first := 0; first < n; first += r.batch {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("similarity: interrupted: %w", err)
		}
		count := min(r.batch, n-first)
		copy(input, images[first*imageSize:(first+count)*imageSize]) // a short last batch keeps other images behind its own, which are not read
		x := tensors.FromFlatDataAndDimensions(input, r.batch, 32, 32, 3)
		out, err := r.exec.Exec(append(weights[:len(weights):len(weights)], x)...)
		x.MustFinalizeAll()
		if err != nil {
			return nil, fmt.Errorf("similarity: %w", err)
		}
		if layers == nil {
			layers = append(layers, r.layers...)
			for i := range layers {
				layers[i].Values = make([]float32, 0, n*layers[i].Width)
			}
		}
		for i, t := range out {
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

// Activations is [Reader.Read] for one network.
func Activations(backend compute.Backend, s *nn.State, images []float32, batch int, pooled bool) ([]Layer, error) {
	if n := len(images) / imageSize; n > 0 {
		batch = min(batch, n)
	}
	r, err := NewReader(backend, s.Arch, batch, pooled)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Read(context.Background(), s, images)
}
