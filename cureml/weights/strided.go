package weights

import (
	"fmt"
	"math"
	"math/bits"
)

// contiguous copies the elements of v out of its storage's bytes into C order.
// The budget, in bytes, shrinks by the tensor's size: views may repeat one storage without end.
func (v view) contiguous(data []byte, budget *int64) (Tensor, error) {
	dt := v.storage.dtype
	size, err := byteSize(dt, v.shape)
	if err != nil {
		return Tensor{}, err
	}
	if err := v.checkBounds(); err != nil {
		return Tensor{}, err
	}
	if int64(size) > *budget {
		return Tensor{}, fmt.Errorf("shape %s of %s repeats its storage of %d elements beyond what the file's size allows",
			briefInts(v.shape), dt, v.storage.numel)
	}
	*budget -= int64(size)
	t := Tensor{DType: dt, Shape: v.shape, Data: make([]byte, 0, size)}
	if size > 0 {
		t.Data = v.squeeze().appendFrom(t.Data, data, v.offset, 0)
	}
	return t, nil
}

// squeeze drops the dimensions of size 1, whose strides mean nothing.
func (v view) squeeze() view {
	out := view{storage: v.storage, offset: v.offset}
	for i, d := range v.shape {
		if d != 1 {
			out.shape = append(out.shape, d)
			out.strides = append(out.strides, v.strides[i])
		}
	}
	return out
}

// appendFrom appends the sub-array of dimensions dim and up that starts at element off.
func (v view) appendFrom(dst, data []byte, off, dim int) []byte {
	item := v.storage.dtype.Size()
	if v.denseFrom(dim) {
		n := item
		for _, d := range v.shape[dim:] {
			n *= d
		}
		return append(dst, data[off*item:off*item+n]...)
	}
	for i := range v.shape[dim] {
		dst = v.appendFrom(dst, data, off+i*v.strides[dim], dim+1)
	}
	return dst
}

// denseFrom reports whether dimensions dim and up lie in C order without gaps.
func (v view) denseFrom(dim int) bool {
	step := 1
	for i := len(v.shape) - 1; i >= dim; i-- {
		if v.strides[i] != step {
			return false
		}
		step *= v.shape[i]
	}
	return true
}

// maxDims is PyTorch's own limit on the dimensions of a tensor.
const maxDims = 64

// checkBounds reports a view that reaches outside its storage.
func (v view) checkBounds() error {
	if len(v.shape) != len(v.strides) || len(v.shape) > maxDims {
		return fmt.Errorf("shape %s with %d strides, want as many strides as dimensions and at most %d",
			briefInts(v.shape), len(v.strides), maxDims)
	}
	if v.offset < 0 {
		return fmt.Errorf("storage offset %d is negative", v.offset)
	}
	need, empty := uint64(v.offset)+1, false
	for i, d := range v.shape {
		if d < 0 {
			return fmt.Errorf("negative dimension in shape %s", briefInts(v.shape))
		}
		if v.strides[i] < 0 {
			return fmt.Errorf("negative stride in %s", briefInts(v.strides))
		}
		if d == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(uint64(d-1), uint64(v.strides[i]))
		sum, carry := bits.Add64(need, lo, 0)
		if hi != 0 || carry != 0 || sum > math.MaxInt {
			return fmt.Errorf("strides %s of shape %s overflow", briefInts(v.strides), briefInts(v.shape))
		}
		need = sum
	}
	if !empty && need > uint64(v.storage.numel) {
		return fmt.Errorf("shape %s, strides %s and offset %d reach element %d, storage %s has %d",
			briefInts(v.shape), briefInts(v.strides), v.offset, need, brief(v.storage.key), v.storage.numel)
	}
	return nil
}
