package attacks

import (
	"context"
	"math/rand/v2"
	"slices"
)

// trial is one attack of an evaluation.
type trial struct {
	*evaluation
	attack Attack
	result *Result
	marks  []int32 // or-ed over the passes, per image
	// strays counts returned images outside ball or box, which no verdict counts.
	strays int
}

// begin puts the clean images in as what the attack returns so far.
func (t *trial) begin(ctx context.Context) error {
	t.forwards, t.backwards = 0, 0
	t.marks = make([]int32, len(t.labels))
	t.result.Losses = make([]float32, len(t.labels))
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
	return nil
}

// carryOut makes all runs of the attack.
func (t *trial) carryOut(ctx context.Context) error {
	switch method := t.attack.Method.(type) {
	case Ensemble:
		return t.ensemble(ctx, method)
	case search:
		return t.search(ctx, method)
	}
	for run := range t.attack.Method.runs() {
		if err := t.once(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// once carries out one run on the images that are not broken yet.
func (t *trial) once(ctx context.Context, run int) error {
	var pool []int
	for i, robust := range t.result.RobustFlags {
		if robust {
			pool = append(pool, i)
		}
	}
	if len(pool) == 0 {
		return nil
	}
	done := 0
	t.ticked = func(passes int) {
		done += passes
		t.opt.Progress(Progress{
			Attack: t.attack.Name, Run: run + 1, Runs: t.attack.Method.runs(), Done: done, Total: len(pool) * t.attack.Method.passes(),
			Robust: t.result.RobustFlags.count(), Of: len(t.labels),
		})
	}
	for rows := range slices.Chunk(pool, t.size) {
		b := t.batch(rows)
		b.random = t.streams(t.attack.Name, rows, run)
		t.reseed(len(rows), func(row int) *rand.Rand { return t.source(t.attack.Name, keysOfSearch, rows[row], run) })
		if err := t.attack.Method.attack(ctx, t.engine, b); err != nil {
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

// verify judges what an attack returned by a fresh pass over exactly these images, and takes over what is worse for the
// model than what earlier runs returned. runs has the run of each row.
func (t *trial) verify(ctx context.Context, b *batch, runs []int) error {
	returned := t.upload(b.adv)
	now, err := t.decide(ctx, t.attack.Method.goal(), b, returned, t.attack.Name, runs)
	if err != nil {
		return err
	}
	losses, marks := now.losses, now.marks
	ball, d := t.attack.Method.Budget(), t.model.pixels()
	for row, i := range b.images {
		t.marks[i] |= b.marks[row] | marks[row]
		adv := b.adv[row*d : (row+1)*d]
		if !ball.within(adv, b.x[row*d:(row+1)*d]) {
			t.strays++
			continue
		}
		if !t.result.RobustFlags[i] {
			continue // by a run that ended before
		}
		broken := marks[row]&markWrong != 0
		if broken || runs[row] == 0 || losses[row] > t.result.Losses[i] {
			t.result.Losses[i] = losses[row]
			if t.opt.KeepAdv {
				copy(t.result.Adv[i*d:], adv)
			}
		}
		t.result.RobustFlags[i] = !broken
	}
	return free(returned)
}

// finish sums up.
func (t *trial) finish() {
	r := t.result
	r.RobustAccuracy = r.RobustFlags.Accuracy()
	r.Forwards, r.Backwards = t.forwards, t.backwards
	var sum float64
	for _, loss := range r.Losses {
		sum += float64(loss)
	}
	r.MeanLoss = Number(sum / float64(len(r.Losses)))
	for _, marks := range t.marks {
		if marks&markNaN != 0 {
			r.NaN++
		}
		if marks&markZeroGrad != 0 {
			r.ZeroGrad++
		}
	}
	if r.Stages != nil {
		return // the stages have said what there is to say
	}
	attacked := t.clean.count()
	if r.NaN > 0 {
		t.warn("%s: %d of %d attacked images gave a NaN logit or a NaN or infinite loss or gradient", r.Name, r.NaN, attacked)
	}
	if r.ZeroGrad > 0 {
		t.warn("%s: %d of %d attacked images had a gradient of exactly zero while classified correctly: it may be masked",
			r.Name, r.ZeroGrad, attacked)
	}
	if t.strays > 0 {
		t.warn("%s: %d returned images lay outside the ball or the pixel box and were not counted", r.Name, t.strays)
	}
}
