package cureml

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/cureml/nn"
	"cure/cureml/optim"
)

// programs are the compiled parts of a training step of one method:
//
//	begin   networks, uint8 images, y, scalars, noise -> float images, context, first state of the attack
//	attack  student, images, y, scalars, context, state -> next state (Steps times; no weight gradients)
//	ascend  memory, the same                           -> cells (Ascend.Rounds times, if the method asks)
//	update  memory, the same                           -> memory, logged numbers (Replays times)
//
// A method without an attack has update alone, on the uint8 images.
type programs struct {
	backend compute.Backend
	cfg     Config
	method  Method
	memory  *Memory
	scalars []Scheduled
	start   int // first step of the method's phase
	logged  []string

	contexts       int   // tensors of the context, known once begin was traced
	perUpdate      int64 // training-mode passes of the student in an update
	perBegin       int64 // before the attack
	perAttack      int64 // and in a step of the attack
	begin, attack  *program
	ascend, update *program
	before         hook
}

func newPrograms(backend compute.Backend, cfg Config, method Method, memory *Memory) (p *programs, err error) {
	p = &programs{backend: backend, cfg: cfg, method: method, memory: memory}
	p.scalars = append([]Scheduled{{"lr", cfg.rate}}, method.Scalars...)
	for _, n := range method.Networks {
		if n.Kind == Average {
			p.scalars = append(p.scalars, Scheduled{"decay/" + n.Role, n.Decay})
		}
	}
	defer func() {
		if err != nil {
			p.finalize()
		}
	}()
	if method.Inner != nil {
		var networks []string
		for _, r := range memory.roles {
			networks = append(networks, r.Role+"/")
		}
		moved := func(moves bool) (names []string) {
			for _, t := range memory.roles[0].list {
				if moves && !t.Kind.Trainable() {
					names = append(names, studentRole+t.Name)
				}
			}
			return names
		}
		begins := memory.having(append(networks, p.cells()...)...)
		if p.begin, err = p.compile("start of the attack", begins, moved(method.Inner.Moves), p.beginGraph); err != nil {
			return nil, err
		}
		if p.attack, err = p.compile("attack step", memory.having(studentRole), moved(method.Inner.Mode == nn.Train), p.attackGraph); err != nil {
			return nil, err
		}
	}
	if method.Ascend != nil {
		if p.ascend, err = p.compile("weight perturbation", memory.names, memory.having(cellPrefix), p.ascendGraph); err != nil {
			return nil, err
		}
	}
	if method.before != nil {
		if p.before, err = method.before(p); err != nil {
			return nil, err
		}
	}
	p.update, err = p.compile("update step", p.updated(), memory.movingOf(p.updated()), p.updateGraph)
	return p, err
}

// cells are the method's own, which may be fewer than the memory holds.
func (p *programs) cells() (names []string) {
	for _, c := range p.method.Cells {
		names = append(names, cellPrefix+c.Name)
	}
	return names
}

// updated lists what an update reads: the networks and cells of this method, which may be fewer than the memory holds.
func (p *programs) updated() []string {
	prefixes := append([]string{studentRole, velocityOf + studentRole}, p.cells()...)
	for _, n := range p.method.Networks {
		prefixes = append(prefixes, n.Role+"/", velocityOf+n.Role+"/")
	}
	return p.memory.having(prefixes...)
}

func (p *programs) finalize() {
	for _, g := range []*program{p.begin, p.attack, p.ascend, p.update} {
		g.finalize()
	}
	if p.before.close != nil {
		p.before.close()
	}
}

// share gives a frame what all graphs get: labels, scalars and, where the method asks for them, keys. It returns the
// inputs that follow.
func (p *programs) share(f *Frame, in []*Node) []*Node {
	f.Y, f.scalars = in[0], map[string]*Node{}
	f.scalars["round"] = Squeeze(SliceAxis(in[1], 0, AxisElem(0)))
	for i, s := range p.scalars {
		f.scalars[s.Name] = Squeeze(SliceAxis(in[1], 0, AxisElem(i+1)))
	}
	in = in[2:]
	if p.method.Keys {
		f.Keys, in = in[0], in[1:]
	}
	return in
}

// outer is a frame as updates see it.
func (p *programs) outer(f *Frame, in []*Node) *Update {
	rest := p.share(f, in)
	f.X = pixels(rest[0])
	u := &Update{Frame: *f, Names: p.cfg.trained()}
	if p.method.Inner != nil {
		u.Context, u.State = rest[1:1+p.contexts], rest[1+p.contexts:]
		u.Adv = u.State[0]
	}
	return u
}

func (p *programs) ascendGraph(f *Frame, in []*Node) []*Node {
	p.method.Ascend.Step(p.outer(f, in))
	return nil
}

func (p *programs) updateGraph(f *Frame, in []*Node) []*Node {
	u := p.outer(f, in)
	o := p.method.Update(u)
	u.apply(o, p.cfg.SGD)
	if o.After != nil {
		o.Log = append(o.Log, o.After()...)
	}
	for _, r := range p.memory.roles {
		if _, ours := f.Nets[r.Role]; ours && r.Kind == Average {
			r.follow(&u.Frame, r.list)
		}
	}
	p.perUpdate = int64(u.Student.Tracked)
	p.logged = p.logged[:0]
	var numbers []*Node
	for _, s := range o.Log {
		p.logged = append(p.logged, s.Name)
		numbers = append(numbers, Reshape(ConvertDType(s.Value, dtypes.Float32), 1))
	}
	return []*Node{Concatenate(numbers, 0)}
}

// apply turns the outcome into new weights and velocities.
func (u *Update) apply(o Outcome, sgd optim.SGD) {
	lr := u.Scalar("lr")
	for i, name := range u.Names {
		vars, velocity := u.Student.Vars, u.velocities[student]
		w, v := sgd.Update(vars[name], o.Grads[i], velocity[name], lr)
		old := vars[name]
		if by, shifted := o.Perturbed[name]; shifted {
			w, old = Sub(w, by.By), by.Origin
		}
		if o.Keep != nil && o.Keep[i] != nil {
			w, v = Where(o.Keep[i], old, w), Where(o.Keep[i], velocity[name], v)
		}
		vars[name], velocity[name] = w, v
	}
	for role, grads := range o.Partners {
		vars, velocity := u.Nets[role].Vars, u.velocities[role]
		for i, name := range trainable(u.Nets[role].Arch) {
			vars[name], velocity[name] = sgd.Update(vars[name], grads[i], velocity[name], lr)
		}
	}
}

// pixels turns uint8 images into floats in [0, 1].
func pixels(x *Node) *Node {
	if x.DType() != dtypes.Uint8 {
		return x
	}
	return DivScalar(ConvertDType(x, dtypes.Float32), 255)
}

// args are the inputs of every program behind the memory.
func (p *programs) args(b *batch, scalars []float32, more ...any) []any {
	args := []any{b.labels, scalars}
	if p.method.Keys {
		args = append(args, b.keys)
	}
	return append(args, more...)
}

// values are the scalars at a round of a step: of the attack, of a perturbation of weights or of a replay.
func (p *programs) values(at Progress, round int) []float32 {
	v := []float32{float32(round)}
	for _, s := range p.scalars {
		v = append(v, float32(s.At(at)))
	}
	return v
}

// run is one training step; it returns the logged numbers.
func (p *programs) run(b *batch, at Progress) ([]float32, error) {
	at.Start = p.start
	if p.before.run != nil {
		if err := p.before.run(b, at); err != nil {
			return nil, err
		}
	}
	if p.method.Inner == nil {
		return p.descend(b, nil, at)
	}
	a, err := p.perturb(b, at)
	if err != nil {
		return nil, err
	}
	defer a.free()
	return p.descend(b, a, at)
}

// descend updates the memory on a batch, attacked or not, and returns the logged numbers.
func (p *programs) descend(b *batch, a *attacked, at Progress) (numbers []float32, err error) {
	images := []any{b.images}
	if a != nil {
		images[0] = a.x
		for _, t := range a.rest {
			images = append(images, t)
		}
	}
	if p.ascend != nil {
		for round := range p.method.Ascend.Rounds {
			if _, err := p.ascend.run(p.args(b, p.values(at, round), images...)...); err != nil {
				return nil, err
			}
		}
	}
	replays := max(1, p.method.Replays)
	for k := range replays {
		now := Progress{at.Step*replays + k, at.Total * replays, at.PerEpoch * replays, at.Start * replays}
		out, err := p.update.run(p.args(b, p.values(now, k), images...)...)
		if err != nil {
			return nil, err
		}
		numbers = numbers[:0]
		err = out[0].ConstFlatData(func(flat any) { numbers = append(numbers, flat.([]float32)...) })
		out[0].MustFinalizeAll()
		if err != nil {
			return nil, fmt.Errorf("cureml: update step: %w", err)
		}
	}
	return numbers, nil
}

// tracked is how many training-mode passes of the student a step makes.
func (p *programs) tracked() int64 {
	n := p.perUpdate * int64(max(1, p.method.Replays))
	if p.method.Inner != nil {
		n += p.perBegin + p.perAttack*int64(p.method.Inner.PGD.Steps)
	}
	return n
}
