package analysis

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/data"
)

// subject is a network on the device. Its Model is the network in mode E.
type subject struct {
	Network
	attacks.Model
	form string // networks of one form share what is compiled
}

// seat puts a network on the device, until free.
func seat(device compute.Backend, n Network) *subject {
	return &subject{n, cureml.HostModel(device, n.State), fmt.Sprintf("%+v", n.Arch)}
}

func (s *subject) free() { free(s.Weights...) }

// net is the network in a graph, with the given nodes as its weights.
func (s *subject) net(weights []*Node) *nn.Net {
	net := &nn.Net{Arch: s.Arch, Vars: make(map[string]*Node, len(s.Tensors))}
	for i, t := range s.Tensors {
		net.Vars[t.Name] = weights[i]
	}
	return net
}

// forward are the logits of images x in a graph, with batch norm in the given mode.
func (s *subject) forward(mode nn.Mode, weights []*Node, x *Node) *Node {
	if mode == nn.Eval {
		return s.Logits(weights, x)
	}
	return s.net(weights).Forward(mode, x)
}

// measureEach puts networks on the device one after the other, and returns what measure finds of each.
func measureEach[R any](device compute.Backend, nets []Network, measure func(i int, s *subject) (R, error)) ([]R, error) {
	found := make([]R, len(nets))
	for i, n := range nets {
		s := seat(device, n)
		var err error
		found[i], err = measure(i, s)
		s.free()
		if err != nil {
			return nil, fmt.Errorf("analysis: network %s: %w", n.Name, err)
		}
	}
	return found, nil
}

// tapped runs a network in mode E and returns the output of a layer, by the names of nn.Net.Tap, and the logits.
func tapped(net *nn.Net, layer string, x *Node) (out, logits *Node) {
	net.Tap = func(name string, x *Node) {
		if name == layer {
			out = x
		}
	}
	logits = net.Forward(nn.Eval, x)
	if out == nil {
		panic(fmt.Errorf("analysis: %s has no layer %q", net.Arch, layer))
	}
	return out, logits
}

// seatAll puts networks on the device at the same time; free takes them away again.
func seatAll(device compute.Backend, nets []Network) (all []*subject, free func()) {
	for _, n := range nets {
		all = append(all, seat(device, n))
	}
	return all, func() {
		for _, s := range all {
			s.free()
		}
	}
}

// checkInput says what is wrong with networks and images.
func checkInput(nets []Network, set *data.Set) error {
	if len(nets) == 0 {
		return fmt.Errorf("analysis: no networks: want at least one")
	}
	if set == nil || set.Len() == 0 {
		return fmt.Errorf("analysis: no images: want at least one")
	}
	for i, n := range nets {
		if n.State == nil {
			return fmt.Errorf("analysis: network %q has no weights", n.Name)
		}
		if slices.ContainsFunc(nets[:i], func(other Network) bool { return other.Name == n.Name }) {
			return fmt.Errorf("analysis: two networks are called %q: want different names", n.Name)
		}
		if bad := n.Dict().NonFinite(); len(bad) > 0 {
			return fmt.Errorf("analysis: network %s: tensor %s holds NaN or Inf", n.Name, bad[0])
		}
		for k, y := range set.Labels {
			if y < 0 || int(y) >= n.Arch.Classes {
				return fmt.Errorf("analysis: label %d of image %d: network %s has %d classes", y, k, n.Name, n.Arch.Classes)
			}
		}
	}
	return nil
}

// checkAttacked is checkInput, and says what is wrong with a list of attacks that needs to have one.
func checkAttacked(nets []Network, set *data.Set, list ...attacks.Attack) error {
	if err := checkInput(nets, set); err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(a attacks.Attack) bool { return a.Method != nil }) {
		return fmt.Errorf("analysis: no attack among %d: want at least one, such as pgd20", len(list))
	}
	for _, a := range list {
		if err := a.Validate(nets[0].Arch.Classes); err != nil {
			return fmt.Errorf("analysis: %w", err)
		}
	}
	return nil
}
