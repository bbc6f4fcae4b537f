package attacks

import (
	"context"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// prepareQuery compiles a program with the network, unless one of that key exists, and returns it.
func (e *engine) prepareQuery(key any, name string, fn func(in []*Node) []*Node, inputs ...shapes.Shape) (*Exec, error) {
	if exec := e.update[key]; exec != nil {
		return exec, nil
	}
	exec, err := e.compileNetwork(name, fn, inputs...)
	if err == nil {
		e.update[key] = exec
	}
	return exec, err
}

// seatKey names the programs that put starts into fresh rows.
type seatKey struct{ ball Ball }

// seater is the program that puts starts into fresh rows, projected: from images, starts, clean images, and which rows are
// fresh and how far their ball reaches, in units of eps (0 elsewhere), to images.
func seater(e *engine, ball Ball) (*Exec, error) {
	return e.prepareUpdate(seatKey{ball}, "seat", func(in []*Node) []*Node {
		x, starts, clean, radius := in[0], in[1], in[2], in[3]
		if ball.Eps == 0 {
			starts = clean
		} else {
			starts = projectWithin(ball.Norm, starts, clean, ball.reach(radius))
		}
		return []*Node{wherever(GreaterThan(radius, ZerosLike(radius)), starts, x)}
	}, e.imageShape(), e.imageShape(), e.imageShape(), e.lossShape())
}

// reach is a radius [B] in units of eps as float64 [B, 1, 1, 1] in pixel units.
func (b Ball) reach(radius *Node) *Node {
	return MulScalar(InsertAxes(ConvertDType(radius, dtypes.Float64), -1, -1, -1), b.Eps)
}

// seat replaces rows of state, images [B, H, W, C] on the device, by the clean images plus an offset each, projected to
// ball and box.
func (l *lanes) seat(ctx context.Context, ball Ball, state *tensors.Tensor, rows []int, offset func(row int, dst []float32)) (*tensors.Tensor, error) {
	program, err := seater(l.engine, ball)
	if err != nil {
		return nil, err
	}
	d := l.model.pixels()
	images, radii := make([]float32, len(l.x)), make([]float32, l.size)
	for _, row := range rows {
		image := images[row*d : (row+1)*d]
		offset(row, image)
		for i := range image {
			image[i] += l.x[row*d+i]
		}
		radii[row] = 1
	}
	from, fresh := l.upload(images), tensors.FromValue(radii)
	out, err := l.call(ctx, program, state, from, l.inputs.clean, fresh)
	if err != nil {
		return nil, err
	}
	return out[0], free(state, from, fresh)
}

// query runs a program over state, which it replaces, clean images, labels and extra inputs, which are freed, and returns
// the new state and the marks of the pass.
func (l *lanes) query(ctx context.Context, program *Exec, state []*tensors.Tensor, extra ...*tensors.Tensor) ([]*tensors.Tensor, []int32, error) {
	inputs, err := l.donate(state...)
	if err != nil {
		return nil, nil, err
	}
	inputs = append(inputs, l.inputs.clean, l.inputs.labels)
	for _, t := range extra {
		inputs = append(inputs, t)
	}
	out, err := l.callNetwork(ctx, program, inputs...)
	if err != nil {
		return nil, nil, err
	}
	l.forwards += l.live()
	next, seen := out[:len(state)], out[len(state)]
	marks, err := l.read(seen)
	if err != nil {
		return nil, nil, err
	}
	return next, marks, free(append(extra, seen)...)
}

// leave makes outcomes of the jobs in these rows, with the images that best has for them.
func (l *lanes) leave(rows []int, best *tensors.Tensor, marks []int32) (ended []outcome, err error) {
	images, err := l.images(best, rows)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		ended = append(ended, outcome{row, images[row], marks[row]&markWrong != 0})
	}
	return ended, nil
}

// scored is the margin [B] of logits, and their marks with nothing said of gradients.
func scored(logits, y *Node) (margin, seen *Node) {
	margin = Margin(logits, y)
	return margin, marks(logits, y, margin, nil)
}

// improves says of each row [B] whether an image of that margin and those marks is to replace one of the margin least. NaN
// logits, which have no order, do where they misclassify.
func improves(margin, seen, least *Node) *Node {
	return LogicalOr(LessThan(margin, least), marked(seen, markWrong))
}

// boundless is plus infinity in the shape of x.
func boundless(x *Node) *Node {
	return BroadcastToShape(Infinity(x.Graph(), x.DType(), 1), x.Shape())
}

// planColumn is entry k of each row of plan [B, K] as [B, 1, 1, 1].
func planColumn(plan *Node, k int) *Node {
	return InsertAxes(SliceAxis(plan, -1, AxisElem(k)), -1, -1)
}

// planFlag is whether entry k of each row of plan is positive: [B].
func planFlag(plan *Node, k int) *Node {
	entry := Squeeze(SliceAxis(plan, -1, AxisElem(k)), -1)
	return GreaterThan(entry, ZerosLike(entry))
}
