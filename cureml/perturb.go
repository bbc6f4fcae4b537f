package cureml

import (
	"maps"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/cureml/nn"
)

// perturbable lists the tensors that perturbations of weights reach: the weights of convolutions and of the classifier,
// in the released codes every tensor with "weight" in its name and more than one axis. Norms, biases and what the config
// freezes stay; names are the trained tensors.
func perturbable(a nn.Arch, names []string) (weights []nn.Tensor) {
	list, err := a.Tensors()
	if err != nil {
		panic(err)
	}
	for _, t := range list {
		if (t.Kind == nn.ConvWeight || t.Kind == nn.LinearWeight) && slices.Contains(names, t.Name) {
			weights = append(weights, t)
		}
	}
	return weights
}

// proxy is u with networks and cells of its own: what a method does there to running statistics and cells is dropped.
func (u *Update) proxy() *Update {
	p := *u
	p.Cells, p.Nets = maps.Clone(u.Cells), make(map[string]*nn.Net, len(u.Nets))
	for role, net := range u.Nets {
		own := *net
		own.Vars = maps.Clone(net.Vars)
		p.Nets[role] = &own
	}
	p.Student = p.Nets[student]
	return &p
}

// shift moves weights of the student by v, one node for each of list, which gets no gradient.
func (u *Update) shift(list []nn.Tensor, v []*Node) map[string]Perturbed {
	shifts := make(map[string]Perturbed, len(list))
	for i, t := range list {
		w, by := u.Student.Vars[t.Name], StopGradient(v[i])
		shifts[t.Name] = Perturbed{Origin: w, By: by}
		u.Student.Vars[t.Name] = Add(w, by)
	}
	return shifts
}

// normOf is the Euclidean norm of all entries of all tensors together.
func normOf(all ...*Node) *Node {
	var squares *Node
	for _, x := range all {
		s := ReduceAllSum(Square(x))
		if squares == nil {
			squares = s
		} else {
			squares = Add(squares, s)
		}
	}
	return Sqrt(squares)
}

// smallestNorm keeps a perturbation at zero where nothing says which way to go.
const smallestNorm = 1e-20
