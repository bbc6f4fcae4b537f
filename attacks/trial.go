package attacks

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// trial is one attack of an evaluation.
type trial struct {
	*evaluation
	attack Attack
	key    string // of the attack in the state file
	began  time.Time
	before time.Duration // spent by an evaluation that this one goes on from
	result *Result
	marks  []int32 // or-ed over the passes, per image
	ran    []int   // runs that an image has had
	refusals
	// minimal says that the smallest perturbation is wanted, and not only one within the ball.
	minimal bool
}

// begin puts the clean images in as what the attack returns so far.
func (t *trial) begin(ctx context.Context) error {
	t.forwards, t.backwards, t.skipped = 0, 0, 0
	t.marks = make([]int32, len(t.labels))
	t.chooseTargets()
	t.ran = make([]int, len(t.labels))
	t.refusals = newRefusals(len(t.labels))
	t.result.Losses = make([]float32, len(t.labels))
	t.result.BrokenIn = slices.Repeat([]int{-1}, len(t.labels))
	for rows := range slices.Chunk(t.all(), t.size) {
		b := t.batch(rows)
		losses, _, err := t.assess(ctx, t.attack.Method.goal(), b, b.natural)
		if err != nil {
			return err
		}
		for row, i := range rows {
			t.result.Losses[i] = losses[row]
		}
		if err := b.free(); err != nil {
			return err
		}
	}
	if t.opt.KeepAdv {
		d := t.model.pixels()
		t.result.Adv = make([]float32, len(t.labels)*d)
		for i := range t.labels {
			t.pixelsOf(i, t.result.Adv[i*d:(i+1)*d])
		}
	}
	if t.minimal = minimizes(t.attack.Method); t.minimal {
		t.result.Distances = make([]Number, len(t.labels))
		for i, right := range t.clean {
			if right {
				t.result.Distances[i] = Number(math.Inf(1))
			}
		}
	}
	return t.state.restore(t)
}

// seconds that the attack has taken so far.
func (t *trial) seconds() float64 { return (t.before + time.Since(t.began)).Seconds() }

// pool is the images that are still to be attacked, before the first run.
func (t *trial) pool() (images []int) {
	for i, right := range t.clean {
		if right && !t.decided(i) {
			images = append(images, i)
		}
	}
	return images
}

// decided says that no further run can change the verdict on image i.
func (t *trial) decided(i int) bool {
	if t.result.Targets != nil {
		return t.atTarget(i)
	}
	return !t.minimal && !t.result.RobustFlags[i]
}

// liveRows is how many rows of the programs an attack may use.
func (t *trial) liveRows() int {
	if t.opt.Live == 0 {
		return t.size
	}
	return min(t.opt.Live, t.size)
}

// carryOut makes all runs of the attack.
func (t *trial) carryOut(ctx context.Context) error {
	switch method := t.attack.Method.(type) {
	case Ensemble:
		return t.ensemble(ctx, method)
	case search:
		return t.search(ctx, method)
	case batchwise:
		for run := range method.runs() {
			if err := t.once(ctx, method, run); err != nil {
				return err
			}
		}
		return nil
	}
	return runnable(t.attack.Method)
}

// once carries out one run on the images that are not broken yet.
func (t *trial) once(ctx context.Context, method batchwise, run int) error {
	pool := slices.DeleteFunc(t.pool(), func(i int) bool { return t.ran[i] > run })
	if len(pool) == 0 {
		return nil
	}
	done := 0
	t.ticked = func(passes int) {
		done += passes
		t.opt.Progress(Progress{
			Attack: t.attack.Name, Run: run + 1, Runs: method.runs(), Done: done, Total: len(pool) * method.passes(),
			Robust: t.result.RobustFlags.count(), Of: len(t.labels),
		})
	}
	for rows := range slices.Chunk(pool, t.liveRows()) {
		b := t.batch(rows)
		b.random = t.streams(t.attack.Name, rows, run)
		t.reseed(len(rows), func(row int) *rand.Rand { return t.source(t.attack.Name, keysOfSearch, rows[row], run) })
		if err := method.attack(ctx, t.engine, b); err != nil {
			return err
		}
		if err := t.verify(ctx, b, slices.Repeat([]int{run}, len(rows))); err != nil {
			return err
		}
		if err := b.free(); err != nil {
			return err
		}
	}
	return nil
}

// finish sums up.
func (t *trial) finish() {
	r := t.result
	r.Forwards, r.Backwards, r.Skipped, r.Seconds = t.forwards, t.backwards, t.skipped, t.seconds()
	t.countTargets()
	for _, marks := range t.marks {
		if marks&markNaN != 0 {
			r.NaN++
		}
		if marks&markZeroGrad != 0 {
			r.ZeroGrad++
		}
	}
	r.sum(t.clean)
	if r.Stages != nil {
		r.Seconds = 0
		for _, stage := range r.Stages {
			r.Seconds += stage.Seconds
		}
	}
}
