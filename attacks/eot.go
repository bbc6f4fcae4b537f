package attacks

import (
	"context"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// expectation is how an attack takes gradients of a random model: as the mean over several passes with fresh keys (EOT,
// expectation over transformation; Athalye et al. 2018, "Synthesizing robust adversarial examples"). Losses are means
// too, and an image counts as misclassified where more than half of the passes are wrong.
//
// The passes of a fixed model are all the same, so it gets one.
type expectation struct {
	passes int  // 0 means 1
	last   bool // losses and predictions are those of the last pass, as in AutoAttack's code
}

// sureOf and sureWrong say when a search may stop at an image of a random model, since the verdict, by other keys, is
// likely to agree: at least sureOf passes were made, and at least this share of them were wrong.
const (
	sureOf    = 4
	sureWrong = .75
)

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

// wrongUnit is one wrong pass in the marks of a sum, above the marks themselves.
const wrongUnit = 256

// accumulator adds a pass to a sum, of which a single pass is one too. The sum counts wrong passes in units of wrongUnit.
func (e *engine) accumulator(x expectation) (*Exec, error) {
	key := averageKey{"add", expectation{last: x.last}}
	return e.prepareUpdate(key, "eot add", func(in []*Node) []*Node {
		grad, losses, was, nowGrad, nowLosses, is := in[0], in[1], in[2], in[3], in[4], in[5]
		wrong := func(marks *Node) *Node { return BitwiseAnd(marks, MulScalar(OnesLike(marks), markWrong)) }
		rest := func(marks *Node) *Node { return Sub(marks, wrong(marks)) }
		both := Add(rest(was), BitwiseAnd(rest(is), BitwiseNot(was)))
		grad = Add(finite(grad), finite(nowGrad))
		if x.last {
			return []*Node{grad, nowLosses, Add(both, wrong(is))}
		}
		return []*Node{grad, Add(losses, nowLosses), Add(both, MulScalar(Add(wrong(was), wrong(is)), wrongUnit))}
	}, e.imageShape(), e.lossShape(), e.labelShape(), e.imageShape(), e.lossShape(), e.labelShape())
}

// averager turns a sum into a pass.
func (e *engine) averager(x expectation) (*Exec, error) {
	return e.prepareUpdate(averageKey{"mean", x}, "eot mean", func(in []*Node) []*Node {
		grad, losses, all := MulScalar(in[0], 1/float64(x.passes)), in[1], in[2]
		if x.last {
			return []*Node{grad, losses, all}
		}
		count := Div(all, MulScalar(OnesLike(all), wrongUnit))
		bit := func(least float64, mark int32) *Node {
			reached := GreaterOrEqual(ConvertDType(count, dtypes.Float32), MulScalar(OnesLike(losses), least))
			return MulScalar(ConvertDType(reached, dtypes.Int32), mark)
		}
		marks := Add(Sub(all, MulScalar(count, wrongUnit)), bit(float64(x.passes/2+1), markWrong))
		if x.passes >= sureOf {
			marks = Add(marks, bit(sureWrong*float64(x.passes), markMost))
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

// reached is the mark of a pass at which a search may stop: a wrong prediction, and where a verdict takes several passes
// over a random model, enough of them.
func (e *engine) reached(x expectation) int32 {
	if e.model.Random == nil || x.last {
		return markWrong
	}
	return markMost
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
