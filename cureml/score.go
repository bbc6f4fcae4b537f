package cureml

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// ScoreConfig holds the own parameters of the three SCORE methods.
type ScoreConfig struct {
	// Divergence is d(t, p), the distance of a prediction p from a target t: lse, ‖p - t‖², which is SCORE, or kl, KL(t ‖ p),
	// which it replaces.
	Divergence string `json:"divergence"`
	// Clip is c. In score and score-trades a loss below b, that of a prediction with 1-c on the true class and c spread
	// evenly over the others, counts as 0; in score-generated c itself is that bound, for the robust term.
	Clip float64 `json:"clip"`
	// ClipRobust lets score-trades clip the robust term alone, not the sum.
	ClipRobust bool `json:"clip_robust"`
	// Lambda weighs the robust term; score has none.
	Lambda float64 `json:"lambda"`
	// Smoothing is the share of the training label that goes to the wrong classes, as in [AtConfig].
	Smoothing float64 `json:"smoothing"`
}

func tuneScore(c *Config) {
	exactEighths(c)
	c.Score = ScoreConfig{Divergence: "lse", Clip: 0.4}
}

func tuneScoreTrades(c *Config) {
	exactEighths(c)
	c.Score = ScoreConfig{Divergence: "lse", Clip: 0.3, Lambda: 6}
}

func tuneScoreGenerated(c *Config) {
	exactEighths(c)
	c.Score = ScoreConfig{Divergence: "lse", Lambda: 4}
}

func checkScore(all Config) error {
	c := all.Score
	if c.Divergence != "lse" && c.Divergence != "kl" {
		return fmt.Errorf("cureml: score.divergence %q: accepted are lse, kl", c.Divergence)
	}
	if !(c.Clip >= 0 && c.Clip < 1) {
		return fmt.Errorf("cureml: score.clip %v: want a value in [0, 1)", c.Clip)
	}
	return first(weight("score.lambda", c.Lambda), share("score.smoothing", c.Smoothing))
}

// Score is SCORE without other data, PGD variant (Pang et al., ICML 2022, arXiv 2202.10103; P2333/SCORE
// without_DDPM/train_cifar.py). With d the divergence, ‖p - t‖² by default:
//
//	min mean relu(d(y, p(x')) - b),   x' = argmax d(y, p(x')) from a uniform start, mode T,   b = c²(1 + 1/(C-1)), c = 0.4
//
// Every step of the attack counts in running statistics, then x'. The published recipe has learning rate 0.05.
func Score(c Config) Method {
	inner := &Inner{PGD: c.Attack.pgd("", attacks.Uniform), Mode: c.Attack.mode(nn.Train), Objective: func(f *Frame, logits *Node) *Node {
		return c.Score.toLabel(logits, f.Y, 0)
	}}
	return Method{Name: "score", Inner: inner, Update: func(u *Update) Outcome {
		logits := u.Student.Forward(nn.Train, u.Adv)
		loss := mean(hinge(c.Score.toLabel(logits, u.Y, c.Score.Smoothing), c.Score.bound(c.Arch.Classes)))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}, {"train_adv_accuracy", accuracy(logits, u.Y)}}}
	}}
}

// ScoreTrades is SCORE without other data, TRADES variant (sources and b as for [Score]; c = 0.3, λ = 6):
//
//	min mean relu(d(y, p(x)) + λ·d(p(x), p(x')) - b),   x' = argmax d(p(x), p(x')) from x + 0.001·N(0,1), mode E
//
// The start is clipped to [0,1]. Passes in mode T: x', x; gradients flow through both. The released flag not_clip_clean,
// here ClipRobust, clips the robust term alone: d(y, p(x)) + λ·relu(d(p(x), p(x')) - b).
func ScoreTrades(c Config) Method {
	inner := c.scoreInner(attacks.Normal, nn.Eval)
	if c.Attack.From == "" {
		inner.Begin = func(_ *Frame, start *Node) []*Node { return []*Node{ClipScalar(start, 0, 1)} }
	}
	return Method{Name: "score-trades", Inner: inner, Update: func(u *Update) Outcome {
		adv := u.Student.Forward(nn.Train, u.Adv)
		nat := u.Student.Forward(nn.Train, u.X)
		bound := c.Score.bound(c.Arch.Classes)
		if c.Score.ClipRobust {
			return c.Score.outcome(u, nat, adv, 0, bound)
		}
		return c.Score.outcome(u, nat, adv, bound, 0)
	}}
}

// ScoreGenerated is SCORE as trained on generated images beside real ones (P2333/SCORE gowal21uncovering/utils/trades.py,
// flag LSE, after Gowal et al. 2020 and Rebuffi et al. 2021):
//
//	min mean d(y, p(x)) + λ·mean relu(d(p(x), p(x')) - c),   x' = argmax d(p(x), p(x')) from a uniform start, mode T0
//
// λ = 4 as in the released example (the released weights have 3), c = 0. Passes in mode T: x, x'. Divergence kl with λ = 5
// and Smoothing 0.1 is the recipe of Gowal and Rebuffi, min mean CE(f(x), y) + λ·mean KL(p(x) ‖ p(x')), up to the constant
// entropy of the smoothed label.
func ScoreGenerated(c Config) Method {
	inner := c.scoreInner(attacks.Uniform, nn.TrainFrozen)
	return Method{Name: "score-generated", Inner: inner, Update: func(u *Update) Outcome {
		nat := u.Student.Forward(nn.Train, u.X)
		adv := u.Student.Forward(nn.Train, u.Adv)
		return c.Score.outcome(u, nat, adv, 0, c.Score.Clip)
	}}
}

// scoreInner moves predictions away from the natural ones, which are made in the mode of the attack.
func (c Config) scoreInner(start attacks.Start, own nn.Mode) *Inner {
	mode := c.Attack.mode(own)
	return &Inner{PGD: c.Attack.pgd("", start), Mode: mode, Moves: mode == nn.Train,
		Context: func(f *Frame) []*Node { return []*Node{f.Student.Forward(mode, f.X)} },
		Objective: func(f *Frame, logits *Node) *Node {
			return c.Score.between(StopGradient(f.Context[0]), logits)
		}}
}

// outcome is that of a natural and a robust term, with bounds for the sum of both and for the robust one.
func (c ScoreConfig) outcome(u *Update, nat, adv *Node, boundSum, boundRobust float64) Outcome {
	natural, robust := c.toLabel(nat, u.Y, c.Smoothing), hinge(c.between(nat, adv), boundRobust)
	loss := mean(hinge(Add(natural, MulScalar(robust, c.Lambda)), boundSum))
	return Outcome{Grads: u.Gradient(loss), Log: []Term{
		{"loss", loss}, {"natural", mean(natural)}, {"robust", mean(robust)},
		{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
}

// toLabel is d(t, softmax z) per image [B] with t the label y [B], smoothed, for logits z [B, C].
func (c ScoreConfig) toLabel(logits, y *Node, smoothing float64) *Node {
	target := smoothed(y, logits, smoothing)
	if c.Divergence == "kl" {
		return SubScalar(attacks.SoftCrossEntropy(logits, target), entropy(smoothing, logits.Shape().Dim(-1)))
	}
	return ReduceSum(Square(Sub(Softmax(logits, -1), target)), -1)
}

// between is d(softmax p, softmax q) per image [B] for logits p and q [B, C].
func (c ScoreConfig) between(p, q *Node) *Node {
	if c.Divergence == "kl" {
		return attacks.KL(p, q)
	}
	return ReduceSum(Square(Sub(Softmax(p, -1), Softmax(q, -1))), -1)
}

// bound is d(y, p) of a prediction p with 1-c on the true class and the rest spread evenly.
func (c ScoreConfig) bound(classes int) float64 {
	if c.Divergence == "kl" {
		return -math.Log1p(-c.Clip)
	}
	return c.Clip * c.Clip * (1 + 1/float64(classes-1))
}

// entropy is that of a label smoothed by s.
func entropy(s float64, classes int) float64 {
	h := 0.0
	if s > 0 {
		h -= s * math.Log(s/float64(classes-1))
	}
	if s < 1 {
		h -= (1 - s) * math.Log(1-s)
	}
	return h
}

// hinge is relu(v - bound); without a bound it is v.
func hinge(v *Node, bound float64) *Node {
	if bound == 0 {
		return v
	}
	return MaxScalar(SubScalar(v, bound), 0)
}
