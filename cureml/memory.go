package cureml

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
)

// Memory is the state of training on the device: named tensors in a fixed order. Names are a role and a tensor, such as
// student/conv1.weight, velocity/student/conv1.weight, revision/bn1.running_mean or cell/delta.
type Memory struct {
	names  []string
	values map[string]*tensors.Tensor
	roles  []role            // networks, the student first
	frozen map[string]string // fingerprints of the networks that never move, by role
}

const (
	student     = "student"
	velocityOf  = "velocity/"
	cellPrefix  = "cell/"
	studentRole = student + "/"
)

// newMemory puts a student on the device with what a method needs beside it. Velocities start at zero. warnings tells of
// teachers with values that make no sense.
func newMemory(start *nn.State, cfg Config, method Method) (m *Memory, warnings []string, err error) {
	m = &Memory{values: map[string]*tensors.Tensor{}, frozen: map[string]string{}}
	m.network(Network{Role: student, Kind: Partner}, start)
	for _, n := range method.Networks {
		s, more, err := n.open(cfg, start)
		if err != nil {
			m.Free()
			return nil, nil, err
		}
		n.Arch = s.Arch
		warnings = append(warnings, more...)
		m.network(n, s)
	}
	for _, c := range method.Cells {
		v := make([]float32, nn.Tensor{Shape: c.Shape}.Size())
		for i := range v {
			v[i] = c.Fill
		}
		m.add(cellPrefix+c.Name, c.Shape, v)
	}
	return m, warnings, nil
}

// network adds the tensors of a network, with velocities where it is trained.
func (m *Memory) network(n Network, s *nn.State) {
	n.Arch = s.Arch
	m.roles = append(m.roles, role{n, s.Tensors})
	for _, t := range s.Tensors {
		m.add(n.Role+"/"+t.Name, t.Shape, s.Values[t.Name])
	}
	switch n.Kind {
	case Partner:
		for _, t := range s.Tensors {
			if t.Kind.Trainable() {
				m.add(velocityOf+n.Role+"/"+t.Name, t.Shape, make([]float32, t.Size()))
			}
		}
	case Frozen:
		m.frozen[n.Role] = fingerprint(s)
	}
}

func (m *Memory) add(name string, shape []int, v []float32) {
	m.names = append(m.names, name)
	m.values[name] = tensors.FromFlatDataAndDimensions(v, shape...)
}

// role finds a network.
func (m *Memory) role(name string) (role, bool) {
	i := slices.IndexFunc(m.roles, func(r role) bool { return r.Role == name })
	if i < 0 {
		return role{}, false
	}
	return m.roles[i], true
}

// having lists the names that begin with one of the prefixes, in order.
func (m *Memory) having(prefixes ...string) (names []string) {
	for _, name := range m.names {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			names = append(names, name)
		}
	}
	return names
}

// moving lists the names that training changes: all but those of frozen networks.
func (m *Memory) moving() []string { return m.movingOf(m.names) }

func (m *Memory) movingOf(all []string) (names []string) {
	for _, name := range all {
		r, _, _ := strings.Cut(name, "/")
		if _, frozen := m.frozen[r]; !frozen {
			names = append(names, name)
		}
	}
	return names
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

// state copies the network of a role to the host.
func (m *Memory) state(name string, tracked int64) (*nn.State, error) {
	r, ok := m.role(name)
	if !ok {
		return nil, fmt.Errorf("cureml: no network %s in memory", name)
	}
	s := &nn.State{Arch: r.Arch, Tensors: r.list, Values: make(map[string][]float32, len(r.list)), Tracked: tracked}
	for _, t := range r.list {
		v, err := m.host(name + "/" + t.Name)
		if err != nil {
			return nil, err
		}
		s.Values[t.Name] = v
	}
	return s, nil
}

// copyNetwork overwrites the network of a role with another of the same architecture.
func (m *Memory) copyNetwork(to, from string) error {
	r, ok := m.role(from)
	if !ok {
		return fmt.Errorf("cureml: no network %s in memory", from)
	}
	for _, t := range r.list {
		v, err := m.host(from + "/" + t.Name)
		if err == nil {
			err = m.set(to+"/"+t.Name, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Free releases the device buffers.
func (m *Memory) Free() {
	for _, t := range m.values {
		t.MustFinalizeAll()
	}
	m.values = map[string]*tensors.Tensor{}
}
