package bench

import (
	"strings"

	"github.com/gomlx/compute"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/data"
)

// A task is what is timed: a turn works on so many images, waits for the result, and compiles the first time.
type task struct {
	images int
	turn   func() error
	free   func()
}

// tasks are made by name; training steps, whose names end in -step, are made by openStep.
var tasks = []struct {
	name string
	open opener
}{
	{"forward", openForward},
	{"attack-loop", openAttackLoop},
	{"attack-unrolled", openAttackUnrolled},
	{"pgd20", openPGD},
	{"autoattack-fast", openAutoAttack},
	{"autoattack", openAutoAttack},
	{"rgp-mask", openMask},
	{"batches", openBatches},
	{"corruptions", openCorruptions},
	{"cka", openCKA},
}

type opener func(b compute.Backend, j Job) (task, error)

const stepSuffix = "-step"

// releasedCure is a step of its own, because the released code of CURE does other work than the paper says.
const releasedCure = "cure-released"

// Names lists what can be timed: the training step of each method, and the tasks.
func Names() []string {
	var names []string
	for _, method := range append(cureml.MethodNames(), releasedCure) {
		names = append(names, method+stepSuffix)
	}
	for _, t := range tasks {
		names = append(names, t.name)
	}
	return names
}

// open makes the job's task.
func (j Job) open(b compute.Backend) (task, error) {
	for _, t := range tasks {
		if t.name == j.Name {
			return t.open(b, j)
		}
	}
	if j.Shape != (Shape{}) {
		return openConvolution(b, j)
	}
	return openStep(b, j)
}

// openStep is a step of training: attack and update, the batch being prepared ahead.
func openStep(b compute.Backend, j Job) (task, error) {
	cfg, err := j.config()
	if err != nil {
		return task{}, err
	}
	s, err := cureml.NewStepper(b, cfg, noise(4*j.Batch))
	if err != nil {
		return task{}, err
	}
	return task{j.Batch, func() error { _, err := s.Step(); return err }, s.Free}, nil
}

// config is the method's default recipe on the job's network, at a small constant learning rate, so that random labels
// leave the weights finite for any number of steps. Methods with teachers learn from shipped ones.
func (j Job) config() (c cureml.Config, err error) {
	method := strings.TrimSuffix(j.Name, stepSuffix)
	if method == releasedCure {
		c = cureml.Defaults("cure")
		c.Cure.Face = "released"
	} else {
		c = cureml.Defaults(method)
	}
	if c.Arch, err = nn.Parse(j.Arch, j.Width, len(classes)); err != nil {
		return c, err
	}
	c.Batch, c.Schedule, c.Devices = j.Batch, optim.Schedule{Kind: "constant", Max: 1e-3}, j.Devices
	c.Compute = j.Compute
	if j.Attack > 0 {
		c.Attack.Steps = j.Attack
	}
	c.Teacher = cureml.TeacherConfig{Robust: cureml.ZooPrefix + "trades", Natural: cureml.ZooPrefix + "natural"}
	return c, c.Validate()
}

// classes are as many as CIFAR-10 has.
var classes = strings.Fields("0 1 2 3 4 5 6 7 8 9")

// noise is n images of uniform noise with labels in turn, [n, 32, 32, 3].
func noise(n int) *data.Set {
	s := &data.Set{Name: "noise", Split: "train", Classes: classes,
		Images: make([]uint8, n*data.Height*data.Width*data.Channels), Labels: make([]int32, n)}
	rng := data.Stream(0, "bench")
	for i := range s.Images {
		s.Images[i] = uint8(rng.Uint32())
	}
	for i := range s.Labels {
		s.Labels[i] = int32(i % len(classes))
	}
	return s
}
