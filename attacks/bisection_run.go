package attacks

import (
	"context"
	"math/rand/v2"
)

// rowWalker is a walker that searches each row in a ball of its own size, and claims what is surely misclassified.
type rowWalker interface {
	walker
	limit(row int, eps float64) // for what load puts into the row next
}

// bisectionWalk is Bisection under way: rounds of the inner walker, each loaded like a job.
type bisectionWalk struct {
	*lanes
	bisection Bisection
	inner     rowWalker
	low, high []float64
	rounds    []int
	best      [][]float32
	streams   map[job]*rand.Rand // of the jobs under way, for rounds to draw on
}

func (b Bisection) walk(l *lanes) walker {
	w := &bisectionWalk{
		lanes: l, bisection: b, low: make([]float64, l.size), high: make([]float64, l.size),
		rounds: make([]int, l.size), best: make([][]float32, l.size), streams: map[job]*rand.Rand{},
	}
	fresh := l.random
	l.random = func(j job) *rand.Rand {
		if w.streams[j] == nil {
			w.streams[j] = fresh(j)
		}
		return w.streams[j]
	}
	w.inner = b.Attack.(rowwise).within(l)
	return w
}

func (w *bisectionWalk) load(ctx context.Context, rows []int) error {
	for _, row := range rows {
		w.low[row], w.high[row] = 0, 2*w.bisection.most(w.model.pixels())
		w.rounds[row], w.best[row] = 0, nil
	}
	return w.round(ctx, rows)
}

// round begins a round in some rows.
func (w *bisectionWalk) round(ctx context.Context, rows []int) error {
	for _, row := range rows {
		w.steps[row] = 0
		w.inner.limit(row, (w.low[row]+w.high[row])/2)
	}
	return w.inner.load(ctx, rows)
}

// step is one pass in all rows.
func (w *bisectionWalk) step(ctx context.Context) ([]outcome, error) {
	over, err := w.inner.step(ctx)
	if err != nil {
		return nil, err
	}
	var again []int
	var ended []outcome
	for _, o := range over {
		row := o.row
		w.take(o)
		w.rounds[row]++
		if w.rounds[row] < w.bisection.Rounds && w.high[row]-w.low[row] > w.bisection.Tolerance*w.high[row] {
			again = append(again, row)
			continue
		}
		if w.best[row] != nil {
			o = outcome{row, w.best[row], true}
		}
		ended = append(ended, o)
		delete(w.streams, w.jobs[row])
	}
	if len(again) == 0 {
		return ended, nil
	}
	return ended, w.round(ctx, again)
}

// take narrows the interval of a row by the outcome of a round.
func (w *bisectionWalk) take(o outcome) {
	if !o.claimed {
		w.low[o.row] = (w.low[o.row] + w.high[o.row]) / 2
		return
	}
	d := w.model.pixels()
	w.high[o.row] = w.bisection.Budget().distance(o.adv, w.x[o.row*d:(o.row+1)*d])
	w.best[o.row] = o.adv
}

func (w *bisectionWalk) free() error { return w.inner.free() }

func (a APGD) prepareRows(e *engine) error { return a.prepare(e) }

func (a APGD) within(l *lanes) rowWalker {
	w := a.walk(l).(*ascentWalk)
	w.claims = markSure
	return w
}

func (w *ascentWalk) limit(row int, eps float64) { w.scale[row] = eps / w.apgd.Ball.Eps }
