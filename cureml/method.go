package cureml

import (
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// Method is one way of training: how a batch is attacked and what the update does with it. Everything in it is a graph
// of one step; what lives from step to step is the student, its Networks and its Cells.
type Method struct {
	Name string
	// Inner makes the adversarial images before the update; nil means that the method trains on natural images, or makes
	// its perturbations in the update itself.
	Inner *Inner
	// Update builds the gradients and the numbers to log.
	Update func(u *Update) Outcome
	// Networks are those beside the student: teachers, partners, averages.
	Networks []Network
	// Cells are tensors of the method's own that live as long as the run, such as the perturbation of Free-AT.
	Cells []Cell
	// Scalars are numbers that the host sets anew for every step, such as an annealed temperature.
	Scalars []Scheduled
	// Ascend, if set, moves cells between the attack and the update.
	Ascend *Ascend
	// Replays is how often the update runs on one batch; 0 means once.
	Replays int
	// Keys asks for Frame.Keys.
	Keys bool
	// PerImage is the loss of each image [B] whose growth RWP perturbs weights for; nil is CE(f(x'), y).
	PerImage func(u *Update) *Node

	// before, if set, is built with the programs of a run and then called before every step.
	before func(p *programs) (hook, error)
}

// hook is a part of a step that a method drives itself; close releases its programs.
type hook struct {
	run   func(b *batch, at Progress) error
	close func()
}

// Frame is what all graphs of a step see.
type Frame struct {
	X *Node // images [B, 32, 32, 3] in [0,1]
	Y *Node // labels, int32 [B]
	// Keys, uint32 [B, 2], seed random numbers of this step (attacks.KeyedUniform); nil unless Method.Keys.
	Keys    *Node
	Student *nn.Net
	// Nets holds every network by role, the student included.
	Nets map[string]*nn.Net
	// Cells holds the method's own tensors by name; an update that assigns one changes it for the next step.
	Cells map[string]*Node
	// Context is what Inner.Context returned for this batch.
	Context []*Node

	scalars    map[string]*Node
	velocities map[string]map[string]*Node // of trained networks, by role and tensor
}

// Scalar is the value of a scalar of this step: "lr", "round" or one of Method.Scalars.
func (f *Frame) Scalar(name string) *Node {
	v, ok := f.scalars[name]
	if !ok {
		panic("cureml: the method declares no scalar " + name)
	}
	return v
}

// Inner is the maximisation inside adversarial training.
type Inner struct {
	PGD attacks.PGD
	// Mode is the student's batch norm while it is attacked. In mode T every step of the attack moves the running
	// statistics.
	Mode nn.Mode
	// Context computes once a batch what stays constant while it is attacked, such as the natural logits. It must not move
	// running statistics, modes E and T0, unless Moves is set.
	Context func(f *Frame) []*Node
	// Moves says that Context runs the student in mode T: its running statistics move once before the attack.
	Moves bool
	// Objective is the loss of each image [B] that PGD ascends, from the student's logits [B, C]; nil is the loss that
	// PGD.Loss names, with Context[0] as the natural logits of "kl".
	Objective func(f *Frame, logits *Node) *Node
	// Begin, if set, makes the first state from the first iterate: tensors that Step replaces, the iterate first.
	Begin func(f *Frame, start *Node) []*Node
	// Step, if set, is one round of an attack that is not PGD.
	Step func(f *Frame, state []*Node) []*Node
}

// natural is the Context of attacks that compare with the natural logits, in mode E.
func natural(f *Frame) []*Node { return []*Node{f.Student.Forward(nn.Eval, f.X)} }

func (in *Inner) objective(f *Frame, logits *Node) *Node {
	if in.Objective != nil {
		return in.Objective(f, logits)
	}
	var nat *Node
	if len(f.Context) > 0 {
		nat = f.Context[0]
	}
	return in.PGD.Objective(logits, f.Y, nat)
}

func (in *Inner) begin(f *Frame, noise *Node) []*Node {
	start := in.PGD.Begin(f.X, noise)
	if in.Begin != nil {
		return in.Begin(f, start)
	}
	return []*Node{start}
}

func (in *Inner) step(f *Frame, state []*Node) []*Node {
	if in.Step != nil {
		return in.Step(f, state)
	}
	return []*Node{in.PGD.Step(f.X, state[0], func(adv *Node) *Node {
		return in.objective(f, f.Student.Forward(in.Mode, adv))
	})}
}

// Ascend is a program that runs Rounds times on the adversarial images before the update, and assigns cells.
type Ascend struct {
	Rounds int
	Step   func(u *Update)
}

// Cell is a tensor of a method: float32, filled with one value at the start of a run.
type Cell struct {
	Name  string
	Shape []int
	Fill  float32
}

// Scheduled is a number that the host computes for every step.
type Scheduled struct {
	Name string
	At   func(p Progress) float64
}

// Progress is where a run is: Step of Total counts from 0, Start is the first step of the method's phase.
type Progress struct{ Step, Total, PerEpoch, Start int }

// Epoch counts from 0.
func (p Progress) Epoch() int { return p.Step / p.PerEpoch }

// Update is what a method sees of the outer step.
type Update struct {
	Frame
	// Adv are the adversarial images; State is all that the attack ended with, Adv first.
	Adv   *Node
	State []*Node
	// Names are the student's tensors that are trained: all with gradients but those that the config freezes.
	Names []string
}

// Term is a number to log.
type Term struct {
	Name  string
	Value *Node
}

// Outcome is what a method decides: one gradient per name of Update.Names, optionally masks of the same shapes (true
// conserves an entry's bits, nil conserves none), and numbers to log, the first of which is the loss.
type Outcome struct {
	Grads []*Node
	Keep  []*Node
	Log   []Term
	// Partners are the gradients of other trained networks by role, in the order of Trainable.
	Partners map[string][]*Node
	// Perturbed are what a weight perturbation has added to weights of the student, by tensor: the step starts from the sum,
	// and then the same is taken off again.
	Perturbed map[string]Perturbed
	// After, if set, is built behind the optimiser's step: passes with the new weights, such as those that a released code
	// makes in mode T only to log. Its terms follow Log.
	After func() []Term
}

// index is where the student's tensor of that name has its gradient in an Outcome.
func (u *Update) index(name string) int { return slices.Index(u.Names, name) }

// Perturbed is a weight that was perturbed.
type Perturbed struct{ Origin, By *Node }

// Gradient differentiates loss with respect to the student's tensors of Names, and then to further nodes.
func (u *Update) Gradient(loss *Node, more ...*Node) []*Node {
	return Gradient(loss, append(nodesOf(u.Student, u.Names), more...)...)
}

// GradientOf differentiates loss with respect to every trainable tensor of another network.
func (u *Update) GradientOf(role string, loss *Node) []*Node {
	net := u.Nets[role]
	return Gradient(loss, nodesOf(net, trainable(net.Arch))...)
}

func nodesOf(net *nn.Net, names []string) (nodes []*Node) {
	for _, name := range names {
		nodes = append(nodes, net.Vars[name])
	}
	return nodes
}

// trainable names the tensors with gradients of a valid architecture, in order.
func trainable(a nn.Arch) (names []string) {
	list, err := a.Tensors()
	if err != nil {
		panic(err)
	}
	for _, t := range list {
		if t.Kind.Trainable() {
			names = append(names, t.Name)
		}
	}
	return names
}

// mean is the average over the batch.
func mean(perImage *Node) *Node { return ReduceAllMean(perImage) }

// accuracy is the share of images whose largest logit is the label's.
func accuracy(logits, y *Node) *Node {
	return mean(ConvertDType(attacks.Correct(logits, y), logits.DType()))
}
