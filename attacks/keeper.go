package attacks

import (
	"context"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// keeper holds the best iterate of each image so far: a misclassified one (of a targeted attack, one at its target) before
// one that is not, then the one of the higher loss.
type keeper struct {
	engine                *engine
	goal                  goal
	images, losses, marks *tensors.Tensor
}

func newKeeper(e *engine, t goal, b *batch) *keeper {
	lowest := make([]float32, e.size)
	for i := range lowest {
		lowest[i] = float32(math.Inf(-1))
	}
	return &keeper{e, t, e.upload(b.x), tensors.FromValue(lowest), tensors.FromValue(make([]int32, e.size))}
}

// offer replaces what it holds where the offered images are better. These stay with the caller.
func (k *keeper) offer(ctx context.Context, images, losses, marks *tensors.Tensor) error {
	program, err := keeping(k.engine, k.goal)
	if err != nil {
		return err
	}
	given, err := k.engine.donate(k.images, k.losses, k.marks)
	if err != nil {
		return err
	}
	out, err := k.engine.call(ctx, program, given[0], given[1], given[2], images, losses, marks)
	if err != nil {
		return err
	}
	k.images, k.losses, k.marks = out[0], out[1], out[2]
	return nil
}

// take offers the final iterate, frees it, and returns the best.
func (k *keeper) take(ctx context.Context, b *batch, final *tensors.Tensor, x expectation) (*tensors.Tensor, error) {
	last, err := k.engine.measure(ctx, k.goal, b, final, x)
	if err != nil {
		return nil, err
	}
	if err := k.offer(ctx, final, last.losses, last.marks); err != nil {
		return nil, err
	}
	if err := b.collect(last); err != nil {
		return nil, err
	}
	return k.images, free(final, k.losses, k.marks)
}

// keepKey names the program of offer, by the mark of an iterate that comes first.
type keepKey struct{ wanted int32 }

// keeping is the program of offer.
func keeping(e *engine, t goal) (*Exec, error) {
	wanted := markWrong
	if t.aimed() {
		wanted = markTarget
	}
	return e.prepareUpdate(keepKey{wanted}, "keep best", func(in []*Node) []*Node {
		kept, keptLosses, keptMarks, now, nowLosses, nowMarks := in[0], in[1], in[2], in[3], in[4], in[5]
		was, is := marked(keptMarks, wanted), marked(nowMarks, wanted)
		better := LogicalOr(LogicalAnd(is, LogicalNot(was)), LogicalAnd(LogicalNot(LogicalXor(is, was)), GreaterThan(nowLosses, keptLosses)))
		return []*Node{
			Where(BroadcastToShape(InsertAxes(better, -1, -1, -1), now.Shape()), now, kept),
			Where(better, nowLosses, keptLosses),
			Where(better, nowMarks, keptMarks),
		}
	}, e.imageShape(), e.lossShape(), e.labelShape(), e.imageShape(), e.lossShape(), e.labelShape())
}

// marked is Bool [B]: whether the marks hold one.
func marked(marks *Node, mark int32) *Node {
	return NotEqual(BitwiseAnd(marks, MulScalar(OnesLike(marks), mark)), ZerosLike(marks))
}
