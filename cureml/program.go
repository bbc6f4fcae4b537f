package cureml

import (
	"fmt"
	"strings"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
)

// program is one compiled part of a step: a graph over some tensors of the memory, some of which it replaces, and over
// tensors of the batch.
type program struct {
	name          string
	exec          *Exec
	backend       compute.Backend
	memory        *Memory
	reads, writes []string // names in memory; all of writes are in reads
}

// compile makes a program. build gets the memory as a frame and the other inputs; what it assigned to the tensors of
// writes is taken from the frame, and what it returns comes out of run. It is called at the first run.
func (p *programs) compile(name string, reads, writes []string, build func(f *Frame, in []*Node) []*Node) (*program, error) {
	g := &program{name: name, backend: p.backend, memory: p.memory, reads: reads, writes: writes}
	dtype, err := p.cfg.compute()
	if err != nil {
		return nil, err
	}
	g.exec, err = NewExec(p.backend, func(inputs []*Node) []*Node {
		f := p.memory.frame(reads, inputs[:len(reads)])
		for _, net := range f.Nets {
			net.Compute = dtype
		}
		if f.Student != nil {
			f.Student.FixedNorm = p.cfg.fixedNorms()
		}
		rest := build(f, inputs[len(reads):])
		outputs := make([]*Node, 0, len(writes)+len(rest))
		for _, name := range writes {
			outputs = append(outputs, f.tensor(name))
		}
		return append(outputs, rest...)
	})
	if err != nil {
		return nil, fmt.Errorf("cureml: %s: %w", name, err)
	}
	return g, nil
}

// run executes the program. The buffers of the tensors that it replaces are donated to it.
func (g *program) run(args ...any) ([]*tensors.Tensor, error) {
	replaced := make(map[string]bool, len(g.writes))
	for _, name := range g.writes {
		replaced[name] = true
	}
	inputs := make([]any, 0, len(g.reads)+len(args))
	for _, name := range g.reads {
		if !replaced[name] {
			inputs = append(inputs, g.memory.values[name])
			continue
		}
		b, err := DonateTensorBuffer(g.memory.values[name], g.backend, 0)
		if err != nil {
			return nil, fmt.Errorf("cureml: %s: tensor %s: %w", g.name, name, err)
		}
		inputs = append(inputs, b)
	}
	out, err := g.exec.Exec(append(inputs, args...)...)
	if err != nil {
		return nil, fmt.Errorf("cureml: %s: %w", g.name, err)
	}
	for i, name := range g.writes {
		g.memory.values[name] = out[i]
	}
	return out[len(g.writes):], nil
}

func (g *program) finalize() {
	if g != nil {
		g.exec.Finalize()
	}
}

// frame sorts the inputs of a graph, which are the tensors called names, into networks, velocities and cells.
func (m *Memory) frame(names []string, inputs []*Node) *Frame {
	f := &Frame{Nets: map[string]*nn.Net{}, Cells: map[string]*Node{}, velocities: map[string]map[string]*Node{}}
	for i, name := range names {
		if cell, ok := strings.CutPrefix(name, cellPrefix); ok {
			f.Cells[cell] = inputs[i]
			continue
		}
		rest, velocity := strings.CutPrefix(name, velocityOf)
		role, tensor, _ := strings.Cut(rest, "/")
		if velocity {
			if f.velocities[role] == nil {
				f.velocities[role] = map[string]*Node{}
			}
			f.velocities[role][tensor] = inputs[i]
			continue
		}
		if f.Nets[role] == nil {
			r, _ := m.role(role)
			f.Nets[role] = &nn.Net{Arch: r.Arch, Vars: map[string]*Node{}}
		}
		f.Nets[role].Vars[tensor] = inputs[i]
	}
	f.Student = f.Nets[student]
	return f
}

// tensor is the value that a tensor of the memory has at the end of a graph.
func (f *Frame) tensor(name string) *Node {
	if cell, ok := strings.CutPrefix(name, cellPrefix); ok {
		return f.Cells[cell]
	}
	rest, velocity := strings.CutPrefix(name, velocityOf)
	role, tensor, _ := strings.Cut(rest, "/")
	if velocity {
		return f.velocities[role][tensor]
	}
	return f.Nets[role].Vars[tensor]
}
