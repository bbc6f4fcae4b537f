package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"
)

// attacked is a batch with what the attack made of it, all on the device: images, context and state, as float.
type attacked struct {
	x     *tensors.Tensor
	rest  []*tensors.Tensor // context, then state
	state int               // where the state begins
}

func (a *attacked) free() {
	a.x.MustFinalizeAll()
	for _, t := range a.rest {
		t.MustFinalizeAll()
	}
}

// perturb makes the adversarial images.
func (p *programs) perturb(b *batch, at Progress) (*attacked, error) {
	out, err := p.begin.run(p.args(b, p.values(at, 0), b.images, b.noise)...)
	if err != nil {
		return nil, err
	}
	a := &attacked{x: out[0], rest: out[1:], state: p.contexts}
	for round := range p.method.Inner.PGD.Steps {
		args := p.args(b, p.values(at, round), a.x)
		for i, t := range a.rest {
			if i < a.state {
				args = append(args, t)
				continue
			}
			donated, err := DonateTensorBuffer(t, p.backend, 0)
			if err != nil {
				return nil, fmt.Errorf("cureml: attack step: %w", err)
			}
			args = append(args, donated)
		}
		next, err := p.attack.run(args...)
		if err != nil {
			return nil, err
		}
		copy(a.rest[a.state:], next)
	}
	return a, nil
}

func (p *programs) beginGraph(f *Frame, in []*Node) []*Node {
	rest := p.share(f, in)
	f.X = pixels(rest[0])
	if p.method.Inner.Context != nil {
		f.Context = p.method.Inner.Context(f)
	}
	p.contexts = len(f.Context)
	p.perBegin = int64(f.Student.Tracked)
	state := p.method.Inner.begin(f, rest[1])
	return append(append([]*Node{f.X}, f.Context...), state...)
}

func (p *programs) attackGraph(f *Frame, in []*Node) []*Node {
	rest := p.share(f, in)
	f.X, f.Context = rest[0], rest[1:1+p.contexts]
	next := p.method.Inner.step(f, rest[1+p.contexts:])
	p.perAttack = int64(f.Student.Tracked)
	return next
}
