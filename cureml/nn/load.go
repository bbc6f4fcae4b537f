package nn

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cure/cureml/weights"
)

// Load reads the tensors of a from d, whose names may still be wrapped in containers or prefixes. The width and the
// classes of a must be the file's; missing, extra and misshapen tensors are listed in the error, with the network that
// the file holds where its names tell it.
//
// The file decides on the form of a network, and State.Arch says which it was: a PreActResNet without the final norm is
// the older form, the names of the SiLU networks switch to the -swish form, and an input normalisation found as buffers
// (mean and std, mu and sigma) or in the metadata of [State.Save] goes into State.Arch.
func Load(a Arch, d *weights.Dict) (*State, error) {
	d, a, err := unwrap(d, a)
	if err != nil {
		return nil, err
	}
	a = formOf(d, a)
	all, err := a.Tensors()
	if err != nil {
		return nil, err
	}
	s := &State{Arch: a, Tensors: all, Values: make(map[string][]float32, len(all))}
	var missing, misshapen, extra []string
	known := map[string]bool{}
	for _, t := range all {
		known[t.Name] = true
		if bn, ok := strings.CutSuffix(t.Name, ".running_var"); ok {
			known[bn+".num_batches_tracked"] = true
		}
		w, ok := d.Get(t.Name)
		if !ok {
			missing = append(missing, t.Name)
			continue
		}
		if want, _ := toTorch(t, nil); !slices.Equal(want, w.Shape) {
			misshapen = append(misshapen, fmt.Sprintf("%s %v instead of %v", t.Name, w.Shape, want))
			continue
		}
		v, err := w.Float32()
		if err != nil {
			return nil, fmt.Errorf("nn: tensor %s: %w", t.Name, err)
		}
		s.Values[t.Name] = fromTorch(t, v)
	}
	for _, name := range d.Names {
		switch {
		case strings.HasPrefix(name, "sub_block1."): // an unused copy in the official TRADES files
		case !known[name]:
			extra = append(extra, name)
		case strings.HasSuffix(name, ".num_batches_tracked"):
			if v, err := d.Tensors[name].Int64(); err == nil && len(v) == 1 {
				s.Tracked = v[0]
			}
		}
	}
	var faults []string
	for _, f := range []struct {
		what  string
		names []string
	}{{"missing", missing}, {"of another shape", misshapen}, {"not part of the network", extra}} {
		if len(f.names) > 0 {
			faults = append(faults, fmt.Sprintf("%d %s (%s)", len(f.names), f.what, list(f.names)))
		}
	}
	if faults == nil {
		return s, nil
	}
	what := "the file does not hold " + a.describe()
	if found, ok := detect(d); ok && found.describe() != a.describe() {
		what = fmt.Sprintf("the file holds %s, not %s", found.describe(), a.describe())
	}
	return nil, fmt.Errorf("nn: %s: tensors %s", what, strings.Join(faults, "; "))
}

// OpenFile reads a safetensors or PyTorch file whatever network it holds, which names and shapes of its tensors must tell.
func OpenFile(path string) (s *State, warnings []string, err error) {
	d, err := weights.Read(path)
	if err != nil {
		return nil, nil, err
	}
	bare, _, err := unwrap(d, Arch{})
	if err != nil {
		return nil, nil, fmt.Errorf("%w (file %s)", err, path)
	}
	a, ok := detect(bare)
	if !ok {
		return nil, nil, fmt.Errorf("nn: %s holds no network that its names tell: accepted are %s", path, Names)
	}
	return LoadFile(a, path)
}

// LoadFile reads a safetensors or PyTorch file as [Load] does. warnings tells of values that make no sense (NaN, Inf,
// variances below 0) and of a form that the file leaves open.
func LoadFile(a Arch, path string) (s *State, warnings []string, err error) {
	d, err := weights.Read(path)
	if err != nil {
		return nil, nil, err
	}
	s, err = Load(a, d)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (file %s)", err, path)
	}
	notFinite, negative := s.faulty()
	if notFinite != nil {
		warnings = append(warnings, fmt.Sprintf("tensors of %s hold NaN or Inf: %s", path, list(notFinite)))
	}
	if negative != nil {
		warnings = append(warnings, fmt.Sprintf("variances of %s are below 0: %s", path, list(negative)))
	}
	if s.Arch.NoFinalBN && !a.NoFinalBN {
		warnings = append(warnings, fmt.Sprintf("%s has no final batch norm and was read as the older PreActResNet; "+
			"if it stems from fast adversarial training, ask for preactresnet18-raw", path))
	}
	return s, warnings, nil
}

// unwrap takes containers, prefixes and the input normalisation off d; the latter goes into a.
func unwrap(d *weights.Dict, a Arch) (*weights.Dict, Arch, error) {
	for {
		d = weights.Peel(d)
		rest, mean, std, err := takeNormalisation(d)
		if err != nil {
			return nil, a, err
		}
		if mean != nil {
			if err := a.adopt(mean, std); err != nil {
				return nil, a, err
			}
		}
		if inner := element(rest); inner != nil {
			rest = inner
		}
		if rest == d {
			break
		}
		d = rest
	}
	if note, ok := d.Meta[archMeta]; ok && len(a.Mean) == 0 {
		var noted Arch
		if err := json.Unmarshal([]byte(note), &noted); err != nil {
			return nil, a, fmt.Errorf("nn: metadata %s: %w", archMeta, err)
		}
		a.Mean, a.Std = noted.Mean, noted.Std
	}
	return d, a, nil
}

// element returns the only numbered element of a torch.nn.Sequential, such as the network behind an input normalisation,
// or nil if d is not one.
func element(d *weights.Dict) *weights.Dict {
	inner := &weights.Dict{Meta: d.Meta}
	for _, name := range d.Names {
		rest, ok := strings.CutPrefix(name, "0.")
		if !ok {
			rest, ok = strings.CutPrefix(name, "1.")
		}
		if !ok || name[0] != d.Names[0][0] {
			return nil
		}
		inner.Set(rest, d.Tensors[name])
	}
	if len(inner.Names) == 0 {
		return nil
	}
	return inner
}

// formOf switches a to the form of its network that the names in d tell.
func formOf(d *weights.Dict, a Arch) Arch {
	has := func(name string) bool { _, ok := d.Get(name); return ok }
	switch {
	case strings.HasPrefix(a.Name, "wrn-") && has("init_conv.weight") && !a.swish(),
		a.Name == "preactresnet18" && has("conv_2d.weight"):
		a.Name += "-swish"
	case a.Name == "preactresnet18" && !has("bn.weight"):
		a.NoFinalBN = true
	}
	return a
}
