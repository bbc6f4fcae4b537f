package cureml

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
)

// programs are the compiled parts of a training step of one method:
//
//	begin   student, uint8 images, noise          -> float images, first iterate, natural logits (if the method asks)
//	attack  student, images, iterate, logits, y   -> next iterate (Steps times; no weight gradients)
//	update  memory, images, iterate, y, lr, decay -> memory, logged numbers
//
// A method without an attack has update alone, on the uint8 images.
type programs struct {
	backend compute.Backend
	cfg     Config
	method  Method
	list    []nn.Tensor
	memory  *Memory
	logged  []string
	tracked int // training-mode passes of the student per update

	begin, attack, update *Exec
}

func newPrograms(backend compute.Backend, cfg Config, method Method, list []nn.Tensor, memory *Memory) (p *programs, err error) {
	p = &programs{backend: backend, cfg: cfg, method: method, list: list, memory: memory}
	if method.Inner != nil {
		if p.begin, err = NewExec(backend, p.beginGraph); err != nil {
			return nil, fmt.Errorf("cureml: %w", err)
		}
		if p.attack, err = NewExec(backend, p.attackGraph); err != nil {
			return nil, fmt.Errorf("cureml: %w", err)
		}
	}
	if p.update, err = NewExec(backend, p.updateGraph); err != nil {
		return nil, fmt.Errorf("cureml: %w", err)
	}
	return p, nil
}

// student is the network made of the first inputs of a graph, and the inputs that follow it.
func (p *programs) student(inputs []*Node) (*nn.Net, []*Node) {
	net := &nn.Net{Arch: p.cfg.Arch, Vars: make(map[string]*Node, len(p.list))}
	for i, t := range p.list {
		net.Vars[t.Name] = inputs[i]
	}
	return net, inputs[len(p.list):]
}

func (p *programs) beginGraph(inputs []*Node) []*Node {
	net, rest := p.student(inputs)
	x := pixels(rest[0])
	adv := p.method.Inner.PGD.Begin(x, rest[1])
	if !p.method.Inner.Reference {
		return []*Node{x, adv}
	}
	return []*Node{x, adv, net.Forward(nn.Eval, x)}
}

func (p *programs) attackGraph(inputs []*Node) []*Node {
	net, rest := p.student(inputs)
	x, adv, y := rest[0], rest[1], rest[2]
	var natural *Node
	if p.method.Inner.Reference {
		natural = rest[3]
	}
	pgd := p.method.Inner.PGD
	return []*Node{pgd.Step(x, adv, func(adv *Node) *Node {
		return pgd.Objective(net.Forward(nn.Eval, adv), y, natural)
	})}
}

func (p *programs) updateGraph(inputs []*Node) []*Node {
	vars := p.memory.nodes(inputs[:len(p.memory.names)])
	rest := inputs[len(p.memory.names):]
	u := &Update{Student: &nn.Net{Arch: p.cfg.Arch, Vars: vars[roleStudent]}}
	u.X, u.Y, u.LR = pixels(rest[0]), rest[1], rest[2]
	decay := rest[3]
	if p.method.Inner != nil {
		u.Adv = rest[4]
	}
	for _, t := range p.list {
		if t.Kind.Trainable() {
			u.Names = append(u.Names, t.Name)
		}
	}
	if p.method.Revision {
		u.Revision = &nn.Net{Arch: p.cfg.Arch, Vars: vars[roleRevision]}
	}
	o := p.method.Update(u)
	u.apply(o, p.cfg.SGD, vars[roleVelocity])
	if p.method.Revision {
		p.revise(u, decay)
	}
	p.tracked = u.Student.Tracked
	p.logged = p.logged[:0]
	var numbers []*Node
	for _, s := range o.Log {
		p.logged = append(p.logged, s.Name)
		numbers = append(numbers, Reshape(ConvertDType(s.Value, dtypes.Float32), 1))
	}
	outputs := make([]*Node, 0, len(p.memory.names)+1)
	for i, name := range p.memory.names {
		out := inputs[i]
		for role, nodes := range vars {
			if len(name) > len(role) && name[:len(role)] == role {
				out = nodes[name[len(role):]]
			}
		}
		outputs = append(outputs, out)
	}
	return append(outputs, Concatenate(numbers, 0))
}

// revise moves the revision model: θ_rev <- d·θ_rev + (1-d)·θ (eq. 7 of the CURE paper) for weights, and for statistics
// as Cure.EMABN says. The host passes d = 1 in steps without an update.
func (p *programs) revise(u *Update, decay *Node) {
	for _, t := range p.list {
		own, student := u.Revision.Vars[t.Name], u.Student.Vars[t.Name]
		average := Add(Mul(own, decay), Mul(student, OneMinus(decay)))
		switch {
		case t.Kind.Trainable() || p.cfg.Cure.EMABN == "averaged":
			u.Revision.Vars[t.Name] = average
		case p.cfg.Cure.EMABN == "copied":
			u.Revision.Vars[t.Name] = Where(LessThan(decay, ScalarOne(decay.Graph(), decay.DType())), student, own)
		}
	}
}

// pixels turns uint8 images into floats in [0, 1].
func pixels(x *Node) *Node {
	if x.DType() != dtypes.Uint8 {
		return x
	}
	return DivScalar(ConvertDType(x, dtypes.Float32), 255)
}

// run is one training step; it returns the logged numbers.
func (p *programs) run(b *batch, lr, decay float64) ([]float32, error) {
	if p.method.Inner == nil {
		return p.descend(b.images, nil, b.labels, lr, decay)
	}
	x, adv, err := p.perturb(b)
	if err != nil {
		return nil, err
	}
	defer x.FinalizeAll()
	defer adv.FinalizeAll()
	return p.descend(x, adv, b.labels, lr, decay)
}

// descend updates the memory and returns the logged numbers; adv is nil for methods without an attack.
func (p *programs) descend(x, adv, y *tensors.Tensor, lr, decay float64) ([]float32, error) {
	args, err := p.memory.donate(p.backend)
	if err != nil {
		return nil, err
	}
	args = append(args, x, y, float32(lr), float32(decay))
	if adv != nil {
		args = append(args, adv)
	}
	out, err := p.update.Exec(args...)
	if err != nil {
		return nil, fmt.Errorf("cureml: update step: %w", err)
	}
	for i, name := range p.memory.names {
		p.memory.values[name] = out[i]
	}
	last := out[len(out)-1]
	defer last.FinalizeAll()
	var numbers []float32
	err = last.ConstFlatData(func(flat any) { numbers = append(numbers, flat.([]float32)...) })
	return numbers, err
}

// perturb makes the adversarial images; both results stay on the device.
func (p *programs) perturb(b *batch) (x, adv *tensors.Tensor, err error) {
	student := make([]any, len(p.list), len(p.list)+4)
	for i, t := range p.list {
		student[i] = p.memory.values[roleStudent+t.Name]
	}
	out, err := p.begin.Exec(append(student, b.images, b.noise)...)
	if err != nil {
		return nil, nil, fmt.Errorf("cureml: start of the attack: %w", err)
	}
	x, adv = out[0], out[1]
	for range p.method.Inner.PGD.Steps {
		donated, err := DonateTensorBuffer(adv, p.backend, 0)
		if err != nil {
			return nil, nil, fmt.Errorf("cureml: attack step: %w", err)
		}
		args := append(student[:len(p.list):len(p.list)], x, donated, b.labels)
		if p.method.Inner.Reference {
			args = append(args, out[2])
		}
		next, err := p.attack.Exec(args...)
		if err != nil {
			return nil, nil, fmt.Errorf("cureml: attack step: %w", err)
		}
		adv = next[0]
	}
	if p.method.Inner.Reference {
		err = out[2].FinalizeAll()
	}
	return x, adv, err
}
