package cureml

import (
	"maps"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// strategist moves LAS-AT's strategy network π, before every step of the student whose number is a multiple of Interval:
//
//	a_i ~ π(x_i), mode T;  x' from the attack on f_θ that a names;  R1 = clip(L(θ, x'), 0, Clip), mode E,
//	      with L = CE(f(x'), y), or CE(f(x), y) + β_i·KL(p(x) ‖ p(x')) in las-trades, means over the batch
//	θ' = θ after one step of the student's SGD on its loss at x', mode T, with the present rate and fresh momentum
//	x'' = the worst of Restarts runs of PGD (CE, budget of Config.Attack) on θ'
//	R2 = -RobustWeight·CE(f_θ'(x''), y),  R3 = -CleanWeight·CE(f_θ'(x), y), mode E
//	min over π of -(R1+R2+R3)·Σ_heads mean_i log π_h(a_i|x_i)       (REINFORCE, the reward a constant)
//
// θ' lives in a memory of its own and ends with the next one.
type strategist struct {
	las
	p       *programs
	trial   *programs // the student's attack, with actions drawn in the mode that π learns in
	virtual *Memory   // θ' as the student
	probe   *programs // the attack on θ'

	imagine *program // θ, x, x', actions -> R1, θ'
	worse   *program // θ', x'', the worst so far and its losses -> the worst and its losses
	judge   *program // θ', R1, x, x'' -> rewards
	learn   *program // π, x, actions, rewards -> π
}

const (
	rewardsCell  = "rewards"     // R1, R2, R3 of the last update of π
	strategyRate = "strategy_lr" // scalar
)

func newStrategist(l las, p *programs) (s *strategist, err error) {
	s = &strategist{las: l, p: p, virtual: &Memory{values: map[string]*tensors.Tensor{}, frozen: map[string]string{}}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	asked := l
	if asked.Attack.BN == nn.Train.String() { // only attacks that the student trains on may move its running statistics
		asked.Attack.BN = nn.TrainFrozen.String()
	}
	trial := p.method
	// Mode T0 draws as mode T would; the pass in learn is the one that moves π's running statistics.
	trial.Inner, trial.before = asked.attack(nn.TrainFrozen, choosingToLearn), nil
	if s.trial, err = newPrograms(p.backend, p.cfg, trial, p.memory); err != nil {
		return nil, err
	}
	start, err := p.memory.state(student, 0) // imagine replaces every value
	if err != nil {
		return nil, err
	}
	s.virtual.network(Network{Role: student, Kind: Average}, start)
	if s.probe, err = newPrograms(p.backend, p.cfg, Method{Name: p.method.Name, Inner: l.attackOnVirtual()}, s.virtual); err != nil {
		return nil, err
	}
	if s.imagine, err = p.compile("virtual step", p.memory.having(studentRole, cellPrefix), nil, s.imagineGraph); err != nil {
		return nil, err
	}
	var moved []string
	if l.released() {
		moved = s.probe.attack.writes
	}
	if s.worse, err = s.probe.compile("choice of restarts", s.virtual.names, moved, s.worseGraph); err != nil {
		return nil, err
	}
	if s.judge, err = s.probe.compile("rewards", s.virtual.names, nil, s.judgeGraph); err != nil {
		return nil, err
	}
	own := p.memory.having(Strategy+"/", velocityOf+Strategy+"/", cellPrefix+rewardsCell)
	s.learn, err = p.compile("strategy update", own, own, s.learnGraph)
	return s, err
}

func (s *strategist) close() {
	for _, p := range []*programs{s.trial, s.probe} {
		if p != nil {
			p.finalize()
		}
	}
	for _, g := range []*program{s.imagine, s.worse, s.judge, s.learn} {
		g.finalize()
	}
	s.virtual.Free()
}

// run is called before every step of the student.
func (s *strategist) run(b *batch, at Progress) error {
	if (at.Step+1)%s.Las.Interval != 0 {
		return nil
	}
	rng := data.Stream(s.Seed, "strategy", uint64(at.Step))
	own := *b // with a start of its own: the student's attack takes another
	own.noise = startNoise(s.pgd, b.labels.Shape().Dim(0), rng)
	defer own.noise.MustFinalizeAll()
	a, err := s.trial.perturb(&own, at)
	if err != nil {
		return err
	}
	defer a.free()
	r1, err := s.stepVirtual(b, a, at)
	if err != nil {
		return err
	}
	defer r1.MustFinalizeAll()
	worst, err := s.attackVirtual(b, at, rng)
	if err != nil {
		return err
	}
	defer worst.MustFinalizeAll()
	rewards, err := s.judge.run(b.labels, r1, a.x, worst)
	if err != nil {
		return err
	}
	defer rewards[0].MustFinalizeAll()
	_, err = s.learn.run(s.p.args(b, s.p.values(at, 0), a.x, a.rest[0], rewards[0])...)
	return err
}

// stepVirtual puts θ' into virtual and returns R1.
func (s *strategist) stepVirtual(b *batch, a *attacked, at Progress) (r1 *tensors.Tensor, err error) {
	inputs := []any{a.x}
	for _, t := range a.rest {
		inputs = append(inputs, t)
	}
	out, err := s.imagine.run(s.p.args(b, s.p.values(at, 0), inputs...)...)
	if err != nil {
		return nil, err
	}
	for i, name := range s.virtual.names {
		s.virtual.values[name].MustFinalizeAll()
		s.virtual.values[name] = out[1+i]
	}
	return out[0], nil
}

// attackVirtual returns the worst of the restarts of PGD on θ'.
func (s *strategist) attackVirtual(b *batch, at Progress, rng *rand.Rand) (worst *tensors.Tensor, err error) {
	shape := b.images.Shape().Dimensions
	kept := []*tensors.Tensor{ // images and their losses, none of which is below 0
		tensors.FromShape(shapes.Make(dtypes.Float32, shape...)), tensors.FromShape(shapes.Make(dtypes.Float32, shape[0]))}
	for range s.Las.Restarts {
		noise := startNoise(s.probe.method.Inner.PGD, shape[0], rng)
		a, err := s.probe.perturb(&batch{images: b.images, labels: b.labels, noise: noise}, at)
		noise.MustFinalizeAll()
		if err != nil {
			return nil, err
		}
		worse, err := s.worse.run(b.labels, a.rest[a.state], kept[0], kept[1])
		a.free()
		if err != nil {
			return nil, err
		}
		kept[0].MustFinalizeAll()
		kept[1].MustFinalizeAll()
		kept = worse
	}
	kept[1].MustFinalizeAll()
	return kept[0], nil
}

// attackOnVirtual is the attack on θ'.
func (l las) attackOnVirtual() *Inner {
	pgd := l.Attack.pgd("ce", attacks.Uniform)
	pgd.Start = attacks.Uniform
	if !l.released() {
		return &Inner{PGD: pgd, Mode: nn.Eval}
	}
	return &Inner{PGD: pgd, Mode: nn.Train,
		Begin: func(f *Frame, start *Node) []*Node { return []*Node{start, Const(start.Graph(), true)} },
		Step:  func(f *Frame, state []*Node) []*Node { return releasedStep(pgd, f, state) },
	}
}

// releasedStep is a step of attack_pgd in the released code, in mode T: images that are misclassified rest, and once all of
// them are, passes end, so that running statistics stay. state is the iterate and whether passes go on.
func releasedStep(pgd attacks.PGD, f *Frame, state []*Node) []*Node {
	before := maps.Clone(f.Student.Vars)
	var right *Node
	next := pgd.Step(f.X, state[0], func(adv *Node) *Node {
		logits := f.Student.Forward(nn.Train, adv)
		right = attacks.Correct(logits, f.Y)
		return attacks.CrossEntropy(logits, f.Y)
	})
	for name, old := range before {
		if now := f.Student.Vars[name]; now != old {
			f.Student.Vars[name] = Where(state[1], now, old)
		}
	}
	return []*Node{Where(right, next, state[0]), LogicalAnd(state[1], ReduceLogicalOr(right))}
}

func (s *strategist) imagineGraph(f *Frame, in []*Node) []*Node {
	fresh := map[string]*Node{}
	for _, name := range trainable(s.Arch) {
		fresh[name] = ZerosLike(f.Student.Vars[name])
	}
	f.velocities[student] = fresh
	u := s.trial.outer(f, in)
	out := []*Node{s.attackReward(u)}
	o := s.update(u)
	if s.released() && s.trades() {
		u.Student.Forward(nn.Train, u.X)
	}
	u.apply(o, s.SGD)
	for _, t := range s.virtual.roles[0].list {
		out = append(out, u.Student.Vars[t.Name])
	}
	return out
}

// attackReward is R1.
func (l las) attackReward(u *Update) *Node {
	if !l.trades() {
		return ClipScalar(mean(attacks.CrossEntropy(u.Student.Forward(nn.Eval, u.Adv), u.Y)), 0, l.Las.Clip)
	}
	mode, nat := nn.Eval, u.Context[1]
	if l.released() {
		mode, nat = nn.TrainFrozen, u.Student.Forward(nn.TrainFrozen, u.X)
	}
	kl := attacks.KL(nat, u.Student.Forward(mode, u.Adv))
	r1 := Add(mean(attacks.CrossEntropy(nat, u.Y)), mean(Mul(l.chosen(u.Context[0], headBeta, u.X), kl)))
	return ClipScalar(r1, 0, l.Las.Clip)
}

func (s *strategist) worseGraph(f *Frame, in []*Node) []*Node {
	y, adv, worst, losses := in[0], in[1], in[2], in[3]
	mode := nn.Eval
	if s.released() {
		mode = nn.Train
	}
	now := attacks.CrossEntropy(f.Student.Forward(mode, adv), y)
	return []*Node{Where(GreaterOrEqual(now, losses), adv, worst), Max(now, losses)}
}

func (s *strategist) judgeGraph(f *Frame, in []*Node) []*Node {
	y, r1, x, worst := in[0], in[1], in[2], in[3]
	reward := func(weight float64, images *Node) *Node {
		logits := f.Student.Forward(nn.Eval, images)
		r := Neg(mean(attacks.CrossEntropy(logits, y)))
		if s.released() {
			r = accuracy(logits, y)
		}
		return MulScalar(r, weight)
	}
	return []*Node{Stack([]*Node{r1, reward(s.Las.RobustWeight, worst), reward(s.Las.CleanWeight, x)}, 0)}
}

func (s *strategist) learnGraph(f *Frame, in []*Node) []*Node {
	rest := s.p.share(f, in)
	var actions, rewards *Node
	f.X, actions, rewards = rest[0], rest[1], rest[2]
	_, grads := s.reinforce(f, actions, ReduceAllSum(rewards))
	net, velocity := f.Nets[Strategy], f.velocities[Strategy]
	for i, name := range trainable(net.Arch) {
		net.Vars[name], velocity[name] = s.Las.SGD.Update(net.Vars[name], grads[i], velocity[name], f.Scalar(strategyRate))
	}
	f.Cells[rewardsCell] = rewards
	return nil
}

// reinforce is the loss of π whose gradient is REINFORCE's, and that gradient for every trainable tensor of π, at most
// ClipNorm long. reward is a scalar.
func (l las) reinforce(f *Frame, actions, reward *Node) (loss *Node, grads []*Node) {
	logits := f.Nets[Strategy].Forward(nn.Train, f.X)
	loss = ZerosLike(reward)
	for h, part := range split(l.heads, logits) {
		option := Squeeze(SliceAxis(actions, -1, AxisElem(h)), -1)
		loss = Sub(loss, mean(Neg(attacks.CrossEntropy(part, option))))
	}
	loss = Mul(loss, reward)
	return loss, clipNorm((&Update{Frame: *f}).GradientOf(Strategy, loss), l.Las.ClipNorm)
}

// clipNorm shortens gradients whose common Euclidean norm is above most, as PyTorch's clip_grad_norm_ does.
func clipNorm(grads []*Node, most float64) []*Node {
	squares := ScalarZero(grads[0].Graph(), grads[0].DType())
	for _, g := range grads {
		squares = Add(squares, ReduceAllSum(Square(g)))
	}
	scale := MinScalar(Div(ConstAs(squares, most), AddScalar(Sqrt(squares), 1e-6)), 1)
	short := make([]*Node, len(grads))
	for i, g := range grads {
		short[i] = Mul(g, scale)
	}
	return short
}
