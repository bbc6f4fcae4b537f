package attacks

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// verify judges what an attack returned by a fresh pass over exactly these images, in batches of another size than the
// attack's, and takes over what is worse for the model than what earlier runs returned. runs has the run of each row.
func (t *trial) verify(ctx context.Context, b *batch, runs []int) error {
	now, err := t.decide(ctx, t.attack.Method.goal(), b, t.attack.Name, runs, func() (*tensors.Tensor, error) { return t.recheck(ctx, b) })
	if err != nil {
		return err
	}
	losses, marks := now.losses, now.marks
	d := t.model.pixels()
	records := make([]record, len(b.images))
	for row, i := range b.images {
		adv := b.adv[row*d : (row+1)*d]
		records[row] = record{image: i, run: runs[row], marks: b.marks[row] | marks[row], loss: losses[row]}
		t.judge(&records[row], marks[row]&markWrong != 0, adv, b.x[row*d:(row+1)*d])
		if b.claims != nil && !records[row].broken {
			t.refute(&records[row], b.claims[row])
		}
		t.apply(records[row])
	}
	return t.state.save(t, records)
}

// judge completes the record of an image that was returned, given whether it is misclassified.
func (t *trial) judge(r *record, wrong bool, adv, clean []float32) {
	ball := t.attack.Method.Budget()
	r.distance = float32(math.Inf(1))
	inside := inBox(adv) && ball.within(adv, clean)
	switch {
	case t.minimal && !inBox(adv), !t.minimal && !inside:
		r.stray = true
		r.marks &^= markTarget
		return
	case t.minimal && wrong:
		distance := ball.distance(adv, clean)
		r.distance = float32(distance)
		r.taken = Number(distance) < t.result.Distances[r.image]
	case t.result.Targets != nil:
		r.taken = t.nearer(*r, wrong)
	case !t.minimal:
		robust := t.result.RobustFlags[r.image] // or else a run that ended before has broken it
		r.taken = robust && (wrong || r.run == 0 || r.loss > t.result.Losses[r.image])
	}
	r.broken = wrong && inside
	if r.taken && (wrong || t.opt.KeepAdv) {
		r.adv = adv
	}
}

// apply takes a record into account.
func (t *trial) apply(r record) {
	i, d := r.image, t.model.pixels()
	t.marks[i] |= r.marks
	if r.refuted == 0 || t.minimal {
		t.ran[i] = max(t.ran[i], r.run+1)
		t.forget(i)
	} else {
		t.refuse(i, r.refuted)
	}
	switch {
	case r.stray:
		t.result.Strays++
		return
	case r.refuted > 0:
		t.result.Refuted++
	}
	if r.taken {
		t.result.Losses[i] = r.loss
		if t.minimal {
			t.result.Distances[i] = Number(r.distance)
		}
		if t.opt.KeepAdv && r.adv != nil {
			copy(t.result.Adv[i*d:(i+1)*d], r.adv)
		}
	}
	if r.broken && t.result.RobustFlags[i] {
		t.result.RobustFlags[i], t.result.BrokenIn[i] = false, r.run
	}
}

// recheck gives the logits of b.adv from the program of another batch size: half, or 2 where the attack's is 1.
func (e *engine) recheck(ctx context.Context, b *batch) (*tensors.Tensor, error) {
	size := max(e.size/2, 1)
	if e.size == 1 {
		size = 2
	}
	if e.elsewhere == nil {
		shape := shapes.Make(dtypes.Float32, size, e.model.Image[0], e.model.Image[1], e.model.Image[2])
		var err error
		e.elsewhere, err = e.compileNetwork("verification", func(in []*Node) []*Node {
			return []*Node{e.model.logits(in[1:], in[0])}
		}, shape)
		if err != nil {
			return nil, err
		}
	}
	d, classes := e.model.pixels(), e.model.Classes
	scores, keys := make([]float32, e.size*classes), e.drawKeys()
	for from := 0; from < len(b.images); from += size {
		rows := make([]float32, size*d)
		copy(rows, b.adv[from*d:])
		images := tensors.FromFlatDataAndDimensions(rows, size, e.model.Image[0], e.model.Image[1], e.model.Image[2])
		theirs := make([]uint32, 2*size)
		copy(theirs, keys[min(2*from, len(keys)):])
		out, err := e.callWithKeys(ctx, e.elsewhere, theirs, images)
		if err != nil {
			return nil, err
		}
		part, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, fmt.Errorf("reading logits: %w", err)
		}
		copy(scores[from*classes:], part)
		if err := free(images, out[0]); err != nil {
			return nil, err
		}
	}
	e.forwards += int64(len(b.images))
	return tensors.FromFlatDataAndDimensions(scores, e.scoreShape().Dimensions...), nil
}
