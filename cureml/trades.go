package cureml

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// TradesConfig holds TRADES' own parameters.
type TradesConfig struct {
	Beta float64 `json:"beta"`
	// ReleasedBN forwards the clean batch a second time, after the adversarial one, as trades.py does; only running
	// statistics can tell.
	ReleasedBN bool `json:"released_bn"`
}

func tuneTrades(c *Config) { c.Trades.Beta = 6 }

func checkTrades(c Config) error { return weight("trades.beta", c.Trades.Beta) }

// Trades is TRADES (Zhang et al., ICML 2019):
//
//	min mean CE(f(x), y) + β·mean KL(p(x) ‖ p(x')),   x' = argmax KL(p(x) ‖ p(x')) from x + 0.001·N(0,1), mode E
//
// with gradients through both sides of the KL. The released trades.py forwards x twice in mode T (clean, adversarial,
// clean); the loss is the same with one clean forward, but running statistics count the clean batch twice there. The
// field Trades.ReleasedBN repeats the clean forward for that.
func Trades(c Config) Method {
	pgd := c.Attack.pgd("kl", attacks.Normal)
	perImage := func(u *Update) *Node {
		nat, adv := u.Student.Forward(nn.Train, u.X), u.Student.Forward(nn.Train, u.Adv)
		return Add(attacks.CrossEntropy(nat, u.Y), MulScalar(attacks.KL(nat, adv), c.Trades.Beta))
	}
	inner := &Inner{PGD: pgd, Mode: c.Attack.mode(nn.Eval), Context: natural}
	return Method{Name: "trades", Inner: inner, PerImage: perImage, Update: func(u *Update) Outcome {
		nat := u.Student.Forward(nn.Train, u.X)
		adv := u.Student.Forward(nn.Train, u.Adv)
		if c.Trades.ReleasedBN {
			u.Student.Forward(nn.Train, u.X)
		}
		ce, kl := mean(attacks.CrossEntropy(nat, u.Y)), mean(attacks.KL(nat, adv))
		loss := Add(ce, MulScalar(kl, c.Trades.Beta))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{
			{"loss", loss}, {"ce", ce}, {"kl", kl},
			{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
	}}
}
