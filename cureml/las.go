package cureml

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/dtypes"

	"cure/attacks"
	"cure/cureml/nn"
)

// Strategy is the role of LAS-AT's strategy network, and its name in a run folder.
const Strategy = "strategy"

const lasTrades = "las-trades"

// Las is adversarial training with a learnable attack strategy (LAS-AT: Jia et al., CVPR 2022, arXiv 2203.06616). A
// strategy network π, a ResNet-18 that sees the clean image, has a categorical distribution for each part of the attack on
// that image: radius ε_i, number of steps K_i, step size α_i and, for las-trades, the weight β_i. With a_i ~ π(x_i) in mode E,
//
//	x'_i <- clip(x'_i + α_i·sign ∇J, x_i ± ε_i, [0, 1]), K_i times, mode E
//	las-at:      J = CE from U(±8/255);  min mean CE(f(x'), q),  q = Target at y, (1-Target)/(C-1) elsewhere
//	las-trades:  J = KL(p(x) ‖ p(x')) from x + 0.001·N(0,1);  min mean CE(f(x), y) + mean β_i·KL(p(x) ‖ p(x'))
//
// The loop always has the largest K's rounds; finished images rest. Training may so see ε above 8/255. Gradients flow
// through both sides of the KL. Every Interval steps, before the student's, π itself moves, as strategist tells. The log
// has the means of what was chosen and the last rewards r1 (attack), r2 (robust) and r3 (clean).
//
// Two faces, chosen by Las.Face, share ranges, weights and optimizers:
//
//   - paper (default): R2 and R3 are losses with a minus sign; θ' is attacked in mode E, by plain PGD.
//   - released, the code in jiaxiaojunQAQ/LAS-AT (LAS_PGD_AT and LAS_Trades, *_train_cifar10.py): R2 and R3 are accuracies;
//     θ' stays in mode T while it is attacked, which moves its running statistics, and an image rests once it is
//     misclassified; π's rate never falls in las-at. In las-trades R1 has the batch's statistics, and the step to θ'
//     passes the clean images twice, which only running statistics can tell.
//
// The paper's weights of the rewards could not be read: those of the released code serve both faces. There las-trades also
// moves the student's running statistics when it computes R1, and a head with a single attack type chooses nothing;
// neither is repeated here.
func Las(c Config) Method {
	l := newLas(c)
	return Method{Name: c.Method, Update: l.update, Keys: true,
		Inner:    l.attack(nn.Eval, choosingToTrain),
		Networks: []Network{{Role: Strategy, Kind: Partner, Arch: l.arch()}},
		Cells:    []Cell{{Name: rewardsCell, Shape: []int{3}}},
		Scalars:  []Scheduled{{strategyRate, l.strategyRate}},
		before: func(p *programs) (hook, error) {
			s, err := newStrategist(l, p)
			if err != nil {
				return hook{}, err
			}
			return hook{s.run, s.close}, nil
		},
	}
}

// las is what the graphs of the method know.
type las struct {
	Config
	heads []Span // ε, K, α and, for las-trades, β
	pgd   attacks.PGD
}

// Heads by their place in actions.
const (
	headEps = iota
	headSteps
	headStepSize
	headBeta
)

// Consumers of the keys of a step.
const (
	choosingToTrain = iota
	choosingToLearn
)

func newLas(c Config) las {
	l := las{Config: c, heads: []Span{c.Las.Eps, c.Las.Steps, c.Las.StepSize}, pgd: c.Attack.pgd("ce", attacks.Uniform)}
	if l.trades() {
		l.heads, l.pgd = append(l.heads, c.Las.Beta), c.Attack.pgd("kl", attacks.Normal)
	}
	l.pgd.Steps = c.Las.Steps.High
	return l
}

func (l las) trades() bool { return l.Method == lasTrades }

func (l las) released() bool { return l.Las.Face == "released" }

// attack is the attack on the student, with actions drawn from π in a mode by a consumer of the step's keys.
func (l las) attack(mode nn.Mode, consumer uint32) *Inner {
	return &Inner{PGD: l.pgd, Mode: l.Attack.mode(nn.Eval), Context: l.choose(mode, consumer), Step: l.step}
}

// choose is the context of the attack: actions, int32 [B, heads], and for las-trades the natural logits.
func (l las) choose(mode nn.Mode, consumer uint32) func(f *Frame) []*Node {
	return func(f *Frame) []*Node {
		context := []*Node{draw(l.heads, f.Nets[Strategy].Forward(mode, f.X), attacks.SplitKeys(f.Keys, consumer))}
		if l.trades() {
			context = append(context, natural(f)...)
		}
		return context
	}
}

// split gives each head its part of the strategy network's logits.
func split(heads []Span, logits *Node) (parts []*Node) {
	at := 0
	for _, h := range heads {
		parts = append(parts, SliceAxis(logits, -1, AxisRange(at, at+h.size())))
		at += h.size()
	}
	return parts
}

// draw takes one option of each head for each image: the one in whose part of [0, 1) a uniform number lies. logits are
// [B, all options], keys uint32 [B, 2]; options count from 0, int32 [B, heads].
func draw(heads []Span, logits, keys *Node) *Node {
	uniform := ConvertDType(attacks.KeyedUniform(keys, len(heads)), logits.DType())
	var options []*Node
	for h, part := range split(heads, logits) {
		p, u := Softmax(part, -1), SliceAxis(uniform, -1, AxisElem(h))
		below := ZerosLike(u)
		option := ConvertDType(below, dtypes.Int32)
		for k := range heads[h].size() - 1 {
			below = Add(below, SliceAxis(p, -1, AxisElem(k)))
			option = Add(option, ConvertDType(GreaterOrEqual(u, below), dtypes.Int32))
		}
		options = append(options, option)
	}
	return Concatenate(options, -1)
}

// chosen is what a head decided for each image, [B] in the type of like.
func (l las) chosen(actions *Node, head int, like *Node) *Node {
	option := Squeeze(SliceAxis(actions, -1, AxisElem(head)), -1)
	return AddScalar(ConvertDType(option, like.DType()), float64(l.heads[head].Low))
}

// step is a round of the attack: images with rounds left go on within their own budgets.
func (l las) step(f *Frame, state []*Node) []*Node {
	adv := Identity(StopGradient(state[0]))
	var nat *Node
	if l.trades() {
		nat = f.Context[1]
	}
	losses := l.pgd.Objective(f.Student.Forward(l.Attack.mode(nn.Eval), adv), f.Y, nat)
	grad := Gradient(ReduceAllSum(losses), adv)[0]
	pixels := func(head int) *Node { // [B, 1, 1, 1]
		return InsertAxes(DivScalar(l.chosen(f.Context[0], head, f.X), 255), -1, -1, -1)
	}
	eps := pixels(headEps)
	next := Add(adv, Mul(l.pgd.Ball.Direction(grad), pixels(headStepSize)))
	next = ClipScalar(Min(Max(next, Sub(f.X, eps)), Add(f.X, eps)), 0, 1)
	left := GreaterThan(l.chosen(f.Context[0], headSteps, f.X), f.Scalar("round"))
	return []*Node{StopGradient(Where(left, next, state[0]))}
}

func (l las) update(u *Update) Outcome {
	loss := l.smoothed
	if l.trades() {
		loss = l.weighted
	}
	o := loss(u)
	for head, name := range []string{"eps", "attack_steps", "step_size", "beta"}[:len(l.heads)] {
		value := mean(l.chosen(u.Context[0], head, u.X))
		if head == headEps || head == headStepSize {
			value = DivScalar(value, 255)
		}
		o.Log = append(o.Log, Term{name, value})
	}
	for i, name := range []string{"r1", "r2", "r3"} {
		o.Log = append(o.Log, Term{name, SliceAxis(u.Cells[rewardsCell], 0, AxisElem(i))})
	}
	return o
}

// smoothed is the update of las-at.
func (l las) smoothed(u *Update) Outcome {
	adv := u.Student.Forward(nn.Train, u.Adv)
	loss := mean(attacks.SoftCrossEntropy(adv, smoothed(u.Y, adv, 1-l.Las.Target)))
	return Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
}

// weighted is the update of las-trades.
func (l las) weighted(u *Update) Outcome {
	nat := u.Student.Forward(nn.Train, u.X)
	adv := u.Student.Forward(nn.Train, u.Adv)
	ce, kl := mean(attacks.CrossEntropy(nat, u.Y)), attacks.KL(nat, adv)
	loss := Add(ce, mean(Mul(l.chosen(u.Context[0], headBeta, u.X), kl)))
	return Outcome{Grads: u.Gradient(loss), Log: []Term{{"loss", loss}, {"ce", ce}, {"kl", mean(kl)},
		{"train_accuracy", accuracy(nat, u.Y)}, {"train_adv_accuracy", accuracy(adv, u.Y)}}}
}
