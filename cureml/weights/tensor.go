package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// DType is the element type of a Tensor, under the name that safetensors gives it.
type DType string

// The element types that can be read and written.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// dtypes lists the element types in the order in which the official safetensors library stores them
// (its enum from the end), with the bytes of one element. The order keeps every tensor aligned.
var dtypes = []struct {
	name DType
	size int
}{{I64, 8}, {F64, 8}, {F32, 4}, {I32, 4}, {BF16, 2}, {F16, 2}, {I16, 2}, {I8, 1}, {U8, 1}, {Bool, 1}}

// rank returns the position of t in dtypes, or -1 for an unknown type.
func (t DType) rank() int {
	for i, d := range dtypes {
		if d.name == t {
			return i
		}
	}
	return -1
}

// Size returns the bytes of one element, or 0 for a type that is not one of the constants.
func (t DType) Size() int {
	if i := t.rank(); i >= 0 {
		return dtypes[i].size
	}
	return 0
}

func knownDTypes() string {
	names := make([]string, len(dtypes))
	for i, d := range dtypes {
		names[i] = string(d.name)
	}
	return strings.Join(names, ", ")
}

// Tensor holds one named array in PyTorch's own layout and C order.
// Shape is empty for a scalar; Data holds the elements in little-endian order.
type Tensor struct {
	DType DType
	Shape []int
	Data  []byte
}

// Float32s returns an F32 tensor with a copy of v. It panics when v does not fill the shape.
func Float32s(shape []int, v []float32) Tensor {
	t := Tensor{DType: F32, Shape: append([]int{}, shape...), Data: make([]byte, 4*len(v))}
	for i, x := range v {
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(x))
	}
	if err := t.check(); err != nil {
		panic("weights.Float32s: " + err.Error())
	}
	return t
}

// Int64s returns an I64 tensor with a copy of v. It panics when v does not fill the shape.
func Int64s(shape []int, v []int64) Tensor {
	t := Tensor{DType: I64, Shape: append([]int{}, shape...), Data: make([]byte, 8*len(v))}
	for i, x := range v {
		binary.LittleEndian.PutUint64(t.Data[8*i:], uint64(x))
	}
	if err := t.check(); err != nil {
		panic("weights.Int64s: " + err.Error())
	}
	return t
}

// Len returns the number of elements: the product of the shape, 1 for a scalar.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Float32 returns the elements of a F64, F32, F16 or BF16 tensor; F64 is rounded to nearest.
func (t Tensor) Float32() ([]float32, error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	out := make([]float32, t.Len())
	le := binary.LittleEndian
	switch t.DType {
	case F64:
		for i := range out {
			out[i] = float32(math.Float64frombits(le.Uint64(t.Data[8*i:])))
		}
	case F32:
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(t.Data[4*i:]))
		}
	case F16:
		for i := range out {
			out[i] = halfToFloat32(le.Uint16(t.Data[2*i:]))
		}
	case BF16:
		for i := range out {
			out[i] = math.Float32frombits(uint32(le.Uint16(t.Data[2*i:])) << 16)
		}
	default:
		return nil, fmt.Errorf("weights: a tensor of %s holds no floating point numbers, accepted are F64, F32, F16, BF16", t.DType)
	}
	return out, nil
}

// Int64 returns the elements of an I64, I32, I16, I8, U8 or BOOL tensor.
func (t Tensor) Int64() ([]int64, error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	out := make([]int64, t.Len())
	le := binary.LittleEndian
	for i := range out {
		switch t.DType {
		case I64:
			out[i] = int64(le.Uint64(t.Data[8*i:]))
		case I32:
			out[i] = int64(int32(le.Uint32(t.Data[4*i:])))
		case I16:
			out[i] = int64(int16(le.Uint16(t.Data[2*i:])))
		case I8:
			out[i] = int64(int8(t.Data[i]))
		case U8, Bool:
			out[i] = int64(t.Data[i])
		default:
			return nil, fmt.Errorf("weights: a tensor of %s holds no integers, accepted are I64, I32, I16, I8, U8, BOOL", t.DType)
		}
	}
	return out, nil
}

// check reports a type, shape and data that do not belong together.
func (t Tensor) check() error {
	want, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if len(t.Data) != want {
		return fmt.Errorf("shape %v of %s needs %d bytes, the data has %d", t.Shape, t.DType, want, len(t.Data))
	}
	return nil
}

// byteSize returns the bytes of a tensor, refusing negative dimensions and products beyond an int.
func byteSize(dt DType, shape []int) (int, error) {
	size := dt.Size()
	if size == 0 {
		return 0, fmt.Errorf("unknown element type %s, accepted are %s", brief(string(dt)), knownDTypes())
	}
	total, empty := uint64(size), false
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %s", briefInts(shape))
		}
		if d == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(total, uint64(d))
		if hi != 0 || lo > math.MaxInt {
			return 0, fmt.Errorf("shape %s of %s overflows", briefInts(shape), dt)
		}
		total = lo
	}
	if empty {
		return 0, nil
	}
	return int(total), nil
}

// halfToFloat32 widens an IEEE 754 binary16 number; every one has an exact float32.
func halfToFloat32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h) & 0x3ff
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
	}
	f := float32(frac) / (1 << 24) // subnormal: units of 2^-24
	return math.Float32frombits(sign | math.Float32bits(f))
}

// brief quotes a string from a file for an error message, cut to a readable length.
func brief(s string) string {
	if len(s) > 100 {
		return fmt.Sprintf("%q...", strings.ToValidUTF8(s[:100], "?"))
	}
	return fmt.Sprintf("%q", s)
}

// briefInts prints a shape for an error message, cut to a readable length.
func briefInts(v []int) string {
	if len(v) > 8 {
		return strings.TrimSuffix(fmt.Sprint(v[:8]), "]") + fmt.Sprintf(" ... %d dimensions]", len(v))
	}
	return fmt.Sprint(v)
}
