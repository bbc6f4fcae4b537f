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
// The code has two modes more: `rgp_old` (the KL in place of CE(x') in `released`), and none at all, its default, which is
// rgp_soft with Cure.Percentile = 0. The paper says that the rate of revision decays as training advances, but not how; the
// code's constant r = 0.2 is used. Its decay d rises as in the code (Cure.EMAWarm), without which the runs of a few hundred
// steps of small studies would be drawn to the natural network to their end; the 200 epochs of the paper are past that
// after the first three. Eps and step size are the paper's 8/255 and ε/4; the code's are 0.031 and 0.007, as those of
// TRADES, beside which the small presets of recipes and studies train CURE: there they are these.
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
		s := c.Cure.Select(u)
		o := Outcome{Grads: s.Grads, Log: s.Log}
		if c.Cure.Face == "paper" {
			o.Keep = s.Below
		} else {
			zeroMasked(o.Grads, s.Below)
		}
		return o
	}}
}

// Selection is how CURE judges the weights on a batch. Its slices have an entry for each of Update.Names.
type Selection struct {
	Log    []Term  // the loss and what it is made of
	Grads  []*Node // of the loss; nothing is masked in them yet
	Scores []*Node // by which entries are conserved; nil for tensors of which the face conserves nothing
	Below  []*Node // the conserved entries: those whose score is below the percentile of their tensor; nil likewise
}

// Select runs the student and the revision model on clean and attacked images, and picks the entries to conserve. The
// update needs X, Y, Adv, Names, the student and the network of role Revision.
func (c CureConfig) Select(u *Update) Selection {
	mode, rev := c.revisionMode(), u.Nets[Revision]
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
	var loss *Node
	var s Selection
	loss, s.Grads, s.Scores = c.face()(c, u, t)
	s.Below = below(s.Scores, c.Percentile)
	s.Log = []Term{{"loss", loss}, {"ce", t.ceNat}, {"ce_adv", t.ceAdv}, {"kl", t.kl}, {"revision", t.revision},
		{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}
	return s
}

// Prominence is the score of face paper, RGP(w) = α·|∂CE(x)/∂w| + (1-α)·|∂CE(x')/∂w|, of the two gradients of a tensor.
func (c CureConfig) Prominence(nat, adv *Node) *Node {
	return Add(MulScalar(Abs(nat), c.Alpha), MulScalar(Abs(adv), 1-c.Alpha))
}

// cureTerms are the scalars that the losses of all faces are made of.
type cureTerms struct{ ceNat, ceAdv, kl, revision *Node }

// A cureFace is a reading of the method: its loss, the gradients of that, and the scores of what it may conserve.
type cureFace func(c CureConfig, u *Update, t cureTerms) (loss *Node, grads, scores []*Node)

func curePaper(c CureConfig, u *Update, t cureTerms) (loss *Node, grads, scores []*Node) {
	loss = Add(Add(t.ceNat, t.kl), MulScalar(t.revision, c.Gamma))
	grads, scores = u.Gradient(loss), make([]*Node, len(u.Names))
	nat, adv := u.Gradient(t.ceNat), u.Gradient(t.ceAdv)
	for i, name := range u.Names {
		if c.MaskClassifier || !isClassifier(name) {
			scores[i] = c.Prominence(nat[i], adv[i])
		}
	}
	return loss, grads, scores
}

func cureReleased(c CureConfig, u *Update, t cureTerms) (loss *Node, grads, scores []*Node) {
	loss = Add(Add(MulScalar(t.ceNat, c.Alpha), MulScalar(t.ceAdv, 1-c.Alpha)), MulScalar(t.revision, c.Gamma))
	grads, scores = u.Gradient(loss), make([]*Node, len(u.Names))
	for i, name := range u.Names {
		if !isClassifier(name) {
			scores[i] = Abs(grads[i])
		}
	}
	return loss, grads, scores
}

func cureReleasedSoft(c CureConfig, u *Update, t cureTerms) (loss *Node, grads, scores []*Node) {
	loss = Add(Add(t.ceNat, MulScalar(t.kl, c.Beta)), MulScalar(t.revision, c.Gamma))
	grads, scores = u.Gradient(loss), make([]*Node, len(u.Names))
	nat, rob := u.Gradient(t.ceNat), u.Gradient(t.kl)
	for i, name := range u.Names {
		if strings.Contains(name, "conv1") && u.Student.Arch.Block(name) != nn.StemBlock {
			// The released code differentiates KL here, without the β that the loss gives it.
			scores[i] = Add(MulScalar(nat[i], c.Alpha), MulScalar(rob[i], 1-c.Alpha))
		}
	}
	return loss, grads, scores
}

// isClassifier goes by the names that the released code excludes.
func isClassifier(name string) bool {
	return strings.Contains(name, "linear") || strings.Contains(name, "fc") || strings.Contains(name, "logits")
}

// below marks, in each tensor of scores, the entries strictly below its percentile; where there are no scores it is nil.
func below(scores []*Node, percentile float64) []*Node {
	var picked []*Node
	for _, s := range scores {
		if s != nil {
			picked = append(picked, s)
		}
	}
	thresholds := optim.Percentile(picked, percentile)
	masks := make([]*Node, len(scores))
	for i, s := range scores {
		if s != nil {
			masks[i], thresholds = LessThan(s, thresholds[0]), thresholds[1:]
		}
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
