package cureml

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
)

// FatConfig holds the settings of the early-stopped attack of friendly adversarial training.
type FatConfig struct {
	// Tau is τ at the start of a run: how often an image may be found misclassified before the attack leaves it. From
	// attack.steps on the attack never stops early.
	Tau int `json:"tau"`
	// Raise are the shares of the run, rising, from which on τ is larger by one; an empty list keeps τ.
	Raise []float64 `json:"raise"`
	// Omega is ω, the standard deviation of the normal noise in every step, in [0,1] pixels.
	Omega float64 `json:"omega"`
}

// The published schedules of τ: epochs 50 and 90 of 120, 30, 50 and 70 of 85, 20, 40, 60 and 80 of 90.

func tuneFAT(c *Config) { c.Fat = FatConfig{Raise: []float64{50. / 120, 90. / 120}, Omega: 0.001} }

func tuneFATTrades(c *Config) {
	tuneTrades(c)
	c.Fat = FatConfig{Raise: []float64{30. / 85, 50. / 85, 70. / 85}}
}

func tuneFATMart(c *Config) {
	c.Mart.Beta = 6
	c.Fat = FatConfig{Raise: []float64{20. / 90, 40. / 90, 60. / 90, 80. / 90}}
}

func checkFAT(c Config) error {
	if c.Fat.Tau < 0 {
		return fmt.Errorf("cureml: fat.tau %d: want 0 or more", c.Fat.Tau)
	}
	for _, v := range c.Fat.Raise {
		if err := share("fat.raise", v); err != nil {
			return err
		}
	}
	if !slices.IsSorted(c.Fat.Raise) {
		return fmt.Errorf("cureml: fat.raise %v: want rising shares of the run", c.Fat.Raise)
	}
	return weight("fat.omega", c.Fat.Omega)
}

func checkFATTrades(c Config) error { return first(checkFAT(c), checkTrades(c)) }

func checkFATMart(c Config) error { return first(checkFAT(c), checkMart(c)) }

// FAT is friendly adversarial training (Zhang et al., ICML 2020; zjfheart/Friendly-Adversarial-Training FAT.py): [AT] on
// adversarial images that PGD leaves soon after they are misclassified. In each of at most K rounds, for each image,
//
//	if f(x') misclassifies x' and τ = 0, the image is done, even at the random start;
//	if f(x') misclassifies x' and τ > 0, τ <- τ - 1;
//	unless it is done, x' <- Project(x' + α·sign ∂CE/∂x' + ω·N(0,1)).
//
// τ starts anew for every batch, and grows during a run as Fat.Raise says (the "dynamic τ" of the codes, here in shares of
// the run). Attack in batch-norm mode E, update on x' in mode T. The codes give the images back in the order in which they
// were done; here they stay in place, and all K rounds are computed, which changes nothing in mode E. The published
// training budgets are 0.031 and 0.062, both evaluated at 0.031.
//
// The flag --dynamictau False of the codes does not switch the schedule off, because any text counts as true there;
// fat.raise=[] does. attack_steps in the log is the mean number of steps an image took.
func FAT(c Config) Method { return c.Fat.friendly(AT(c)) }

// FATTrades is [Trades] on friendly images: the early-stopped attack of [FAT] on KL(p(x) ‖ p(x')), p(x) fixed, from
// x + 0.001·N(0,1) clipped (FAT_for_TRADES.py).
func FATTrades(c Config) Method { return c.Fat.friendly(Trades(c)) }

// FATMart is [Mart] on friendly images: the early-stopped attack of [FAT] on CE from x + 0.001·N(0,1) clipped
// (FAT_for_MART.py). That code forwards x' before x; Mart.AdvFirst does so here.
func FATMart(c Config) Method { return c.Fat.friendly(Mart(c)) }

// friendly stops the attack of m early.
func (c FatConfig) friendly(m Method) Method {
	inner, update := m.Inner, m.Update
	inner.Begin = func(f *Frame, start *Node) []*Node {
		// An image may be done at its start, so that must lie in ball and box.
		start = inner.PGD.Ball.Project(start, f.X)
		left := BroadcastToDims(f.Scalar("tau"), f.X.Shape().Dim(0))
		return []*Node{start, left, ZerosLike(left)}
	}
	inner.Step = func(f *Frame, state []*Node) []*Node { return c.step(inner, f, state) }
	m.Scalars = append(m.Scalars, Scheduled{"tau", c.tau})
	m.Keys = m.Keys || c.Omega > 0
	m.Update = func(u *Update) Outcome {
		o := update(u)
		o.Log = append(o.Log, Term{"attack_steps", mean(u.State[2])})
		return o
	}
	return m
}

// step is one round over a batch. The state is the iterate, what is left of each image's τ, [B], -1 for images that are
// done, and how many steps each has taken, [B].
func (c FatConfig) step(inner *Inner, f *Frame, state []*Node) []*Node {
	adv, left, taken := state[0], state[1], state[2]
	leaf := Identity(StopGradient(adv))
	logits := f.Student.Forward(inner.Mode, leaf)
	grad := Gradient(ReduceAllSum(inner.objective(f, logits)), leaf)[0]

	active := func() *Node { return GreaterOrEqual(left, ZerosLike(left)) }
	wrong := LogicalAnd(LogicalNot(attacks.Correct(logits, f.Y)), active())
	left = Where(wrong, AddScalar(left, -1), left)

	from := adv
	if c.Omega > 0 {
		from = Add(adv, c.noise(f))
	}
	next := inner.PGD.Step(f.X, from, along(grad))
	return []*Node{Where(active(), next, adv), left, Add(taken, ConvertDType(active(), taken.DType()))}
}

// noise is ω·N(0,1) for every pixel, other numbers in every round.
func (c FatConfig) noise(f *Frame) *Node {
	keys := Add(f.Keys, ConvertDType(f.Scalar("round"), dtypes.Uint32))
	normal := attacks.KeyedNormal(keys, f.X.Shape().Dimensions[1:]...)
	return MulScalar(ConvertDType(normal, f.X.DType()), c.Omega)
}

// tau is τ at a step of training.
func (c FatConfig) tau(p Progress) float64 {
	tau := c.Tau
	for _, share := range c.Raise {
		if float64(p.Step)/float64(p.Total) >= share {
			tau++
		}
	}
	return float64(tau)
}

// along is an objective with a gradient that is known already, for attacks that take it elsewhere than where they step
// from.
func along(grad *Node) func(adv *Node) *Node {
	return func(adv *Node) *Node { return ReduceSum(Mul(adv, grad), 1, 2, 3) }
}
