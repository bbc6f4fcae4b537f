package bench

import (
	"fmt"
	"slices"
	"strings"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/data"
)

// Job is one row to measure.
type Job struct {
	Name    string // one of Names
	Arch    string // as [nn.Parse] takes it
	Width   int    // base width, never 0
	Batch   int
	Backend string // as backend.Options.Name
}

// String names the job in messages.
func (j Job) String() string {
	return fmt.Sprintf("%s %s width %d batch %d", j.Name, j.Arch, j.Width, j.Batch)
}

const stepSuffix = "-step"

// Names lists the steps that can be timed.
func Names() []string {
	var names []string
	for _, method := range cureml.MethodNames() {
		names = append(names, method+stepSuffix)
	}
	return names
}

// Plan is every combination of names, widths and batch sizes, grouped by width and batch size. Width 0 is the published
// one of the architecture. The error names the first value that is wrong and what is accepted.
func Plan(names []string, arch string, widths, batches []int, backend string) ([]Job, error) {
	if len(names) == 0 || len(widths) == 0 || len(batches) == 0 {
		return nil, fmt.Errorf("bench: nothing to measure: want at least one of %s, one width and one batch size", strings.Join(Names(), ", "))
	}
	var jobs []Job
	for _, width := range widths {
		for _, batch := range batches {
			for _, name := range names {
				if !slices.Contains(Names(), name) {
					return nil, fmt.Errorf("bench: unknown step %q: accepted are %s", name, strings.Join(Names(), ", "))
				}
				a, err := nn.Parse(arch, width, len(classes))
				if err != nil {
					return nil, err
				}
				j := Job{Name: name, Arch: a.Name, Width: a.Width, Batch: batch, Backend: backend}
				if slices.Contains(jobs, j) {
					return nil, fmt.Errorf("bench: %s is asked for twice", j)
				}
				if _, err := j.config(); err != nil {
					return nil, err
				}
				jobs = append(jobs, j)
			}
		}
	}
	return jobs, nil
}

// config is the method's default recipe on the job's network, at a small constant learning rate, so that random labels
// leave the weights finite for any number of steps. Methods with teachers learn from shipped ones.
func (j Job) config() (c cureml.Config, err error) {
	c = cureml.Defaults(strings.TrimSuffix(j.Name, stepSuffix))
	if c.Arch, err = nn.Parse(j.Arch, j.Width, len(classes)); err != nil {
		return c, err
	}
	c.Batch, c.Schedule = j.Batch, optim.Schedule{Kind: "constant", Max: 1e-3}
	c.Teacher = cureml.TeacherConfig{Robust: cureml.ZooPrefix + "trades", Natural: cureml.ZooPrefix + "natural"}
	return c, c.Validate()
}

// classes are as many as CIFAR-10 has.
var classes = strings.Fields("0 1 2 3 4 5 6 7 8 9")

// images are uniform noise with labels in turn, [n, 32, 32, 3].
func images(n int) *data.Set {
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
