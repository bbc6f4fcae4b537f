package analysis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml"
	"cure/data"
)

// program is a graph of networks of one form. Its inputs are its own ones, and after them the weights of a network. It is
// compiled at its first call.
type program struct{ exec *Exec }

func newProgram(device compute.Backend, own int, build func(in, weights []*Node) []*Node) (*program, error) {
	exec, err := NewExec(device, func(all []*Node) []*Node { return build(all[:own], all[own:]) })
	if err != nil {
		return nil, err
	}
	return &program{exec}, nil
}

// call runs the program on the weights of a network, unless ctx has ended.
func (p *program) call(ctx context.Context, weights []*tensors.Tensor, own ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted: %w", err)
	}
	args := make([]any, 0, len(own)+len(weights))
	for _, t := range append(slices.Clip(own), weights...) {
		args = append(args, t)
	}
	return p.exec.Call(args...)
}

// programs are those of one form of network.
type programs []*program

// Close frees what was compiled.
func (list programs) Close() {
	for _, p := range list {
		if p != nil {
			p.exec.Finalize()
		}
	}
}

// makePrograms makes programs of their numbers of own inputs and graphs, in order.
func makePrograms(device compute.Backend, graphs ...programGraph) (programs, error) {
	var list programs
	for _, g := range graphs {
		p, err := newProgram(device, g.own, g.build)
		if err != nil {
			list.Close()
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

type programGraph struct {
	own   int
	build func(in, weights []*Node) []*Node
}

// perForm measures networks one after the other. What open makes for the first network of a form, which may compile
// programs but not keep weights, serves all networks of that form.
func perForm[P interface{ Close() }](device compute.Backend, nets []Network, open func(m attacks.Model) (P, error), measure func(i int, p P, m attacks.Model) error) error {
	made := map[string]P{}
	defer func() {
		for _, p := range made {
			p.Close()
		}
	}()
	one := func(i int, m attacks.Model) error {
		form, err := json.Marshal(nets[i].Arch)
		if err != nil {
			return err
		}
		p, ok := made[string(form)]
		if !ok {
			if p, err = open(m); err != nil {
				return err
			}
			made[string(form)] = p
		}
		return measure(i, p, m)
	}
	for i, n := range nets {
		m := cureml.HostModel(device, n.State)
		err := one(i, m)
		release(m.Weights...)
		if err != nil {
			return fmt.Errorf("analysis: network %s: %w", n.Name, err)
		}
	}
	return nil
}

// evaluateEach attacks networks on the images of a set and hands over the report for each.
func evaluateEach(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, list []attacks.Attack, o attacks.Options, each func(i int, r *attacks.Report, m attacks.Model) error) error {
	open := func(m attacks.Model) (*attacks.Evaluator, error) {
		return attacks.NewEvaluator(m, min(attacks.DefaultBatch, set.Len()))
	}
	return perForm(device, nets, open, func(i int, e *attacks.Evaluator, m attacks.Model) error {
		r, err := e.Evaluate(ctx, m.Weights, set.Images, set.Labels, list, o)
		if err != nil {
			return err
		}
		return each(i, r, m)
	})
}

// checkInput says what is wrong with networks and images.
func checkInput(nets []Network, set *data.Set) error {
	if len(nets) == 0 {
		return fmt.Errorf("analysis: no networks: want at least one")
	}
	if set == nil || set.Len() == 0 {
		return fmt.Errorf("analysis: no images: want at least one")
	}
	for i, n := range nets {
		if n.State == nil {
			return fmt.Errorf("analysis: network %q has no weights", n.Name)
		}
		if slices.ContainsFunc(nets[:i], func(other Network) bool { return other.Name == n.Name }) {
			return fmt.Errorf("analysis: two networks are called %q: want different names", n.Name)
		}
		for k, y := range set.Labels {
			if y < 0 || int(y) >= n.Arch.Classes {
				return fmt.Errorf("analysis: label %d of image %d: network %s has %d classes", y, k, n.Name, n.Arch.Classes)
			}
		}
	}
	return nil
}

// checkAttacks says what is wrong with a list of attacks that needs to have one.
func checkAttacks(list []attacks.Attack, classes int) error {
	if !slices.ContainsFunc(list, func(a attacks.Attack) bool { return a.Method != nil }) {
		return fmt.Errorf("analysis: no attack among %d: want at least one, such as pgd20", len(list))
	}
	for _, a := range list {
		if err := a.Validate(classes); err != nil {
			return fmt.Errorf("analysis: %w", err)
		}
	}
	return nil
}

// pixels are images in [0, 1].
func pixels(images []uint8) []float32 {
	x := make([]float32, len(images))
	for i, v := range images {
		x[i] = float32(v) / 255
	}
	return x
}

// part is one batch on the device. All batches have the same shape: a short last one is filled up with its first image.
type part struct {
	first, n int             // images first to first+n-1
	host     []float32       // [B, H, W, C]
	x        *tensors.Tensor // the same on the device
	y        *tensors.Tensor // int32 [B]
}

// parts cuts images [N, H, W, C] into batches.
func parts(images []float32, labels []int32, image [3]int, f func(p part) error) error {
	d := image[0] * image[1] * image[2]
	size := min(attacks.DefaultBatch, len(labels))
	for first := 0; first < len(labels); first += size {
		p := part{first: first, n: min(size, len(labels)-first), host: make([]float32, size*d)}
		y := make([]int32, size)
		for row := range size {
			i := first
			if row < p.n {
				i += row
			}
			copy(p.host[row*d:(row+1)*d], images[i*d:(i+1)*d])
			y[row] = labels[i]
		}
		p.x = tensors.FromFlatDataAndDimensions(p.host, size, image[0], image[1], image[2])
		p.y = tensors.FromValue(y)
		err := f(p)
		release(p.x, p.y)
		if err != nil {
			return err
		}
	}
	return nil
}

// like is values in the shape of the batch.
func (p part) like(values []float32) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(values, p.x.Shape().Dimensions...)
}

// rows is one value for each image of the batch, padding included.
func (p part) rows(v float32) *tensors.Tensor {
	values := make([]float32, p.x.Shape().Dim(0))
	for i := range values {
		values[i] = v
	}
	return tensors.FromValue(values)
}

// read is the first n values of a tensor, which it frees.
func read(t *tensors.Tensor, n int) ([]float64, error) {
	values, err := tensors.CopyFlatData[float32](t)
	release(t)
	if err != nil {
		return nil, err
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(values[i])
	}
	return out, nil
}

// release frees buffers on the device.
func release(list ...*tensors.Tensor) {
	for _, t := range list {
		_ = t.FinalizeAll() // there is nothing to do about a buffer that does not go
	}
}

// scalar is a number for a program.
func scalar(v float64) *tensors.Tensor { return tensors.FromScalar(float32(v)) }
