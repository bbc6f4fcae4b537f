package bench

import (
	"fmt"
	"slices"
	"strings"

	"cure/cureml/nn"
	"cure/cureml/zoo"
)

// Job is one row to measure. A turn of it works on Batch images.
type Job struct {
	Name    string // one of Names
	Arch    string // as [nn.Parse] takes it
	Width   int    // base width, never 0
	Batch   int
	Backend string // as backend.Options.Name
	Attack  int    // steps of the attack in training and evaluation; 0 means the task's own
	Devices int    // that compute together, see cureml.Config.Devices; 0 means one
	Compute string // of steps, see cureml.Config.Compute; "" means float32. Peers have their own
	Shape   Shape  // of a convolution alone, in jobs of Shapes
	Peer    string // "" for this project, else one of Peers
}

// String names the job in messages.
func (j Job) String() string {
	text := fmt.Sprintf("%s %s width %d batch %d", j.Name, j.Arch, j.Width, j.Batch)
	if j.Attack > 0 {
		text += fmt.Sprintf(", %d attack steps", j.Attack)
	}
	if j.Devices > 1 {
		text += fmt.Sprintf(", %d devices", j.Devices)
	}
	if j.Compute != "" {
		text += ", " + j.Compute
	}
	if j.Shape != (Shape{}) {
		text = fmt.Sprintf("%s %s batch %d", j.Name, j.Shape, j.Batch)
	}
	if j.Peer != "" {
		text += ", " + j.Peer
	}
	return text
}

// Request is what Plan makes jobs of: every combination of names, widths and batch sizes.
type Request struct {
	Names   []string
	Arch    string
	Widths  []int // 0 is the published one of the architecture
	Batches []int
	Backend string
	Compute string   // of training steps; what is no step takes none
	Peers   []string // that take turns with a job, where they know it
}

// Plan lists the jobs in groups that take turns: a job and its peers, and without peers all jobs of a width and batch
// size. The error names the first value that is wrong and what is accepted.
func Plan(r Request) (groups [][]Job, err error) {
	if len(r.Names) == 0 || len(r.Widths) == 0 || len(r.Batches) == 0 {
		return nil, fmt.Errorf("bench: nothing to measure: want at least one of %s, one width and one batch size", strings.Join(Names(), ", "))
	}
	if r.Compute == "float32" {
		r.Compute = ""
	}
	seen := map[Job]bool{}
	for _, width := range r.Widths {
		a, err := nn.Parse(r.Arch, width, len(classes))
		if err != nil {
			return nil, err
		}
		for _, batch := range r.Batches {
			var together []Job
			for _, name := range r.Names {
				j := Job{Name: name, Arch: a.Name, Width: a.Width, Batch: batch, Backend: r.Backend, Compute: r.Compute}
				if seen[j] {
					return nil, fmt.Errorf("bench: %s is asked for twice", j)
				}
				seen[j] = true
				if err := j.check(); err != nil {
					return nil, err
				}
				others, err := peersOf(j, r.Peers)
				if err != nil {
					return nil, err
				}
				if len(others) > 0 {
					groups = append(groups, append([]Job{j}, others...))
				} else {
					together = append(together, j)
				}
			}
			if len(together) > 0 {
				groups = append(groups, together)
			}
		}
	}
	return groups, nil
}

// check names what is wrong with the job.
func (j Job) check() error {
	if !slices.Contains(Names(), j.Name) {
		return fmt.Errorf("bench: unknown step %q: accepted are %s", j.Name, strings.Join(Names(), ", "))
	}
	if strings.HasSuffix(j.Name, stepSuffix) {
		if _, err := j.config(); err != nil {
			return err
		}
	} else if j.Compute != "" {
		return fmt.Errorf("bench: %s: only steps of training, whose names end in %s, compute in a type of choice", j, stepSuffix)
	}
	if strings.HasPrefix(j.Name, "autoattack") && (j.Arch != "resnet18" || j.Width != zoo.Width) {
		return fmt.Errorf("bench: %s: it is measured on the shipped network, resnet18 of width %d", j, zoo.Width)
	}
	if j.Batch < 1 || j.Batch > mostImages {
		return fmt.Errorf("bench: batch %d: want 1 to %d", j.Batch, mostImages)
	}
	return nil
}

// operations are the additions and multiplications of convolutions that a step of training needs for an image
// ([cureml.Config.MACs], two for each); 0 for what is no step of training. A peer that computes more of them gets no credit for it.
func (j Job) operations() (float64, error) {
	if !strings.HasSuffix(j.Name, stepSuffix) {
		return 0, nil
	}
	c, err := j.config()
	if err != nil {
		return 0, err
	}
	macs, err := c.MACs()
	return 2 * macs, err
}

// mostImages keeps a mistyped batch size from filling the memory.
const mostImages = 1 << 16
