package analysis

import (
	"context"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// perForm keeps what was compiled for each form of network. Its zero value is empty.
type perForm[T interface{ Close() }] struct{ made map[string]T }

// of returns what there is for the form of a network; the first time, open makes it.
func (p *perForm[T]) of(s *subject, open func() (T, error)) (made T, err error) {
	if made, ok := p.made[s.form]; ok {
		return made, nil
	}
	if made, err = open(); err != nil {
		return made, err
	}
	if p.made == nil {
		p.made = map[string]T{}
	}
	p.made[s.form] = made
	return made, nil
}

// Close frees everything.
func (p *perForm[T]) Close() {
	for _, made := range p.made {
		made.Close()
	}
}

// closeAll frees what was compiled.
func closeAll(list ...interface{ Close() }) {
	for _, c := range list {
		c.Close()
	}
}

// program is a graph of a network, whose weights are inputs, and of other inputs, whose shapes must stay. It is compiled
// at its first run on a network of each form.
type program struct {
	build graphOf
	perForm[executable]
}

type graphOf func(s *subject, weights, in []*Node) []*Node

type executable struct{ *Exec }

func (e executable) Close() { e.Finalize() }

func newProgram(build graphOf) *program { return &program{build: build} }

// run runs the program on a network and further inputs, all of which stay.
func (p *program) run(ctx context.Context, s *subject, in ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted: %w", err)
	}
	exec, err := p.of(s, func() (executable, error) {
		weights := len(s.Weights)
		e, err := NewExec(s.Backend, func(all []*Node) []*Node { return p.build(s, all[:weights], all[weights:]) })
		return executable{e}, err
	})
	if err != nil {
		return nil, err
	}
	args := make([]any, 0, len(s.Weights)+len(in))
	for _, list := range [][]*tensors.Tensor{s.Weights, in} {
		for _, t := range list {
			args = append(args, t)
		}
	}
	return exec.Call(args...)
}

// onAll runs the program on all images [N, H, W, C], with their labels where there are any, in batches of size images, and
// returns its outputs [N, ...], flat. More inputs may follow.
func (p *program) onAll(ctx context.Context, s *subject, images []float32, labels []int32, size int, more ...*tensors.Tensor) (rows [][]float32, err error) {
	err = eachBatch(s.Image, images, labels, size, func(b *batch) error {
		in := []*tensors.Tensor{b.x}
		if b.y != nil {
			in = append(in, b.y)
		}
		out, err := p.run(ctx, s, append(in, more...)...)
		if err != nil {
			return err
		}
		if rows == nil {
			rows = make([][]float32, len(out))
		}
		for k, t := range out {
			v, err := take[float32](t)
			if err != nil {
				return err
			}
			rows[k] = append(rows[k], v[:len(v)/b.size*b.n]...)
		}
		return nil
	})
	return rows, err
}

// newClassifier is the program of the logits [B, C] of images.
func newClassifier() *program {
	return newProgram(func(s *subject, weights, in []*Node) []*Node { return []*Node{s.Logits(weights, in[0])} })
}

// evaluator attacks networks in batches of size images.
type evaluator struct {
	size int
	perForm[*attacks.Evaluator]
}

// newEvaluator takes the batches of package attacks, or the whole of fewer images.
func newEvaluator(set *data.Set) *evaluator {
	return &evaluator{size: min(attacks.DefaultBatch, set.Len())}
}

func (e *evaluator) evaluate(ctx context.Context, s *subject, set *data.Set, list []attacks.Attack, o attacks.Options) (*attacks.Report, error) {
	one, err := e.of(s, func() (*attacks.Evaluator, error) { return attacks.NewEvaluator(s.Model, e.size) })
	if err != nil {
		return nil, err
	}
	return one.Evaluate(ctx, s.Weights, set.Images, set.Labels, list, o)
}

// take copies a tensor to the host and frees it.
func take[T float32 | float64 | bool](t *tensors.Tensor) (values []T, err error) {
	err = t.ConstFlatData(func(flat any) { values = append(values, flat.([]T)...) })
	free(t)
	return values, err
}

// read takes the first n values of a tensor, as float64.
func read(t *tensors.Tensor, n int) ([]float64, error) {
	v, err := take[float32](t)
	if err != nil {
		return nil, err
	}
	return widen(v[:n]), nil
}

func widen(values []float32) []float64 {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

// free gives tensors on the device back.
func free(list ...*tensors.Tensor) {
	for _, t := range list {
		_ = t.FinalizeAll() // there is nothing to do about a buffer that does not go
	}
}

// scalar is a number for a program.
func scalar(v float64) *tensors.Tensor { return tensors.FromScalar(float32(v)) }
