package attacks

import (
	"context"
	"math/rand/v2"
)

// queue feeds the jobs of one attack to the lanes and takes their outcomes. The next run on an image starts where the
// last one has not claimed to have broken it; a claim waits for its verification, which takes a full batch where it can. A
// claim that the verification refutes costs nothing but passes: the run begins anew, with the same random numbers, and does
// not stop there again.
type queue struct {
	*trial
	method   search
	lanes    *lanes
	jobs     []job
	finished []outcomeOf
	live     int // rows in use, at most
	total    int // images times passes, for progress
	done     int
}

// outcomeOf is an outcome that waits for its verification.
type outcomeOf struct {
	job
	outcome
	marks int32
	steps int // of the walker
}

// search carries out all runs of an attack on the images that are not broken yet.
func (t *trial) search(ctx context.Context, method search) error {
	q := &queue{trial: t, method: method, live: t.liveRows()}
	for _, i := range t.pool() {
		if t.ran[i] < method.runs() {
			q.jobs = append(q.jobs, job{i, t.ran[i]})
		}
	}
	q.total = len(q.jobs) * method.passes() * method.runs()
	q.lanes = newLanes(t.engine, method, func(j job) *rand.Rand {
		return stream(t.opt.Seed, t.attack.Name, t.index(j.image), j.run)
	})
	q.lanes.noise = func(j job) *rand.Rand { return t.source(t.attack.Name, keysOfSearch, j.image, j.run) }
	t.reseed(0, nil)
	w := method.walk(q.lanes)
	for {
		fresh, err := q.refill()
		if err != nil {
			return err
		}
		if q.lanes.live() == 0 {
			if len(q.finished) == 0 {
				break
			}
			if err := q.settle(ctx); err != nil {
				return err
			}
			continue
		}
		if len(fresh) > 0 {
			if err := w.load(ctx, fresh); err != nil {
				return err
			}
		}
		if err := q.advance(ctx, w); err != nil {
			return err
		}
	}
	if err := w.free(); err != nil {
		return err
	}
	return q.lanes.inputs.free()
}

// refill puts waiting jobs into idle rows and returns these.
func (q *queue) refill() (rows []int, err error) {
	var jobs []job
	for row, busy := range q.lanes.busy[:q.live] {
		for !busy && len(q.jobs) > 0 {
			next := q.jobs[0]
			q.jobs = q.jobs[1:]
			if q.decided(next.image) {
				continue // broken by an outcome that the search had not claimed as a success
			}
			rows, jobs, busy = append(rows, row), append(jobs, next), true
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	for k, row := range rows {
		q.lanes.deaf[row] = q.deaf[jobs[k].image]
	}
	return rows, q.lanes.put(q.evaluation, rows, jobs)
}

// advance takes one step and deals with what has ended.
func (q *queue) advance(ctx context.Context, w walker) error {
	q.done += int(q.lanes.live())
	skipped := q.skipped
	ended, err := w.step(ctx)
	if err != nil {
		return err
	}
	q.done += int(q.skipped - skipped)
	for _, o := range ended {
		l, j := q.lanes, q.lanes.jobs[o.row]
		l.busy[o.row] = false
		q.finished = append(q.finished, outcomeOf{j, o, l.marks[o.row], l.age[o.row] + 1})
		if !o.claimed || q.minimal {
			q.again(j)
		}
	}
	for row := range q.lanes.age {
		q.lanes.age[row]++
	}
	for len(q.finished) >= q.live {
		if err := q.settle(ctx); err != nil {
			return err
		}
	}
	q.opt.Progress(Progress{
		Attack: q.attack.Name, Run: 1, Runs: 1, Done: min(q.done, q.total), Total: q.total,
		Robust: q.result.RobustFlags.count(), Of: len(q.evaluation.labels),
	})
	return nil
}

// again queues the run that follows j, if there is one.
func (q *queue) again(j job) {
	q.forget(j.image)
	if j.run+1 < q.method.runs() {
		q.jobs = append(q.jobs, job{j.image, j.run + 1})
	}
}

// settle verifies a batch of outcomes.
func (q *queue) settle(ctx context.Context) error {
	n := min(len(q.finished), q.live)
	list := q.finished[:n]
	q.finished = q.finished[n:]
	rows, runs := make([]int, n), make([]int, n)
	for k, o := range list {
		rows[k], runs[k] = o.image, o.run
	}
	b := q.batch(rows)
	b.claims = make([]int, n)
	for k, o := range list {
		if o.claimed {
			b.claims[k] = o.steps
		}
		b.adv = append(b.adv, o.adv...)
		b.marks[k] = o.marks
	}
	b.adv = append(b.adv, b.x[len(b.adv):]...)
	if err := q.verify(ctx, b, runs); err != nil {
		return err
	}
	for _, o := range list {
		switch {
		case q.minimal || !o.claimed:
		case q.result.RobustFlags[o.image]:
			q.jobs = append(q.jobs, o.job)
			q.done -= o.steps
		default:
			q.done += q.method.passes() * (q.method.runs() - o.run - 1)
		}
	}
	return b.free()
}
