package mesh

import (
	"fmt"
	"reflect"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"cure/data"
)

// Backend is several devices of a backend, seen as one.
type Backend struct {
	compute.Backend
	devices int
}

// Over is the first devices of b as one. The error says how many b has.
func Over(b compute.Backend, devices int) (*Backend, error) {
	if has := b.NumDevices(); devices < 1 || devices > has {
		return nil, fmt.Errorf("mesh: %d devices: %s offers %d (%s ...)", devices, b.Name(), has, b.DeviceDescription(0))
	}
	return &Backend{b, devices}, nil
}

// Devices is how many devices compute on b together.
func Devices(b compute.Backend) int {
	if m, ok := b.(*Backend); ok {
		return m.devices
	}
	return 1
}

// OwnMemory says whether the devices of b have a memory that is not the host's.
func OwnMemory(b compute.Backend) bool {
	if m, ok := b.(*Backend); ok {
		b = m.Backend
	}
	return !b.HasSharedBuffers()
}

// NumDevices is 1: a program has all of them, and tensors lie on device 0.
func (m *Backend) NumDevices() int { return 1 }

// Description says how many devices there are.
func (m *Backend) Description() string {
	return fmt.Sprintf("%d devices of %s", m.devices, m.Backend.Description())
}

// HasSharedBuffers is false: a tensor in the host's memory would have to be there once for every device.
func (m *Backend) HasSharedBuffers() bool { return false }

// NewSharedBuffer is an error, as HasSharedBuffers says.
func (m *Backend) NewSharedBuffer(compute.DeviceNum, shapes.Shape) (compute.Buffer, any, error) {
	return nil, nil, fmt.Errorf("mesh: no buffers shared with the host")
}

// split says whether the rows of a tensor are shared out.
func (m *Backend) split(s shapes.Shape) bool {
	if s.Rank() == 0 || s.Dim(0)%m.devices != 0 {
		return false
	}
	if s.Rank() == 1 {
		return !s.DType.IsFloat()
	}
	return s.Rank() == 4 && s.Dim(1) == data.Height && s.Dim(2) == data.Width && s.Dim(3) == data.Channels
}

// BufferFromFlatData sends each device its part.
func (m *Backend) BufferFromFlatData(device compute.DeviceNum, flat any, shape shapes.Shape) (compute.Buffer, error) {
	b := &buffer{mesh: m, shape: shape}
	own := shape
	if m.split(shape) {
		own = shape.Clone()
		own.Dimensions[0] /= m.devices
	}
	for i := range m.devices {
		p, err := m.Backend.BufferFromFlatData(compute.DeviceNum(i), m.share(flat, shape, i), own)
		if err != nil {
			return nil, fmt.Errorf("mesh: device %d: %w", i, err)
		}
		b.parts = append(b.parts, p)
	}
	return b, nil
}

// share is the part of a slice with the values of a tensor that device i has.
func (m *Backend) share(flat any, shape shapes.Shape, i int) any {
	if !m.split(shape) {
		return flat
	}
	n := shape.Size() / m.devices
	return reflect.ValueOf(flat).Slice(i*n, (i+1)*n).Interface()
}

// buffer is a tensor on the devices of a mesh.
type buffer struct {
	mesh  *Backend
	shape shapes.Shape // of the whole
	parts []compute.Buffer
}

func (b *buffer) Backend() compute.Backend              { return b.mesh }
func (b *buffer) Shape() (shapes.Shape, error)          { return b.shape, nil }
func (b *buffer) DeviceNum() (compute.DeviceNum, error) { return 0, nil }

func (b *buffer) Finalize() (err error) {
	for _, p := range b.parts {
		if e := p.Finalize(); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// ToFlatData reads every device's rows, or the first device where all have the same.
func (b *buffer) ToFlatData(flat any) error {
	if !b.mesh.split(b.shape) {
		return b.parts[0].ToFlatData(flat)
	}
	for i, p := range b.parts {
		if err := p.ToFlatData(b.mesh.share(flat, b.shape, i)); err != nil {
			return fmt.Errorf("mesh: device %d: %w", i, err)
		}
	}
	return nil
}

func (b *buffer) Data() (any, error) { return nil, fmt.Errorf("mesh: no buffers shared with the host") }

func (b *buffer) CopyToDevice(device compute.DeviceNum) (compute.Buffer, error) {
	return nil, fmt.Errorf("mesh: device %d: a tensor is on all devices already", device)
}
