package cureml

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// Method is one way of training: how a batch is attacked and what the update does with it.
type Method struct {
	Name string
	// Inner makes the adversarial images; nil means that the method trains on natural images only.
	Inner *Inner
	// Update builds the gradients and the numbers to log.
	Update func(u *Update) Outcome
	// Revision asks for a second network beside the student, moved as an average of its weights.
	Revision bool
}

// Inner is the maximisation inside adversarial training, with the student in mode E.
type Inner struct {
	PGD attacks.PGD
	// Reference says that the loss needs the natural logits, which are then computed once a batch, not once a step.
	Reference bool
}

// Update is what a method sees of one step: images [B, 32, 32, 3] in [0,1], labels [B], its networks and two host
// scalars.
type Update struct {
	X, Adv, Y *Node
	Student   *nn.Net
	Revision  *nn.Net // nil unless Method.Revision
	Names     []string
	LR        *Node
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
}

// Gradient differentiates loss with respect to every trainable tensor of the student.
func (u *Update) Gradient(loss *Node) []*Node {
	nodes := make([]*Node, len(u.Names))
	for i, name := range u.Names {
		nodes[i] = u.Student.Vars[name]
	}
	return Gradient(loss, nodes...)
}

// apply turns the outcome into new weights and velocities, entries of vars.
func (u *Update) apply(o Outcome, sgd optim.SGD, velocity map[string]*Node) {
	for i, name := range u.Names {
		var keep *Node
		if o.Keep != nil {
			keep = o.Keep[i]
		}
		u.Student.Vars[name], velocity[name] = sgd.Update(u.Student.Vars[name], o.Grads[i], velocity[name], u.LR, keep)
	}
}

// mean is the average over the batch.
func mean(perImage *Node) *Node { return ReduceAllMean(perImage) }

// accuracy is the share of images whose largest logit is the label's.
func accuracy(logits, y *Node) *Node {
	return mean(ConvertDType(attacks.Correct(logits, y), logits.DType()))
}

// methods builds each method from its settings.
var methods = map[string]func(Config) Method{
	"natural": Natural,
	"at":      AT,
	"trades":  Trades,
	"cure":    CURE,
}

// MethodNames lists the methods, sorted.
func MethodNames() []string {
	var names []string
	for name := range methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// NewMethod builds the method that c names.
func NewMethod(c Config) (Method, error) {
	build, ok := methods[c.Method]
	if !ok {
		return Method{}, fmt.Errorf("cureml: unknown method %q: accepted are %s", c.Method, strings.Join(MethodNames(), ", "))
	}
	return build(c), nil
}
