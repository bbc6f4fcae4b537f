package weights

import "encoding/binary"

// Dict is a state dict: named tensors in file order plus metadata.
// The zero value is an empty dict ready for use.
type Dict struct {
	Names   []string
	Tensors map[string]Tensor
	Meta    map[string]string

	// groups holds the dotted paths that were dictionaries in a pickle, so that Peel can tell the
	// container "model" from the first part of the name "model.conv1.weight".
	groups []string
}

// Set stores t under name, at the end of Names if the name is new.
func (d *Dict) Set(name string, t Tensor) {
	if d.Tensors == nil {
		d.Tensors = map[string]Tensor{}
	}
	if _, old := d.Tensors[name]; !old {
		d.Names = append(d.Names, name)
	}
	d.Tensors[name] = t
}

// Get returns the tensor stored under name.
func (d *Dict) Get(name string) (Tensor, bool) {
	t, ok := d.Tensors[name]
	return t, ok
}

// NonFinite returns the names of the tensors that hold a NaN or an infinity, in the order of Names.
func (d *Dict) NonFinite() []string {
	var names []string
	for _, name := range d.Names {
		if d.Tensors[name].nonFinite() {
			names = append(names, name)
		}
	}
	return names
}

// nonFinite looks for an element whose exponent bits are all set.
func (t Tensor) nonFinite() bool {
	le := binary.LittleEndian
	switch t.DType {
	case F64:
		for b := t.Data; len(b) >= 8; b = b[8:] {
			if le.Uint64(b)>>52&0x7ff == 0x7ff {
				return true
			}
		}
	case F32:
		for b := t.Data; len(b) >= 4; b = b[4:] {
			if le.Uint32(b)>>23&0xff == 0xff {
				return true
			}
		}
	case F16:
		for b := t.Data; len(b) >= 2; b = b[2:] {
			if le.Uint16(b)>>10&0x1f == 0x1f {
				return true
			}
		}
	case BF16:
		for b := t.Data; len(b) >= 2; b = b[2:] {
			if le.Uint16(b)>>7&0xff == 0xff {
				return true
			}
		}
	}
	return false
}
