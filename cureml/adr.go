package cureml

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// AdrConfig holds the own parameters of ADR. Temperature and interpolation go from their first value to the second along
// half a cosine over the run, whatever its length.
type AdrConfig struct {
	TemperatureHigh   float64 `json:"temperature_high"`   // τ at the start
	TemperatureLow    float64 `json:"temperature_low"`    // and at the end
	InterpolationLow  float64 `json:"interpolation_low"`  // λ at the start
	InterpolationHigh float64 `json:"interpolation_high"` // and at the end
	Decay             float64 `json:"decay"`              // of the teacher, per step
	Beta              float64 `json:"beta"`               // β of adr-trades
}

// tuneAdr is the released configuration for CIFAR-10 with SGD. With weight perturbation the ends are τ 1.5 and λ 0.85.
func tuneAdr(c *Config) {
	exactEighths(c)
	c.Adr = AdrConfig{TemperatureHigh: 2.5, TemperatureLow: 2, InterpolationLow: 0.7, InterpolationHigh: 0.95, Decay: 0.995, Beta: 6}
}

func checkAdr(all Config) error {
	c := all.Adr
	return first(distilTemperature("adr.temperature_high", c.TemperatureHigh), distilTemperature("adr.temperature_low", c.TemperatureLow),
		share("adr.interpolation_low", c.InterpolationLow), share("adr.interpolation_high", c.InterpolationHigh),
		share("adr.decay", c.Decay), weight("adr.beta", c.Beta))
}

// EMATeacher is the role of ADR's teacher, and the name of its network in a run folder: the published "ADR + WA".
const EMATeacher = "ema_teacher"

// ADR is annealing self-distillation rectification of PGD-AT (Wu, Wang and Chen, ICLR 2024, arXiv 2305.12118; yuyuwu5/ADR
// src/adr.py, src/advTrainer.py):
//
//	min mean CE(f(x'), r),   x' = argmax CE(f(x'), r) from a uniform start, mode T,
//	r = λ_i·t + (1 - λ_i)·y,   t = softmax(f_ema(x)/τ),   λ_i = clip(λ - (max t - t_y), 0, 1)
//
// with y one-hot. The teacher f_ema averages weights and running statistics, θ_ema <- 0.995·θ_ema + 0.005·θ after every
// step, and predicts in mode E; no gradient reaches it. τ falls and λ rises over the run. Every step of the attack counts
// in running statistics, then x'.
func ADR(c Config) Method {
	inner := &Inner{PGD: c.Attack.pgd("", attacks.Uniform), Mode: c.Attack.mode(nn.Train),
		Context: func(f *Frame) []*Node { return []*Node{rectified(f)} },
		Objective: func(f *Frame, logits *Node) *Node {
			return attacks.SoftCrossEntropy(logits, f.Context[0])
		}}
	return c.Adr.method(Method{Name: "adr", Inner: inner, Update: func(u *Update) Outcome {
		logits := u.Student.Forward(nn.Train, u.Adv)
		loss := mean(attacks.SoftCrossEntropy(logits, u.Context[0]))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}, {"train_adv_accuracy", accuracy(logits, u.Y)}}}
	}})
}

// ADRTrades is ADR of TRADES (sources, r and teacher as for [ADR]):
//
//	min mean CE(f(x), r) + β·mean KL(p(x) ‖ p(x')),   x' = argmax KL(p(x) ‖ p(x')) from x + 0.001·U[0,1), mode T
//
// Passes in mode T: x once before the attack, which holds p(x) constant, every step of the attack, and then x and x'
// together as one batch of twice the size. The released start is one-sided; attack.start=normal is that of TRADES.
func ADRTrades(c Config) Method {
	mode := c.Attack.mode(nn.Train)
	inner := &Inner{PGD: c.Attack.pgd("", attacks.None), Mode: mode, Moves: mode == nn.Train,
		Context: func(f *Frame) []*Node { return []*Node{rectified(f), f.Student.Forward(mode, f.X)} },
		Objective: func(f *Frame, logits *Node) *Node {
			return attacks.KL(StopGradient(f.Context[1]), logits)
		}}
	oneSided := c.Attack.From == ""
	if oneSided {
		inner.Begin = func(f *Frame, start *Node) []*Node {
			noise := ConvertDType(attacks.KeyedUniform(f.Keys, start.Shape().Dimensions[1:]...), start.DType())
			return []*Node{Add(start, MulScalar(noise, 0.001))}
		}
	}
	return c.Adr.method(Method{Name: "adr-trades", Inner: inner, Keys: oneSided, Update: func(u *Update) Outcome {
		n := u.X.Shape().Dim(0)
		both := u.Student.Forward(nn.Train, Concatenate([]*Node{u.X, u.Adv}, 0))
		nat, adv := SliceAxis(both, 0, AxisRange(0, n)), SliceAxis(both, 0, AxisRange(n, 2*n))
		ce, kl := mean(attacks.SoftCrossEntropy(nat, u.Context[0])), mean(attacks.KL(nat, adv))
		loss := Add(ce, MulScalar(kl, c.Adr.Beta))
		return Outcome{Grads: u.Gradient(loss), Log: []Term{
			{"loss", loss}, {"ce", ce}, {"kl", kl},
			{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
	}})
}

// method adds the teacher and the schedules to m.
func (c AdrConfig) method(m Method) Method {
	m.Networks = []Network{{Role: EMATeacher, Kind: Average, Stats: "averaged", Decay: func(Progress) float64 { return c.Decay }}}
	m.Scalars = []Scheduled{
		{"temperature", func(p Progress) float64 { return halfCosine(c.TemperatureHigh, c.TemperatureLow, p) }},
		{"interpolation", func(p Progress) float64 { return halfCosine(c.InterpolationLow, c.InterpolationHigh, p) }},
	}
	return m
}

// halfCosine goes from a, at the first step, towards b, past the last.
func halfCosine(a, b float64, p Progress) float64 {
	return b + (a-b)/2*(1+math.Cos(math.Pi*float64(p.Step)/float64(p.Total)))
}

// rectified is the label r [B, C] of a batch.
func rectified(f *Frame) *Node {
	t := Softmax(Div(f.Nets[EMATeacher].Forward(nn.Eval, f.X), f.Scalar("temperature")), -1)
	label := OneHot(f.Y, t.Shape().Dim(-1), t.DType())
	lead := Sub(ReduceAndKeep(t, ReduceMax, -1), ReduceAndKeep(Mul(t, label), ReduceSum, -1)) // max t - t_y, [B, 1]
	trust := ClipScalar(Sub(f.Scalar("interpolation"), lead), 0, 1)
	return StopGradient(Add(Mul(trust, t), Mul(OneMinus(trust), label)))
}
