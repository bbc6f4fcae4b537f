package mesh

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

const (
	meshName = "devices"
	axisName = "data"
)

// Builder begins a program on all devices.
func (m *Backend) Builder(name string) compute.Builder {
	return &builder{Builder: m.Backend.Builder(name), mesh: m}
}

// builder makes a program as of one device, and says how its inputs and outputs lie.
type builder struct {
	compute.Builder
	mesh *Backend
	main *function
	err  error // of the distribution, which Main cannot return
}

func (b *builder) Main() compute.Function {
	if b.main != nil {
		return b.main
	}
	devices := make([]compute.DeviceNum, b.mesh.devices)
	for i := range devices {
		devices[i] = compute.DeviceNum(i)
	}
	b.err = b.DistributedAutoSharding(compute.Mesh{Name: meshName, AxesSizes: []int{len(devices)}, AxesNames: []string{axisName}})
	if b.err == nil {
		b.err = b.DeviceAssignment(devices...)
	}
	b.main = &function{Function: b.Builder.Main(), builder: b}
	return b.main
}

func (b *builder) Compile() (compute.Executable, error) {
	if b.err != nil {
		return nil, fmt.Errorf("mesh: %d devices: %w", b.mesh.devices, b.err)
	}
	e, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	return &executable{e, b.mesh}, nil
}

// spec is how a tensor lies.
func (b *builder) spec(s shapes.Shape) *compute.ShardingSpec {
	spec := &compute.ShardingSpec{Mesh: meshName, Axes: make([][]string, s.Rank())}
	if b.mesh.split(s) {
		spec.Axes[0] = []string{axisName}
	}
	return spec
}

// function is the main one of a program.
type function struct {
	compute.Function
	builder *builder
}

func (f *function) Parameter(name string, shape shapes.Shape, _ *compute.ShardingSpec) (compute.Value, error) {
	if f.builder.err != nil {
		return nil, fmt.Errorf("mesh: %d devices: %w", f.builder.mesh.devices, f.builder.err)
	}
	return f.Function.Parameter(name, shape, f.builder.spec(shape))
}

func (f *function) Return(outputs []compute.Value, _ []*compute.ShardingSpec) error {
	specs := make([]*compute.ShardingSpec, len(outputs))
	for i, v := range outputs {
		shape, err := f.builder.OpShape(v)
		if err != nil {
			return err
		}
		specs[i] = f.builder.spec(shape)
	}
	return f.Function.Return(outputs, specs)
}

// executable runs a program on all devices.
type executable struct {
	compute.Executable
	mesh *Backend
}

func (e *executable) Execute(inputs []compute.Buffer, donate []bool, _ compute.DeviceNum) ([]compute.Buffer, error) {
	var parts []compute.Buffer
	var gone []bool
	for device := range e.mesh.devices { // all inputs of device 0, then all of device 1 ...
		for i, in := range inputs {
			b, ok := in.(*buffer)
			if !ok || b.mesh != e.mesh {
				return nil, fmt.Errorf("mesh: input %d is not of these devices", i)
			}
			parts = append(parts, b.parts[device])
		}
		gone = append(gone, donate...)
	}
	out, err := e.Executable.Execute(parts, gone, 0)
	if err != nil {
		return nil, err
	}
	list := e.Outputs()
	results := make([]compute.Buffer, len(list))
	for i, shape := range list {
		b := &buffer{mesh: e.mesh, shape: shape}
		for device := range e.mesh.devices {
			b.parts = append(b.parts, out[device*len(list)+i])
		}
		results[i] = b
	}
	return results, nil
}
