package nn

import (
	"encoding/json"
	"fmt"
	"strings"

	"cure/cureml/weights"
)

// State is a network's values on the host, in the layouts of [Tensor].
type State struct {
	Arch    Arch
	Tensors []Tensor
	Values  map[string][]float32
	// Tracked is PyTorch's num_batches_tracked, the same for every batch norm.
	Tracked int64
}

// archMeta is the metadata entry under which [State.Dict] notes the architecture. PyTorch ignores it; [Load] takes from
// it what tensors cannot tell.
const archMeta = "cure.arch"

// Dict is s as a PyTorch state dict: names, order and layouts of torch.nn, num_batches_tracked included, and for the
// -swish forms the buffers mean and std that RobustBench's classes register.
func (s *State) Dict() *weights.Dict {
	d := &weights.Dict{Meta: map[string]string{"format": "pt"}}
	if note, err := json.Marshal(s.Arch); err == nil {
		d.Meta[archMeta] = string(note)
	}
	if s.Arch.swish() {
		mean, std := s.Arch.normalTensors()
		d.Set("mean", mean)
		d.Set("std", std)
	}
	for _, t := range s.Tensors {
		shape, v := toTorch(t, s.Values[t.Name])
		d.Set(t.Name, weights.Float32s(shape, v))
		if bn, ok := strings.CutSuffix(t.Name, ".running_var"); ok {
			d.Set(bn+".num_batches_tracked", weights.Int64s(nil, []int64{s.Tracked}))
		}
	}
	return d
}

// Save writes s to path as safetensors, atomically.
func (s *State) Save(path string) error { return weights.WriteSafetensors(path, s.Dict()) }

// faulty names the tensors that hold NaN or Inf, or variances below 0.
func (s *State) faulty() (notFinite, negative []string) {
	for _, t := range s.Tensors {
		bad, below := false, false
		for _, x := range s.Values[t.Name] {
			bad = bad || x-x != 0
			below = below || t.Kind == RunningVar && x < 0
		}
		if bad {
			notFinite = append(notFinite, t.Name)
		}
		if below {
			negative = append(negative, t.Name)
		}
	}
	return notFinite, negative
}

// toTorch returns PyTorch's shape of t and, for v not nil, its values in that layout.
func toTorch(t Tensor, v []float32) ([]int, []float32) {
	switch t.Kind {
	case ConvWeight:
		kh, kw, in, out := t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3]
		return []int{out, in, kh, kw}, permute(v, kh*kw, in, out, func(hw, i, o int) int { return (o*in+i)*kh*kw + hw })
	case LinearWeight:
		in, out := t.Shape[0], t.Shape[1]
		return []int{out, in}, permute(v, 1, in, out, func(_, i, o int) int { return o*in + i })
	}
	return t.Shape, v
}

// fromTorch is the inverse of toTorch.
func fromTorch(t Tensor, v []float32) []float32 {
	switch t.Kind {
	case ConvWeight:
		kh, kw, in, out := t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3]
		return permute(v, out, in, kh*kw, func(o, i, hw int) int { return (hw*in+i)*out + o })
	case LinearWeight:
		in, out := t.Shape[0], t.Shape[1]
		return permute(v, 1, out, in, func(_, o, i int) int { return i*out + o })
	}
	return v
}

// permute copies v, an array [a, b, c], to where place sends each index.
func permute(v []float32, a, b, c int, place func(i, j, k int) int) []float32 {
	if v == nil {
		return nil
	}
	out := make([]float32, len(v))
	n := 0
	for i := range a {
		for j := range b {
			for k := range c {
				out[place(i, j, k)] = v[n]
				n++
			}
		}
	}
	return out
}

// list joins names for an error message, the first few of many.
func list(names []string) string {
	const most = 12
	if len(names) > most+1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
