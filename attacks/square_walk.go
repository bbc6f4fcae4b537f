package attacks

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// squareWalk is Square under way.
type squareWalk struct {
	*lanes
	square   SquareAttack
	draws    []*rand.Rand      // of the jobs
	patterns map[int]lobes     // by side
	plan     []float32         // what each row tries next
	mosaics  []mosaic          // Linf: the best perturbations
	state    []*tensors.Tensor // in the order of querier
}

func (s SquareAttack) walk(l *lanes) walker {
	return &squareWalk{
		lanes: l, square: s, draws: make([]*rand.Rand, l.size), patterns: map[int]lobes{},
		plan: make([]float32, l.size*s.columns(l.model)), mosaics: make([]mosaic, l.size),
	}
}

// columns of the plan.
func (s SquareAttack) columns(m Model) int { return squareSigns + m.Image[2] }

// row is the plan of a row.
func (w *squareWalk) row(row int) []float32 {
	columns := w.square.columns(w.model)
	return w.plan[row*columns : (row+1)*columns]
}

// load puts the random starts of fresh jobs into their rows.
func (w *squareWalk) load(ctx context.Context, rows []int) (err error) {
	if w.state == nil {
		w.state = []*tensors.Tensor{w.upload(make([]float32, len(w.x)))}
		for range 3 {
			w.state = append(w.state, tensors.FromValue(make([]float32, w.size)))
		}
	}
	w.state[0], err = w.seat(ctx, w.square.Ball, w.state[0], rows, func(row int, dst []float32) {
		w.draws[row] = w.random(w.jobs[row])
		if w.square.Ball.Norm == Linf {
			w.square.stripes(dst, w.model.Image, w.draws[row])
			w.mosaics[row] = newMosaic(dst, w.model.Image)
		} else {
			w.square.grid(dst, w.model.Image, w.draws[row])
		}
		clear(w.row(row))
		w.row(row)[squareFirst], w.row(row)[squareLooks] = 1, 1
	})
	return err
}

// step is one pass in all rows.
func (w *squareWalk) step(ctx context.Context) (ended []outcome, err error) {
	program, err := w.square.querier(w.engine)
	if err != nil {
		return nil, err
	}
	plan := tensors.FromFlatDataAndDimensions(slices.Clone(w.plan), w.size, w.square.columns(w.model))
	var marks []int32
	if w.state, marks, err = w.query(ctx, program, w.state, plan); err != nil {
		return nil, err
	}
	var rows []int
	for row, busy := range w.busy {
		switch {
		case !busy:
			continue
		case marks[row]&markDecided == 0:
			w.row(row)[squareLooks]++
			continue
		case marks[row]&markBetter != 0 && w.square.Ball.Norm == Linf:
			w.mosaics[row].set(w.row(row))
		}
		if !w.heeds(row) {
			marks[row] &^= markWrong
		}
		if marks[row]&(markWrong|markTie) != 0 || !w.choose(row) {
			rows = append(rows, row)
		}
	}
	return w.leave(rows, w.state[0], marks)
}

// choose makes the choices of the next query of a row; false where there is none left. In Linf, where windows often lie
// within patches of one sign, a query that would try the best image once more needs no pass: it cannot lower the margin.
func (w *squareWalk) choose(row int) bool {
	for w.steps[row] < w.square.Queries {
		w.draw(w.row(row), w.steps[row], w.draws[row])
		w.steps[row]++
		if w.square.Ball.Norm != Linf || w.mosaics[row].differs(w.row(row)) {
			return true
		}
		w.skipped++
	}
	return false
}

// draw makes the choices of a query, counted from 0.
func (w *squareWalk) draw(p []float32, query int, rng *rand.Rand) {
	height, width := w.model.Image[0], w.model.Image[1]
	side := w.square.side(query, height, width)
	p[squareFirst], p[squareLooks], p[squareSide] = 0, 1, float32(side)
	p[squareTop], p[squareLeft] = w.square.corner(height-side, rng), w.square.corner(width-side, rng)
	signs := p[squareSigns:]
	if w.square.Ball.Norm != Linf {
		p[squareFromTop], p[squareFromLeft] = w.square.corner(height-side, rng), w.square.corner(width-side, rng)
		w.shape(p, side)
		p[squareTurned] = float32(rng.IntN(2))
	}
	for c := range signs {
		signs[c] = float32(2*rng.IntN(2) - 1)
	}
}

// corner is where a window begins, of the positions from 0 to last.
func (s SquareAttack) corner(last int, rng *rand.Rand) float32 {
	if s.Reference && last > 0 {
		last--
	}
	return float32(rng.IntN(last + 1))
}

// shape fills in the pattern of a side.
func (w *squareWalk) shape(p []float32, side int) {
	pattern, known := w.patterns[side]
	if !known {
		pattern = w.square.Ball.newLobes(side)
		w.patterns[side] = pattern
	}
	p[squareHalf], p[squareMiddle] = float32(pattern.half), float32(pattern.middle)
	p[squareTopOfUpper], p[squareTopOfLower] = float32(pattern.top[0]), float32(pattern.top[1])
	p[squareScaleOfUpper], p[squareScaleOfLower] = float32(pattern.scale[0]), float32(pattern.scale[1])
}

func (w *squareWalk) free() error { return free(w.state...) }
