package analysis

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// exam looks at networks of one form on attacked batches. Its programs take weights as inputs and serve all of them.
type exam struct {
	device compute.Backend
	arch   nn.Arch
	list   []nn.Tensor
	pgd    attacks.PGD
	mode   nn.Mode // of batch norm during the attack

	begin, step *Exec
	opened      []*Exec
}

// newExam attacks by pgd, whose objective may be "kl" against the natural logits.
func newExam(device compute.Backend, s *nn.State, pgd attacks.PGD, mode nn.Mode) (e *exam, err error) {
	e = &exam{device: device, arch: s.Arch, list: s.Tensors, pgd: pgd, mode: mode}
	e.begin, err = e.program(func(in []*Node) []*Node {
		net, in := e.net(in)
		x, noise := in[0], in[1]
		return []*Node{net.Forward(mode, x), Identity(pgd.Begin(x, noise))}
	})
	if err == nil {
		e.step, err = e.program(func(in []*Node) []*Node {
			net, in := e.net(in)
			x, y, natural, adv := in[0], in[1], in[2], in[3]
			return []*Node{pgd.Step(x, adv, func(adv *Node) *Node { return pgd.Objective(net.Forward(mode, adv), y, natural) })}
		})
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// program is a graph that close frees; it is compiled at its first run.
func (e *exam) program(graph func(in []*Node) []*Node) (*Exec, error) {
	p, err := NewExec(e.device, graph)
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	e.opened = append(e.opened, p)
	return p, nil
}

func (e *exam) close() {
	for _, p := range e.opened {
		p.Finalize()
	}
}

// net takes a network from the inputs of a graph and returns those that follow.
func (e *exam) net(in []*Node) (*nn.Net, []*Node) {
	net := &nn.Net{Arch: e.arch, Vars: make(map[string]*Node, len(e.list))}
	for i, t := range e.list {
		net.Vars[t.Name] = in[i]
	}
	return net, in[len(e.list):]
}

// onDevice are the tensors of a network, in the order of the inputs of a graph.
func (e *exam) onDevice(s *nn.State) (weights []*tensors.Tensor) {
	for _, t := range e.list {
		weights = append(weights, tensors.FromFlatDataAndDimensions(s.Values[t.Name], t.Shape...))
	}
	return weights
}

// examine runs a program on networks and further inputs, all of which stay.
func examine(ctx context.Context, program *Exec, inputs ...[]*tensors.Tensor) ([]*tensors.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("analysis: interrupted: %w", err)
	}
	var args []any
	for _, list := range inputs {
		for _, t := range list {
			args = append(args, t)
		}
	}
	out, err := program.Exec(args...)
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	return out, nil
}

// discard frees tensors on the device.
func discard(list ...*tensors.Tensor) {
	for _, t := range list {
		_ = t.FinalizeAll() // there is nothing to do about a buffer that does not go
	}
}

// onHost copies the values of a tensor and frees it.
func onHost[T float32 | float64 | bool](t *tensors.Tensor) (values []T, err error) {
	err = t.ConstFlatData(func(flat any) { values = append(values, flat.([]T)...) })
	discard(t)
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	return values, nil
}

// attackedBatch is images x and adv [B, 32, 32, 3] and labels y [B] on the device.
type attackedBatch struct{ x, y, adv *tensors.Tensor }

func (b attackedBatch) free() { discard(b.x, b.y, b.adv) }

// batch attacks the k-th batch of size images of a set through a network. Its random numbers depend on (seed, k) alone.
func (e *exam) batch(ctx context.Context, weights []*tensors.Tensor, set *data.Set, size, k int, seed uint64) (b attackedBatch, err error) {
	const length = data.Height * data.Width * data.Channels
	pixels, noise := make([]float32, size*length), make([]float32, size*length)
	for i, v := range set.Images[k*size*length : (k+1)*size*length] {
		pixels[i] = float32(v) / 255
	}
	rng := data.Stream(seed, "analysis/attack", uint64(k))
	for i := range size {
		e.pgd.Noise(noise[i*length:(i+1)*length], rng)
	}
	onDevice := func(v []float32) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(v, size, data.Height, data.Width, data.Channels)
	}
	b = attackedBatch{x: onDevice(pixels), y: tensors.FromFlatDataAndDimensions(set.Labels[k*size:(k+1)*size], size)}
	start := onDevice(noise)
	defer discard(start)
	first, err := examine(ctx, e.begin, weights, []*tensors.Tensor{b.x, start})
	if err != nil {
		discard(b.x, b.y)
		return b, err
	}
	defer discard(first[0])
	b.adv = first[1]
	for range e.pgd.Steps {
		next, err := examine(ctx, e.step, weights, []*tensors.Tensor{b.x, b.y, first[0], b.adv})
		if err != nil {
			b.free()
			return b, err
		}
		discard(b.adv)
		b.adv = next[0]
	}
	return b, nil
}

// wholeBatches is how many batches a set holds, and an error where networks and images do not fit together.
func wholeBatches(moments []Moment, set *data.Set, size int) (int, error) {
	if len(moments) == 0 {
		return 0, fmt.Errorf("analysis: no networks: want at least one")
	}
	for i, m := range moments {
		if m.State == nil {
			return 0, fmt.Errorf("analysis: network %d (%q) has no weights", i, m.Name)
		}
		if !sameForm(m.State, moments[0].State) {
			return 0, fmt.Errorf("analysis: %s is a %s, %s a %s: want networks of one form", m.Name, m.Arch, moments[0].Name, moments[0].Arch)
		}
		if bad := m.Dict().NonFinite(); len(bad) > 0 {
			return 0, fmt.Errorf("analysis: %s: tensor %s holds NaN or Inf", m.Name, bad[0])
		}
	}
	if size < 2 {
		return 0, fmt.Errorf("analysis: batches of %d images: want 2 or more, as batch norm does", size)
	}
	if set == nil || set.Len() < size {
		n := 0
		if set != nil {
			n = set.Len()
		}
		return 0, fmt.Errorf("analysis: %d images are less than one batch of %d", n, size)
	}
	for i, y := range set.Labels {
		if y < 0 || int(y) >= moments[0].Arch.Classes {
			return 0, fmt.Errorf("analysis: image %d has label %d: the networks have %d classes", i, y, moments[0].Arch.Classes)
		}
	}
	return set.Len() / size, nil
}
