package attacks

import (
	"context"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// climb is PGD in rows with an eps and a step size each, for Bisection. A row ends at its first misclassified iterate.
type climb struct {
	*lanes
	pgd PGD
	adv *tensors.Tensor
	eps []float64
}

// climbKey names the program of all PGDs that move alike in relation to eps.
type climbKey struct {
	norm  Norm
	share float64 // of eps that a step takes
}

func (p PGD) prepareRows(e *engine) error {
	if err := e.prepareGradient(p.goal()); err != nil {
		return err
	}
	if _, err := p.rowMover(e); err != nil {
		return err
	}
	_, err := replacer(e)
	return err
}

func (p PGD) within(l *lanes) rowWalker {
	return &climb{lanes: l, pgd: p, eps: make([]float64, l.size)}
}

// rowMover is the program of one step, given eps [B].
func (p PGD) rowMover(e *engine) (*Exec, error) {
	share := p.StepSize / p.Ball.Eps
	return e.prepareUpdate(climbKey{p.Ball.Norm, share}, "pgd step in rows", func(in []*Node) []*Node {
		clean, adv, grad, eps := in[0], in[1], in[2], InsertAxes(in[3], -1, -1, -1)
		direction := p.Ball.Direction(grad)
		if p.Ball.Norm == L1 {
			direction = slide(adv, grad)
		}
		next := Add(adv, Mul(direction, MulScalar(eps, share)))
		return []*Node{projectWithin(p.Ball.Norm, next, clean, ConvertDType(eps, dtypes.Float64))}
	}, e.imageShape(), e.imageShape(), e.imageShape(), e.lossShape())
}

// replacer is the program that puts other images into the rows where the last input, [B], is not zero.
func replacer(e *engine) (*Exec, error) {
	return e.prepareUpdate("replace", "replace images", func(in []*Node) []*Node {
		return []*Node{wherever(NotEqual(in[2], ZerosLike(in[2])), in[1], in[0])}
	}, e.imageShape(), e.imageShape(), e.lossShape())
}

func (w *climb) limit(row int, eps float64) { w.eps[row] = eps }

// load puts starts into fresh rows.
func (w *climb) load(ctx context.Context, rows []int) error {
	if w.adv == nil {
		w.adv = w.upload(make([]float32, len(w.x)))
	}
	d := w.model.pixels()
	starts, which := make([]float32, len(w.x)), make([]float32, w.size)
	for _, row := range rows {
		p := w.pgd
		p.Ball.Eps = w.eps[row]
		image := starts[row*d : (row+1)*d]
		p.Noise(image, w.random(w.jobs[row]))
		for i := range image {
			image[i] += w.x[row*d+i]
			if p.Start == Uniform {
				image[i] = min(max(image[i], 0), 1)
			}
		}
		which[row] = 1
	}
	program, err := replacer(w.engine)
	if err != nil {
		return err
	}
	from, fresh := w.upload(starts), tensors.FromValue(which)
	out, err := w.call(ctx, program, w.adv, from, fresh)
	if err != nil {
		return err
	}
	if err := free(w.adv, from, fresh); err != nil {
		return err
	}
	w.adv = out[0]
	return nil
}

// step is one pass in all rows: Steps moves have a pass before each and one at the end.
func (w *climb) step(ctx context.Context) ([]outcome, error) {
	w.inputs.images = make([]int, w.live()) // what the pass counts as
	now, err := w.ascend(ctx, w.pgd.goal(), &w.inputs, w.adv)
	if err != nil {
		return nil, err
	}
	marks, err := w.read(now.marks)
	if err != nil {
		return nil, err
	}
	var over []int
	claimed := make([]bool, w.size)
	for row, busy := range w.busy {
		if !busy {
			continue
		}
		boxed := w.steps[row] > 0 || w.pgd.Start == Uniform || w.pgd.Start == None
		claimed[row] = boxed && marks[row]&markSure != 0
		if claimed[row] || w.steps[row] == w.pgd.Steps {
			over = append(over, row)
		}
		w.steps[row]++
	}
	images, err := w.images(w.adv, over)
	if err != nil {
		return nil, err
	}
	if err := w.move(ctx, now); err != nil {
		return nil, err
	}
	var ended []outcome
	for _, row := range over {
		ended = append(ended, outcome{row, images[row], claimed[row]})
	}
	return ended, nil
}

// move takes the step along the gradient of a pass, which it uses up.
func (w *climb) move(ctx context.Context, now pass) error {
	program, err := w.pgd.rowMover(w.engine)
	if err != nil {
		return err
	}
	given, err := w.donate(w.adv, now.grad)
	if err != nil {
		return err
	}
	eps := w.uploadRows(func(row int) float64 { return w.eps[row] })
	out, err := w.call(ctx, program, w.inputs.clean, given[0], given[1], eps)
	if err != nil {
		return err
	}
	w.adv = out[0]
	return free(now.losses, now.marks, eps)
}

func (w *climb) free() error { return free(w.adv) }
