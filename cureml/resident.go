package cureml

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mesh"
	"cure/data"
)

// resident keeps the images of a run on the device as they are, uint8, and makes batches there: of every image, the host
// sends its position and its view, 16 bytes instead of 3 KB. The views come from the streams that the host augments by,
// so the pixels are the same.
type resident struct {
	sets []any // for each set: images, uint8 [N, 3072], and labels, int32 [N, 1]
	exec *Exec
}

// planColumns are the position of an image in its set, DY, DX and Flip of its view.
const planColumns = 4

// residentLimit is how many bytes of images are put on a device unless the config asks for it.
const residentLimit = 4 << 30

// reside puts the images on the device where the config, or in its place the device, is for it.
func (r *batcher) reside(backend compute.Backend) (err error) {
	bytes := 0
	for _, p := range r.parts() {
		bytes += len(p.set.Images)
	}
	on := r.cfg.DataOnDevice == "on"
	if r.cfg.DataOnDevice == "" {
		on = mesh.OwnMemory(backend) && bytes <= residentLimit
	}
	if on {
		r.resident, err = newResident(backend, r.parts())
	}
	return err
}

func newResident(backend compute.Backend, parts []part) (*resident, error) {
	d := &resident{}
	for _, p := range parts {
		s := p.set
		shape := shapes.Make(dtypes.Uint8, s.Len(), len(s.Images)/s.Len())
		images, err := tensors.FromRaw(backend, 0, shape, s.Images)
		if err != nil {
			d.free()
			return nil, fmt.Errorf("cureml: %s (%d images) on the device: %w", s.Name, s.Len(), err)
		}
		d.sets = append(d.sets, images, tensors.FromFlatDataAndDimensions(append([]int32(nil), s.Labels...), s.Len(), 1))
	}
	var err error
	if d.exec, err = NewExec(backend, assemble); err != nil {
		d.free()
		return nil, fmt.Errorf("cureml: batches on the device: %w", err)
	}
	return d, nil
}

func (d *resident) free() {
	if d == nil {
		return
	}
	for _, t := range d.sets {
		t.(*tensors.Tensor).MustFinalizeAll()
	}
	if d.exec != nil {
		d.exec.Finalize()
	}
}

// plan is what draw writes, as int32 [n, planColumns].
func (s *source) plan(first, n int) []int32 {
	plan := make([]int32, 0, n*planColumns)
	s.visit(first, n, func(_, pass int, indices []int) {
		for _, index := range indices {
			var v data.View
			if s.cfg.Augment {
				v = data.NewView(s.seed, pass, index)
			}
			plan = append(plan, int32(index), int32(v.DY), int32(v.DX), int32(indicator(v.Flip)))
		}
	})
	return plan
}

// plans are those of the parts of a step's batch.
func (r *batcher) plans(step int) (plans [][]int32) {
	for _, p := range r.parts() {
		plans = append(plans, p.plan(step*p.n, p.n))
	}
	return plans
}

// place makes the images and labels of a batch that has plans.
func (r *batcher) place(b *batch) error {
	if b.plans == nil {
		return nil
	}
	args := append([]any(nil), r.resident.sets...)
	for _, plan := range b.plans {
		args = append(args, tensors.FromFlatDataAndDimensions(plan, len(plan)/planColumns, planColumns))
	}
	out, err := r.resident.exec.Call(args...)
	for _, plan := range args[len(r.resident.sets):] {
		plan.(*tensors.Tensor).MustFinalizeAll()
	}
	if err != nil {
		return fmt.Errorf("cureml: batches on the device: %w", err)
	}
	b.images, b.labels = out[0], out[1]
	return nil
}

// assemble takes images and labels of each set, then the plan of each, and returns images [B, 32, 32, 3] and labels [B].
func assemble(in []*Node) []*Node {
	n := len(in) / 3
	var images, labels []*Node
	for i, plan := range in[2*n:] {
		index := SliceAxis(plan, 1, AxisElem(0))
		images = append(images, Gather(in[2*i], index))
		labels = append(labels, Gather(in[2*i+1], index))
	}
	plan := Concatenate(in[2*n:], 0)
	x := Reshape(Concatenate(images, 0), -1, data.Height, data.Width, data.Channels)
	column := func(k int) *Node { return SliceAxis(plan, 1, AxisElem(k)) } // [B, 1]
	return []*Node{augmented(x, column(1), column(2), column(3)), Reshape(Concatenate(labels, 0), -1)}
}

// augmented is data.View for images x, uint8 [B, 32, 32, 3], and the parts of their views, int32 [B, 1].
func augmented(x, dy, dx, flip *Node) *Node {
	g, b := x.Graph(), x.Shape().Dim(0)
	index := func(axis int, dims ...int) *Node { return Iota(g, shapes.Make(dtypes.Int32, dims...), axis) }
	from := index(1, b, data.Width)
	mirrored := Sub(MulScalar(OnesLike(from), data.Width-1), from)
	from = Where(BroadcastToShape(Equal(flip, OnesLike(flip)), from.Shape()), mirrored, from)
	rows, columns := Add(index(1, b, data.Height), dy), Add(from, dx) // where each pixel comes from

	inside := func(v *Node, size float64) *Node {
		return LogicalAnd(GreaterOrEqual(v, ZerosLike(v)), LessThan(v, MulScalar(OnesLike(v), size)))
	}
	shape := []int{b, data.Height, data.Width}
	across := func(v *Node, axis int) *Node { return BroadcastToDims(InsertAxes(v, axis), shape...) }
	clip := func(v *Node, size float64) *Node { return ClipScalar(v, 0, size-1) }
	at := Stack([]*Node{index(0, shape...), across(clip(rows, data.Height), 2), across(clip(columns, data.Width), 1)}, -1)
	seen := LogicalAnd(across(inside(rows, data.Height), 2), across(inside(columns, data.Width), 1))
	out := Gather(x, at) // [B, 32, 32, 3]
	return Where(BroadcastToShape(InsertAxes(seen, -1), out.Shape()), out, ZerosLike(out))
}
