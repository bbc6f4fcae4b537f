package cureml

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
)

// Memory is the state of training on the device: named tensors in a fixed order. Names are a role and a tensor of the
// network, such as student/conv1.weight, velocity/conv1.weight or revision/bn1.running_mean.
type Memory struct {
	names  []string
	values map[string]*tensors.Tensor
}

const (
	roleStudent  = "student/"
	roleVelocity = "velocity/"
	roleRevision = "revision/"
)

// newMemory puts a student on the device, with zero velocities and, if asked for, a revision model that is a true copy.
func newMemory(s *nn.State, revision bool) *Memory {
	m := &Memory{values: map[string]*tensors.Tensor{}}
	for _, t := range s.Tensors {
		m.add(roleStudent+t.Name, t.Shape, s.Values[t.Name])
	}
	for _, t := range s.Tensors {
		if t.Kind.Trainable() {
			m.add(roleVelocity+t.Name, t.Shape, make([]float32, t.Size()))
		}
	}
	if revision {
		for _, t := range s.Tensors {
			m.add(roleRevision+t.Name, t.Shape, s.Values[t.Name])
		}
	}
	return m
}

func (m *Memory) add(name string, shape []int, v []float32) {
	m.names = append(m.names, name)
	m.values[name] = tensors.FromFlatDataAndDimensions(v, shape...)
}

// host copies one tensor from the device.
func (m *Memory) host(name string) (v []float32, err error) {
	t, ok := m.values[name]
	if !ok {
		return nil, fmt.Errorf("cureml: no tensor %s in memory", name)
	}
	err = t.ConstFlatData(func(flat any) { v = append(v, flat.([]float32)...) })
	return v, err
}

// set replaces one tensor.
func (m *Memory) set(name string, v []float32) error {
	old, ok := m.values[name]
	if !ok || old.Size() != len(v) {
		return fmt.Errorf("cureml: tensor %s with %d values does not fit into memory", name, len(v))
	}
	m.values[name] = tensors.FromFlatDataAndDimensions(v, old.Shape().Dimensions...)
	return old.FinalizeAll()
}

// network copies the network of a role to the host.
func (m *Memory) network(role string, arch nn.Arch, list []nn.Tensor, tracked int64) (*nn.State, error) {
	s := &nn.State{Arch: arch, Tensors: list, Values: make(map[string][]float32, len(list)), Tracked: tracked}
	for _, t := range list {
		v, err := m.host(role + t.Name)
		if err != nil {
			return nil, err
		}
		s.Values[t.Name] = v
	}
	return s, nil
}

// Free releases the device buffers.
func (m *Memory) Free() {
	for _, t := range m.values {
		t.MustFinalizeAll()
	}
	m.values = map[string]*tensors.Tensor{}
}

// donate hands every buffer over to an execution: the new values take their place.
func (m *Memory) donate(backend compute.Backend) ([]any, error) {
	args := make([]any, len(m.names))
	for i, name := range m.names {
		b, err := DonateTensorBuffer(m.values[name], backend, 0)
		if err != nil {
			return nil, fmt.Errorf("cureml: tensor %s: %w", name, err)
		}
		args[i] = b
	}
	return args, nil
}

// nodes splits the graph inputs of the whole memory by role.
func (m *Memory) nodes(inputs []*Node) map[string]map[string]*Node {
	byRole := map[string]map[string]*Node{}
	for i, name := range m.names {
		for _, role := range []string{roleStudent, roleVelocity, roleRevision} {
			if len(name) > len(role) && name[:len(role)] == role {
				if byRole[role] == nil {
					byRole[role] = map[string]*Node{}
				}
				byRole[role][name[len(role):]] = inputs[i]
			}
		}
	}
	return byRole
}
