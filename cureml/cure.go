package cureml

import (
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// CURE is conserve, update, revise. Three faces, chosen by Cure.Face:
//
//   - paper (default), the text of arXiv 2401.14948: L = CE(x) + KL(p(x)‖p(x')) + γ·L_CR; score
//     α|∂CE(x)/∂w| + (1-α)|∂CE(x')/∂w|; an entry whose score is below the p-th percentile of its tensor keeps its bits.
//   - released, mode `rgp` of the released code (NeurAI-Lab/CURE utilities/train.py): L = α·CE(x) + (1-α)·CE(x') + γ·L_CR;
//     score |∂L/∂w|; the gradient of masked entries is zero, so momentum and weight decay still move them.
//   - rgp_soft, mode `rgp_soft`: L = CE(x) + β·KL + γ·L_CR; the signed score α·∂CE(x)/∂w + (1-α)·∂KL/∂w decides, and
//     only tensors named conv1, the stem excepted, are masked.
//
// paper and released mask every tensor but the classifier (norms included); Cure.MaskClassifier adds it to face paper.
// The released code's weights β = 5 and α apply as in methods there; gradients never flow into the revision model.
func CURE(c Config) Method {
	pgd := c.Attack.pgd("kl", attacks.Normal)
	revision := Network{Role: Revision, Kind: Average, Stats: c.Cure.EMABN, Decay: func(p Progress) float64 {
		return c.Cure.decayAt(c.Seed, p.Step-p.Start)
	}}
	inner := &Inner{PGD: pgd, Mode: c.Attack.mode(nn.Eval), Context: natural}
	return Method{Name: c.Method, Inner: inner, Networks: []Network{revision}, Update: func(u *Update) Outcome {
		mode, rev := c.Cure.revisionMode(), u.Nets[Revision]
		nat := u.Student.Forward(nn.Train, u.X)
		revNat := StopGradient(rev.Forward(mode, u.X))
		adv := u.Student.Forward(nn.Train, u.Adv)
		revAdv := StopGradient(rev.Forward(mode, u.Adv))

		t := cureTerms{
			ceNat:    mean(attacks.CrossEntropy(nat, u.Y)),
			ceAdv:    mean(attacks.CrossEntropy(adv, u.Y)),
			kl:       mean(attacks.KL(nat, adv)),
			revision: Add(mean(attacks.KL(revNat, nat)), mean(attacks.KL(revAdv, adv))),
		}
		o := c.Cure.face()(c.Cure, u, t)
		o.Log = append(o.Log, Term{"ce", t.ceNat}, Term{"ce_adv", t.ceAdv}, Term{"kl", t.kl}, Term{"revision", t.revision},
			Term{"train_accuracy", accuracy(nat, u.Y)}, Term{"train_adv_accuracy", accuracy(adv, u.Y)})
		return o
	}}
}

// cureTerms are the scalars that the losses of all faces are made of.
type cureTerms struct{ ceNat, ceAdv, kl, revision *Node }

func curePaper(c CureConfig, u *Update, t cureTerms) Outcome {
	loss := Add(Add(t.ceNat, t.kl), MulScalar(t.revision, c.Gamma))
	o := Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}}}
	masked := u.masked(func(name string) bool { return c.MaskClassifier || !isClassifier(name) })
	nat, adv := u.Gradient(t.ceNat), u.Gradient(t.ceAdv)
	scores := make([]*Node, len(u.Names))
	for _, i := range masked {
		scores[i] = Add(MulScalar(Abs(nat[i]), c.Alpha), MulScalar(Abs(adv[i]), 1-c.Alpha))
	}
	o.Keep = below(scores, masked, c.Percentile)
	return o
}

func cureReleased(c CureConfig, u *Update, t cureTerms) Outcome {
	loss := Add(Add(MulScalar(t.ceNat, c.Alpha), MulScalar(t.ceAdv, 1-c.Alpha)), MulScalar(t.revision, c.Gamma))
	o := Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}}}
	masked := u.masked(func(name string) bool { return !isClassifier(name) })
	scores := make([]*Node, len(u.Names))
	for _, i := range masked {
		scores[i] = Abs(o.Grads[i])
	}
	zeroMasked(o.Grads, below(scores, masked, c.Percentile))
	return o
}

func cureReleasedSoft(c CureConfig, u *Update, t cureTerms) Outcome {
	loss := Add(Add(t.ceNat, MulScalar(t.kl, c.Beta)), MulScalar(t.revision, c.Gamma))
	o := Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}}}
	masked := u.masked(func(name string) bool { return strings.Contains(name, "conv1") && name != u.Names[0] })
	nat, rob := u.Gradient(t.ceNat), u.Gradient(t.kl)
	scores := make([]*Node, len(u.Names))
	for _, i := range masked {
		// The released code differentiates KL here, without the β that the loss gives it.
		scores[i] = Add(MulScalar(nat[i], c.Alpha), MulScalar(rob[i], 1-c.Alpha))
	}
	zeroMasked(o.Grads, below(scores, masked, c.Percentile))
	return o
}

// isClassifier goes by the names that the released code excludes.
func isClassifier(name string) bool {
	return strings.Contains(name, "linear") || strings.Contains(name, "fc") || strings.Contains(name, "logits")
}

// masked lists the indices of the tensors that pick selects.
func (u *Update) masked(pick func(name string) bool) (indices []int) {
	for i, name := range u.Names {
		if pick(name) {
			indices = append(indices, i)
		}
	}
	return indices
}

// below marks, in each tensor of scores that is listed, the entries strictly below its percentile; others get nil.
func below(scores []*Node, listed []int, percentile float64) []*Node {
	picked := make([]*Node, len(listed))
	for k, i := range listed {
		picked[k] = scores[i]
	}
	masks := make([]*Node, len(scores))
	for k, threshold := range optim.Percentile(picked, percentile) {
		masks[listed[k]] = LessThan(picked[k], threshold)
	}
	return masks
}

func zeroMasked(grads, masks []*Node) {
	for i, m := range masks {
		if m != nil {
			grads[i] = Where(m, ZerosLike(grads[i]), grads[i])
		}
	}
}
