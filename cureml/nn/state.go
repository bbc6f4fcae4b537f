package nn

import (
	"fmt"
	"slices"
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

// Dict is s as a PyTorch state dict: names, order and layouts of torch.nn, num_batches_tracked included.
func (s *State) Dict() *weights.Dict {
	d := &weights.Dict{Meta: map[string]string{"format": "pt"}}
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

// Load reads the tensors of a from d, whose names may still be wrapped in containers or prefixes. The width of a must
// be the file's. Missing, extra and misshapen tensors are all listed in the error. A PreActResNet file without the final
// norm loads as that older form.
func Load(a Arch, d *weights.Dict) (*State, error) {
	d = weights.Peel(d)
	if _, ok := d.Get("bn.weight"); a.Name == "preactresnet18" && !ok {
		a.NoFinalBN = true
	}
	list, err := a.Tensors()
	if err != nil {
		return nil, err
	}
	s := &State{Arch: a, Tensors: list, Values: make(map[string][]float32, len(list))}
	var missing, misshapen []string
	known := map[string]bool{}
	for _, t := range list {
		known[t.Name] = true
		w, ok := d.Get(t.Name)
		if !ok {
			missing = append(missing, t.Name)
			continue
		}
		if want, _ := toTorch(t, nil); !slices.Equal(want, w.Shape) {
			misshapen = append(misshapen, fmt.Sprintf("%s %v, want %v", t.Name, w.Shape, want))
			continue
		}
		v, err := w.Float32()
		if err != nil {
			return nil, fmt.Errorf("nn: tensor %s: %w", t.Name, err)
		}
		s.Values[t.Name] = fromTorch(t, v)
	}
	var extra []string
	for _, name := range d.Names {
		if known[name] || strings.HasPrefix(name, "sub_block1.") {
			continue // sub_block1 is an unused copy in the official TRADES files
		}
		if strings.HasSuffix(name, ".num_batches_tracked") {
			if v, err := d.Tensors[name].Int64(); err == nil && len(v) == 1 {
				s.Tracked = v[0]
			}
			continue
		}
		extra = append(extra, name)
	}
	var faults []string
	for _, f := range []struct {
		what  string
		names []string
	}{{"missing", missing}, {"of another shape", misshapen}, {"not part of the network", extra}} {
		if len(f.names) > 0 {
			faults = append(faults, fmt.Sprintf("%d %s (%s)", len(f.names), f.what, strings.Join(f.names, ", ")))
		}
	}
	if faults != nil {
		return nil, fmt.Errorf("nn: the file does not hold a %s with %d classes: tensors %s", a, a.Classes, strings.Join(faults, "; "))
	}
	return s, nil
}

// LoadFile reads a safetensors or PyTorch file. warnings names tensors that hold NaN or Inf.
func LoadFile(a Arch, path string) (s *State, warnings []string, err error) {
	d, err := weights.Read(path)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range d.NonFinite() {
		warnings = append(warnings, fmt.Sprintf("tensor %s of %s holds NaN or Inf", name, path))
	}
	s, err = Load(a, d)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return s, warnings, nil
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
