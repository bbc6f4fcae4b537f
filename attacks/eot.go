package attacks

import (
	"context"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// expectation is how an attack takes gradients of a random model: as the mean over several passes with fresh keys (EOT,
// expectation over transformation; Athalye et al. 2018, "Synthesizing robust adversarial examples"). Losses are means
// too, and an image is wrong, or at its target, where more than half of the passes say so. It is surely wrong (markSure)
// where at least 3 of 4 of at least 4 passes say so, since a verdict by other keys is then likely to agree.
//
// The passes of a fixed model are all the same, so it gets one.
type expectation struct {
	passes int  // 0 means 1
	last   bool // losses and predictions are those of the last pass, as in AutoAttack's code
}

// sureOf is the number of passes, and sureShare the share of them, that markSure takes.
const (
	sureOf    = 4
	sureShare = .75
)

// mostEOT is the largest number of passes; sums of marks have no room for many more.
const mostEOT = 1000

// expect is ascend over the expectation.
func (e *engine) expect(ctx context.Context, t goal, b *batch, adv *tensors.Tensor, x expectation) (pass, error) {
	sum, err := e.ascend(ctx, t, b, adv)
	if err != nil || e.model.Random == nil || x.passes <= 1 {
		return sum, err
	}
	for range x.passes - 1 {
		now, err := e.ascend(ctx, t, b, adv)
		if err != nil {
			return pass{}, err
		}
		if sum, err = e.accumulate(ctx, x, sum, now); err != nil {
			return pass{}, err
		}
	}
	return e.average(ctx, x, sum)
}

// prepareExpectation compiles what expect needs beside the gradient.
func (e *engine) prepareExpectation(x expectation) error {
	if e.model.Random == nil || x.passes <= 1 {
		return nil
	}
	if _, err := e.accumulator(x); err != nil {
		return err
	}
	_, err := e.averager(x)
	return err
}

// averageKey names the programs of an expectation.
type averageKey struct {
	program string
	expectation
}

// counted are the marks that a sum counts, each in a unit of its own above the marks themselves.
var counted = []struct{ mark, unit int32 }{{markWrong, 1 << 8}, {markTarget, 1 << 19}}

// accumulator adds a pass to a sum, of which a single pass is one too.
func (e *engine) accumulator(x expectation) (*Exec, error) {
	key := averageKey{"add", expectation{last: x.last}}
	return e.prepareUpdate(key, "eot add", func(in []*Node) []*Node {
		grad, losses, was, nowGrad, nowLosses, is := in[0], in[1], in[2], in[3], in[4], in[5]
		grad = Add(finite(grad), finite(nowGrad))
		all := without(was, markSure)
		for _, c := range counted {
			all = without(all, c.mark)
		}
		seen := BitwiseOr(all, only(is, markNaN|markZeroGrad))
		if x.last {
			return []*Node{grad, nowLosses, BitwiseOr(seen, without(is, markNaN|markZeroGrad))}
		}
		for _, c := range counted {
			count := Add(only(was, c.mark), only(is, c.mark))
			seen = Add(seen, MulScalar(count, c.unit/c.mark))
		}
		return []*Node{grad, Add(losses, nowLosses), seen}
	}, e.imageShape(), e.lossShape(), e.labelShape(), e.imageShape(), e.lossShape(), e.labelShape())
}

// only keeps some bits of marks, and without drops them.
func only(marks *Node, bits int32) *Node { return BitwiseAnd(marks, MulScalar(OnesLike(marks), bits)) }

func without(marks *Node, bits int32) *Node { return only(marks, ^bits) }

// averager turns a sum into a pass.
func (e *engine) averager(x expectation) (*Exec, error) {
	return e.prepareUpdate(averageKey{"mean", x}, "eot mean", func(in []*Node) []*Node {
		grad, losses, all := MulScalar(in[0], 1/float64(x.passes)), in[1], in[2]
		if x.last {
			return []*Node{grad, losses, all}
		}
		bit := func(unit int32, least float64, mark int32) *Node {
			count := BitwiseAnd(Div(all, MulScalar(OnesLike(all), unit)), MulScalar(OnesLike(all), 1<<11-1))
			reached := GreaterOrEqual(ConvertDType(count, dtypes.Float32), MulScalar(OnesLike(losses), least))
			return MulScalar(ConvertDType(reached, dtypes.Int32), mark)
		}
		marks := only(all, counted[0].unit-1)
		for _, c := range counted {
			marks = Add(marks, bit(c.unit, float64(x.passes/2+1), c.mark))
		}
		if x.passes >= sureOf {
			marks = Add(marks, bit(counted[0].unit, sureShare*float64(x.passes), markSure))
		}
		return []*Node{grad, MulScalar(losses, 1/float64(x.passes)), marks}
	}, e.imageShape(), e.lossShape(), e.labelShape())
}

// accumulate uses up both.
func (e *engine) accumulate(ctx context.Context, x expectation, sum, now pass) (pass, error) {
	program, err := e.accumulator(x)
	if err != nil {
		return pass{}, err
	}
	given, err := e.donate(sum.grad, sum.losses, sum.marks, now.grad, now.losses, now.marks)
	if err != nil {
		return pass{}, err
	}
	return e.passOf(ctx, program, given)
}

// average uses up the sum.
func (e *engine) average(ctx context.Context, x expectation, sum pass) (pass, error) {
	program, err := e.averager(x)
	if err != nil {
		return pass{}, err
	}
	given, err := e.donate(sum.grad, sum.losses, sum.marks)
	if err != nil {
		return pass{}, err
	}
	return e.passOf(ctx, program, given)
}

func (e *engine) passOf(ctx context.Context, program *Exec, inputs []any) (pass, error) {
	out, err := e.call(ctx, program, inputs...)
	if err != nil {
		return pass{}, err
	}
	return pass{out[0], out[1], out[2]}, nil
}

// reached is the mark of a pass at which a search may stop: a wrong prediction, and of a random model a sure one, which
// few passes cannot give.
func (e *engine) reached(x expectation) int32 {
	switch {
	case e.model.Random == nil || x.last:
		return markWrong
	case x.passes < sureOf:
		return 0
	}
	return markSure
}

// measure is the forward half of expect: losses and marks alone.
func (e *engine) measure(ctx context.Context, t goal, b *batch, images *tensors.Tensor, x expectation) (pass, error) {
	if e.model.Random != nil && x.passes > 1 {
		now, err := e.vote(ctx, t, b, x.passes, func() (*tensors.Tensor, error) { return e.scores(ctx, b, images) })
		if err != nil {
			return pass{}, err
		}
		return pass{losses: tensors.FromValue(now.losses), marks: tensors.FromValue(now.marks)}, nil
	}
	logits, err := e.scores(ctx, b, images)
	if err != nil {
		return pass{}, err
	}
	now, err := e.judgeScores(ctx, t, b, logits)
	if err != nil {
		return pass{}, err
	}
	return now, free(logits)
}
