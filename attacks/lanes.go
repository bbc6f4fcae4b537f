package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// search is a Method whose rows do not know of each other: as soon as one has broken its image or spent its budget, the
// next image takes its place, so that no pass is spent on what is decided.
type search interface {
	Method
	walk(l *lanes) walker
	target(run int, clean []float32) int // the class that a run aims at given the clean logits; -1 for any wrong one
}

// walker is a search under way in the rows of the programs.
type walker interface {
	load(ctx context.Context, rows []int) error  // takes up the jobs that were put into these rows
	step(ctx context.Context) ([]outcome, error) // moves all rows on, and returns the jobs that ended
	free() error
}

// job is one run, from one start, on one image.
type job struct{ image, run int }

// minimizer is a search that may look for the smallest perturbation instead of one within its ball. Then all its runs are
// made on every image, the smallest distance counts, and the ball says only which of them break an image.
type minimizer interface {
	search
	minimizes() bool
}

// minimizes says whether a method looks for the smallest perturbation.
func minimizes(m Method) bool {
	least, ok := m.(minimizer)
	return ok && least.minimizes()
}

// outcome is how the job of a row ended.
type outcome struct {
	row     int
	adv     []float32
	claimed bool // a pass of the search found adv misclassified, and so the job ended early
}

// lanes are the rows of the programs and the jobs in them. Idle rows go on with what they held last.
type lanes struct {
	*engine
	method search
	random func(j job) *rand.Rand
	noise  func(j job) *rand.Rand // source of the keys of a random model
	jobs   []job
	busy   []bool
	steps  []int   // that the job has had
	marks  []int32 // or-ed over the passes of the job
	age    []int   // steps of the walker since it took up the job
	deaf   []int   // the first of these at which a claim counts

	x, about []float32 // the inputs below on the host
	y        []int32
	inputs   batch // clean images, labels, and clean logits or the target as a unit vector
}

func newLanes(e *engine, method search, random func(j job) *rand.Rand) *lanes {
	return &lanes{
		engine: e, method: method, random: random,
		jobs: make([]job, e.size), busy: make([]bool, e.size), steps: make([]int, e.size), marks: make([]int32, e.size),
		age: make([]int, e.size), deaf: make([]int, e.size),
		x: make([]float32, e.size*e.model.pixels()), y: make([]int32, e.size), about: make([]float32, e.size*e.model.Classes),
	}
}

// live is the number of busy rows.
func (l *lanes) live() (n int64) {
	for _, busy := range l.busy {
		if busy {
			n++
		}
	}
	return n
}

// heeds says whether the job of a row may claim a success in this step: a job that begins anew after a claim that was
// refuted goes through the same iterates up to there, and on.
func (l *lanes) heeds(row int) bool { return l.age[row] >= l.deaf[row] }

// put takes jobs into idle rows and renews the inputs of the programs.
func (l *lanes) put(v *evaluation, rows []int, jobs []job) error {
	d, classes := l.model.pixels(), l.model.Classes
	for k, row := range rows {
		i := jobs[k].image
		l.jobs[row], l.busy[row], l.steps[row], l.marks[row], l.age[row] = jobs[k], true, 0, 0, 0
		v.pixelsOf(i, l.x[row*d:(row+1)*d])
		l.y[row] = v.labels[i]
		if l.model.Random != nil {
			l.sources[row] = l.noise(jobs[k])
		}
		natural, about := v.natural[i*classes:(i+1)*classes], l.about[row*classes:(row+1)*classes]
		copy(about, natural)
		if target := l.method.target(jobs[k].run, natural); target >= 0 {
			clear(about)
			about[target] = 1
		}
	}
	if err := l.inputs.free(); err != nil {
		return err
	}
	l.inputs.clean = l.upload(slices.Clone(l.x))
	l.inputs.labels = tensors.FromValue(slices.Clone(l.y))
	l.inputs.natural = tensors.FromFlatDataAndDimensions(slices.Clone(l.about), l.scoreShape().Dimensions...)
	return nil
}

// images brings the images of some rows to the host.
func (l *lanes) images(from *tensors.Tensor, rows []int) (map[int][]float32, error) {
	out := map[int][]float32{}
	if len(rows) == 0 {
		return out, nil
	}
	d := l.model.pixels()
	err := tensors.ConstFlatData(from, func(flat []float32) {
		for _, row := range rows {
			out[row] = slices.Clone(flat[row*d : (row+1)*d])
		}
	})
	if err != nil {
		return nil, fmt.Errorf("reading adversarial images: %w", err)
	}
	return out, nil
}

// read or-s the marks of a pass into those of the jobs and returns them.
func (l *lanes) read(marks *tensors.Tensor) ([]int32, error) {
	now, err := tensors.CopyFlatData[int32](marks)
	if err != nil {
		return nil, fmt.Errorf("reading marks: %w", err)
	}
	for row, busy := range l.busy {
		if busy {
			l.marks[row] |= now[row]
		}
	}
	return now, nil
}

// uploadRows makes one float32 of each row an input of programs.
func (l *lanes) uploadRows(value func(row int) float64) *tensors.Tensor {
	out := make([]float32, l.size)
	for row := range out {
		out[row] = float32(value(row))
	}
	return tensors.FromValue(out)
}
