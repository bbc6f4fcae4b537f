package bench

import (
	"context"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/zoo"
	"cure/data"
	"cure/data/mini"
)

// subject is the job's network with random weights, and its images [B, 32, 32, 3] in [0,1], both on the device.
type subject struct {
	attacks.Model
	images *tensors.Tensor
}

func (j Job) subject(b compute.Backend) (*subject, error) {
	arch, err := nn.Parse(j.Arch, j.Width, len(classes))
	if err != nil {
		return nil, err
	}
	state, err := nn.Init(arch, 0)
	if err != nil {
		return nil, err
	}
	images := tensors.FromFlatDataAndDimensions(pixels(j.Batch), j.Batch, data.Height, data.Width, data.Channels)
	return &subject{cureml.HostModel(b, state), images}, nil
}

// pixels are those of n images of noise, in [0,1].
func pixels(n int) []float32 {
	images := noise(n).Images
	values := make([]float32, len(images))
	for i, v := range images {
		values[i] = float32(v) / 255
	}
	return values
}

// compile makes a program of the network and of other inputs.
func (s *subject) compile(build func(net func(x *Node) *Node, in []*Node) *Node) (*Exec, error) {
	n := len(s.Weights)
	return NewExec(s.Backend, func(in []*Node) *Node {
		return build(func(x *Node) *Node { return s.Logits(in[:n], x) }, in[n:])
	})
}

// run runs a program.
func (s *subject) run(e *Exec, in ...*tensors.Tensor) (*tensors.Tensor, error) {
	args := make([]any, 0, len(s.Weights)+len(in))
	for _, t := range append(append([]*tensors.Tensor{}, s.Weights...), in...) {
		args = append(args, t)
	}
	return e.Exec1(args...)
}

// wait ends when the device has made t, and frees it.
func wait(t *tensors.Tensor) error {
	err := t.ConstFlatData(func(any) {})
	t.MustFinalizeAll()
	return err
}

// openProgram is one program on the images of the job's subject.
func openProgram(b compute.Backend, j Job, build func(net func(x *Node) *Node, in []*Node) *Node) (task, error) {
	s, err := j.subject(b)
	if err != nil {
		return task{}, err
	}
	program, err := s.compile(build)
	if err != nil {
		return task{}, err
	}
	return task{j.Batch, func() error {
		out, err := s.run(program, s.images)
		if err != nil {
			return err
		}
		return wait(out)
	}, program.Finalize}, nil
}

// logits is a pass in mode E.
func logits(net func(*Node) *Node, in []*Node) *Node { return net(in[0]) }

func openForward(b compute.Backend, j Job) (task, error) { return openProgram(b, j, logits) }

// training is the attack of TRADES in training, or as many steps of it as the job says.
func (j Job) training() attacks.PGD {
	p := attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: .031}, Steps: 10, StepSize: .007, Loss: "kl"}
	if j.Attack > 0 {
		p.Steps = j.Attack
	}
	return p
}

// openAttackLoop is the attack of training as this project runs it: a program for a step, called again and again by the
// host, with the natural logits made once.
func openAttackLoop(b compute.Backend, j Job) (task, error) {
	s, err := j.subject(b)
	if err != nil {
		return task{}, err
	}
	forward, err := s.compile(logits)
	if err != nil {
		return task{}, err
	}
	pgd := j.training()
	step, err := s.compile(func(net func(*Node) *Node, in []*Node) *Node {
		return pgd.Step(in[0], in[1], func(adv *Node) *Node { return pgd.Objective(net(adv), nil, in[2]) })
	})
	if err != nil {
		return task{}, err
	}
	return task{j.Batch, func() error {
		natural, err := s.run(forward, s.images)
		if err != nil {
			return err
		}
		defer natural.MustFinalizeAll()
		adv := s.images
		for range pgd.Steps {
			next, err := s.run(step, s.images, adv, natural)
			if adv != s.images {
				adv.MustFinalizeAll()
			}
			if err != nil {
				return err
			}
			adv = next
		}
		return wait(adv)
	}, func() { forward.Finalize(); step.Finalize() }}, nil
}

// openAttackUnrolled is the same attack as one program with all steps in it.
func openAttackUnrolled(b compute.Backend, j Job) (task, error) {
	pgd := j.training()
	return openProgram(b, j, func(net func(*Node) *Node, in []*Node) *Node {
		natural, adv := net(in[0]), in[0]
		for range pgd.Steps {
			adv = pgd.Step(in[0], adv, func(adv *Node) *Node { return pgd.Objective(net(adv), nil, natural) })
		}
		return adv
	})
}

// openPGD is an evaluation of random weights, with their own predictions as labels, so that every image is attacked to
// the last step, whatever the weights are.
func openPGD(b compute.Backend, j Job) (task, error) {
	s, err := j.subject(b)
	if err != nil {
		return task{}, err
	}
	set := noise(j.Batch)
	predicted, err := attacks.Predict(context.Background(), s.Model, pixels(j.Batch), j.Batch)
	if err != nil {
		return task{}, err
	}
	for i, class := range predicted {
		set.Labels[i] = int32(class)
	}
	attack, err := attacks.Preset(j.Name)
	if err != nil {
		return task{}, err
	}
	return evaluation(s.Model, set, attack, j.Batch)
}

// openAutoAttack is an evaluation of the shipped TRADES network on the first images of the mini test set.
func openAutoAttack(b compute.Backend, j Job) (task, error) {
	state, err := zoo.Load("trades")
	if err != nil {
		return task{}, err
	}
	set := mini.Test()
	if set, err = set.Slice(0, min(j.Batch, set.Len())); err != nil {
		return task{}, err
	}
	attack, err := attacks.Preset(j.Name)
	if err != nil {
		return task{}, err
	}
	return evaluation(cureml.HostModel(b, state), set, attack, attacks.DefaultBatch)
}

func evaluation(model attacks.Model, set *data.Set, attack attacks.Attack, rows int) (task, error) {
	ev, err := attacks.NewEvaluator(model, rows)
	if err != nil {
		return task{}, err
	}
	return task{set.Len(), func() error {
		_, err := ev.Evaluate(context.Background(), model.Weights, set.Images, set.Labels, []attacks.Attack{attack}, attacks.Options{})
		return err
	}, ev.Close}, nil
}
