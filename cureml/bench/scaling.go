package bench

import (
	"fmt"
	"slices"

	"cure/cureml/nn"
)

// Directions are the ways in which [Scaling] lets a step grow: their names, and the field of a row that grows.
var Directions = []struct {
	Name string
	Of   func(r Row) int
	set  func(j *Job, v int)
}{
	{"images", func(r Row) int { return r.Batch }, func(j *Job, v int) { j.Batch = v }},
	{"width", func(r Row) int { return r.Width }, func(j *Job, v int) { j.Width = v }},
	{"attack steps", func(r Row) int { return r.Attack }, func(j *Job, v int) { j.Attack = v }},
	{"devices", func(r Row) int { return r.Devices }, func(j *Job, v int) { j.Devices = v }},
}

// ScalingRequest is a step of TRADES in the middle of four directions.
type ScalingRequest struct {
	Arch         string
	Width, Batch int   // multiples of 2 and 4
	Attack       []int // steps of the attack; the last but one is the middle's
	Devices      []int // the first is the middle's
	Backend      string
}

// Scaling is a step of training with more and more images, width, steps of its attack, and devices, each with the others
// as in the middle, in a group a direction.
func Scaling(r ScalingRequest) (groups [][]Job, err error) {
	if r.Width < 2 || r.Width%2 != 0 || r.Batch < 4 || r.Batch%4 != 0 || len(r.Attack) < 2 || len(r.Devices) < 1 {
		return nil, fmt.Errorf("bench: width %d, batch %d, %d numbers of attack steps, %d of devices: want multiples of 2 and 4, at least 2 and 1",
			r.Width, r.Batch, len(r.Attack), len(r.Devices))
	}
	a, err := nn.Parse(r.Arch, r.Width, len(classes))
	if err != nil {
		return nil, err
	}
	middle := Job{Name: "trades-step", Arch: a.Name, Width: r.Width, Batch: r.Batch, Attack: r.Attack[len(r.Attack)-2], Devices: r.Devices[0], Backend: r.Backend}
	for i, values := range [][]int{
		{r.Batch / 4, r.Batch / 2, r.Batch, 2 * r.Batch}, {r.Width / 2, r.Width, 2 * r.Width, 4 * r.Width}, r.Attack, r.Devices,
	} {
		var group []Job
		for _, v := range values {
			j := middle
			Directions[i].set(&j, v)
			if err := j.check(); err != nil {
				return nil, err
			}
			group = append(group, j)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// Along are the rows of a direction, smallest first: those of the group that Scaling made for it.
func Along(r ScalingRequest, rows []Row, direction int) (line []Row) {
	groups, err := Scaling(r)
	if err != nil {
		return nil
	}
	before := 0
	for _, g := range groups[:direction] {
		before += len(g)
	}
	line = slices.Clone(rows[before : before+len(groups[direction])])
	slices.SortFunc(line, func(a, b Row) int { return Directions[direction].Of(a) - Directions[direction].Of(b) })
	return line
}
