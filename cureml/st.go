package cureml

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// STConfig holds squeeze training's own parameters.
type STConfig struct {
	// Beta is β. The released code has no default; its variant with unlabelled images uses 6.
	Beta float64 `json:"beta"`
}

func tuneST(c *Config) {
	exactEighths(c)
	c.ST.Beta = 6
}

func checkST(c Config) error {
	pgd := c.Attack.pgd("kl", attacks.Normal)
	switch {
	case pgd.Start == attacks.None:
		return fmt.Errorf("cureml: attack.start none: want uniform, uniform-unclipped or normal, for the two searches of st-at must start apart")
	case pgd.Start != attacks.Normal && pgd.Ball.Norm != attacks.Linf:
		return fmt.Errorf("cureml: attack.start %s: want normal where st-at attacks in norm %s", pgd.Start, c.Attack.Norm)
	}
	return weight("st.beta", c.ST.Beta)
}

// ST is squeeze training (Li et al., ICLR 2023; qizhangli/ST-AT losses.py), which shrinks the largest difference between
// predictions at two points of the eps-ball:
//
//	min mean CE(f(x), y) + β·mean D(u, l),   D(u, l) = ½[KL(sg p(l) ‖ p(u)) + KL(sg p(u) ‖ p(l))]
//
// where u and l are those of three candidates with the smallest and the largest probability of y: x itself, the
// adversarial x_a and the collaborative x_c. Both are searched together, from x + 0.001·N(0,1) with independent noise: in
// each of K rounds
//
//	x_a <- Project(u + α·sign ∂D/∂u),   x_c <- Project(l + α·sign ∂D/∂l),
//
// so that the two may change roles, and x may take the place of either. The attack runs in batch-norm mode T0, each
// candidate with the statistics of its own batch; the update forwards x_c in T0, then x and x_a in T, and selects u and l
// anew. sg stops gradients: each term of D moves one side.
//
// The options js and l2 of the released flag --loss_mode have no effect there; the symmetric KL is all that it has.
func ST(c Config) Method {
	pgd := c.Attack.pgd("kl", attacks.Normal)
	inner := &Inner{PGD: pgd, Mode: c.Attack.mode(nn.TrainFrozen)}
	inner.Begin = func(f *Frame, start *Node) []*Node { return []*Node{start, secondStart(pgd, f)} }
	inner.Step = func(f *Frame, state []*Node) []*Node {
		points := []*Node{f.X, state[1], state[0]} // clean, collaborative, adversarial
		var leaves, logits []*Node
		for _, point := range points {
			leaf := Identity(StopGradient(point))
			leaves, logits = append(leaves, leaf), append(logits, f.Student.Forward(inner.Mode, leaf))
		}
		upper, lower := extremes(logits, f.Y)
		grads := Gradient(ReduceAllSum(discrepancy(upper.of(logits), lower.of(logits))), leaves...)
		return []*Node{
			pgd.Step(f.X, upper.of(points), along(upper.of(grads))),
			pgd.Step(f.X, lower.of(points), along(lower.of(grads))),
		}
	}
	return Method{Name: "st-at", Inner: inner, Keys: true, Update: func(u *Update) Outcome {
		collaborative := u.Student.Forward(nn.TrainFrozen, u.State[1])
		nat := u.Student.Forward(nn.Train, u.X)
		adv := u.Student.Forward(nn.Train, u.Adv)
		logits := []*Node{nat, collaborative, adv}
		upper, lower := extremes(logits, u.Y)
		ce, gap := mean(attacks.CrossEntropy(nat, u.Y)), mean(discrepancy(upper.of(logits), lower.of(logits)))
		loss := Add(ce, MulScalar(gap, c.ST.Beta))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{
			{"loss", loss}, {"ce", ce}, {"discrepancy", gap},
			{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
	}}
}

// secondStart is a start like that of the engine, from noise of its own.
func secondStart(pgd attacks.PGD, f *Frame) *Node {
	dims := f.X.Shape().Dimensions[1:]
	var noise *Node
	if pgd.Start == attacks.Normal {
		noise = MulScalar(attacks.KeyedNormal(f.Keys, dims...), 0.001)
	} else {
		noise = MulScalar(AddScalar(MulScalar(attacks.KeyedUniform(f.Keys, dims...), 2), -1), pgd.Ball.Eps)
	}
	return pgd.Begin(f.X, ConvertDType(noise, f.X.DType()))
}

// choice is one of three candidates for each image: masks [B] that say where it is the second, and where the third.
type choice [2]*Node

// of takes from each image's three candidates, [B, ...], the chosen one.
func (c choice) of(candidates []*Node) *Node {
	return Where(c[1], candidates[2], Where(c[0], candidates[1], candidates[0]))
}

// extremes chooses, from the candidates' logits [B, C], those with the smallest (upper, of the highest loss) and the
// largest probability of y; among equals the first.
func extremes(logits []*Node, y *Node) (upper, lower choice) {
	highest := StopGradient(attacks.CrossEntropy(logits[0], y))
	lowest := highest
	for i, z := range logits[1:] {
		ce := StopGradient(attacks.CrossEntropy(z, y))
		upper[i], lower[i] = GreaterThan(ce, highest), LessThan(ce, lowest)
		highest, lowest = Max(ce, highest), Min(ce, lowest)
	}
	return upper, lower
}

// discrepancy is D of two batches of logits, per image [B].
func discrepancy(upper, lower *Node) *Node {
	return MulScalar(Add(attacks.KL(StopGradient(lower), upper), attacks.KL(StopGradient(upper), lower)), 0.5)
}
