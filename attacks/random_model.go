package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// defaultForwards is Model.Forwards where it is 0.
const defaultForwards = 10

// forwards is the number of passes that decide what the model predicts.
func (m Model) forwards() int {
	switch {
	case m.Random == nil:
		return 1
	case m.Forwards == 0:
		return defaultForwards
	}
	return m.Forwards
}

// keyShape is that of the keys of so many rows.
func keyShape(rows int) shapes.Shape { return shapes.Make(dtypes.Uint32, rows, 2) }

// drawKeys gives the keys of the next pass of a random model, two words a row. Rows without a source, whose results are
// not looked at, get zeros.
func (e *engine) drawKeys() []uint32 {
	if e.model.Random == nil {
		return nil
	}
	keys := make([]uint32, 2*e.size)
	for row, source := range e.sources {
		if source != nil {
			keys[2*row], keys[2*row+1] = source.Uint32(), source.Uint32()
		}
	}
	return keys
}

// reseed gives the first rows of a random model new sources of keys, and none to the others. It returns what puts the
// former sources back.
func (e *engine) reseed(rows int, source func(row int) *rand.Rand) (restore func()) {
	former := e.sources
	if e.model.Random != nil {
		e.sources = make([]*rand.Rand, e.size)
		for row := range rows {
			e.sources[row] = source(row)
		}
	}
	return func() { e.sources = former }
}

// Purposes of keys, each with streams of its own.
const (
	keysOfSearch  = "search"
	keysOfVerdict = "verdict"
)

// source is the stream of keys for one image in one run of an attack. The zero byte keeps it apart from the streams of
// starts, which attacks' names alone tell apart.
func (v *evaluation) source(attack, purpose string, image, run int) *rand.Rand {
	return stream(v.opt.Seed, attack+"\x00"+purpose, v.index(image), run)
}

// verdict is what a model predicts for a batch, on the host: means over the passes, and marks of all of them, where
// markWrong and markTarget are the verdict.
type verdict struct {
	scores []float32 // logits [rows, Classes]
	losses []float32
	marks  []int32
}

// decide judges images in the rows of b as verdicts count: by one forward pass, and for a random model by
// Model.Forwards passes with keys that the search has not seen. runs has the run of each row; forward gives the logits.
func (v *evaluation) decide(ctx context.Context, t goal, b *batch, attack string, runs []int, forward func() (*tensors.Tensor, error)) (verdict, error) {
	restore := v.reseed(len(b.images), func(row int) *rand.Rand {
		return v.source(attack, keysOfVerdict, b.images[row], runs[row])
	})
	defer restore()
	return v.vote(ctx, t, b, v.model.forwards(), forward)
}

// vote makes several forward passes with the keys that come next. An image is wrong, or at its target, where more than
// half of them say so.
func (e *engine) vote(ctx context.Context, t goal, b *batch, passes int, forward func() (*tensors.Tensor, error)) (all verdict, err error) {
	wrong, target := make([]int, e.size), make([]int, e.size)
	for k := range passes {
		now, err := e.look(ctx, t, b, forward)
		if err != nil {
			return verdict{}, err
		}
		if k == 0 {
			all = verdict{make([]float32, len(now.scores)), make([]float32, len(now.losses)), make([]int32, len(now.marks))}
		}
		for i, z := range now.scores {
			all.scores[i] += z / float32(passes)
		}
		for row, marks := range now.marks {
			all.losses[row] += now.losses[row] / float32(passes)
			all.marks[row] |= marks &^ (markWrong | markTarget)
			wrong[row] += int(marks & markWrong / markWrong)
			target[row] += int(marks & markTarget / markTarget)
		}
	}
	for row := range e.size {
		if 2*wrong[row] > passes {
			all.marks[row] |= markWrong
		}
		if 2*target[row] > passes {
			all.marks[row] |= markTarget
		}
	}
	return all, nil
}

// look makes one forward pass and brings what it showed to the host.
func (e *engine) look(ctx context.Context, t goal, b *batch, forward func() (*tensors.Tensor, error)) (verdict, error) {
	logits, err := forward()
	if err != nil {
		return verdict{}, err
	}
	losses, marks, err := e.assess(ctx, t, b, logits)
	if err != nil {
		return verdict{}, err
	}
	scores, err := tensors.CopyFlatData[float32](logits)
	if err != nil {
		return verdict{}, fmt.Errorf("reading logits: %w", err)
	}
	return verdict{scores, losses, marks}, free(logits)
}
