package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/data"
)

// choice has the programs of [MeasureMasks].
type choice struct {
	attack *ascent
	rules  []*program // weights of the revision model, x, y, adv -> sums [tensors, 3], masks of the tensors
	names  []string   // of the trainable tensors
	group  []int      // the layer of each
	layers []WeightLayer
	masked [][]int // by rule, indices of the tensors that have a mask; known once the rule's program was traced
}

func newChoice(s *nn.State, rules []MaskRule, attack *ascent) *choice {
	c := &choice{attack: attack, masked: make([][]int, len(rules))}
	c.groups(s.Tensors)
	for r, rule := range rules {
		c.rules = append(c.rules, newProgram(func(s *subject, weights, in []*Node) []*Node {
			revision, in := in[:len(weights)], in[len(weights):]
			return c.choose(r, rule.Cure, s.net(weights), s.net(revision), in[0], in[1], in[2])
		}))
	}
	return c
}

// Close frees the programs.
func (c *choice) Close() {
	c.attack.Close()
	for _, p := range c.rules {
		p.Close()
	}
}

// groups sorts the trainable tensors into layers.
func (c *choice) groups(list []nn.Tensor) {
	const norms, classifier = "batch norms", "classifier"
	size := map[string]int{}
	var names, of []string
	for _, t := range list {
		if !t.Kind.Trainable() {
			continue
		}
		layer := norms
		switch t.Kind {
		case nn.ConvWeight:
			layer = layerName(t)
			names = append(names, layer)
		case nn.LinearWeight, nn.LinearBias:
			layer = classifier
		}
		c.names, of = append(c.names, t.Name), append(of, layer)
		size[layer] += t.Size()
	}
	for _, name := range append(names, norms, classifier) {
		c.layers = append(c.layers, WeightLayer{name, size[name]})
	}
	for _, layer := range of {
		c.group = append(c.group, slices.IndexFunc(c.layers, func(l WeightLayer) bool { return l.Name == layer }))
	}
	c.layers = withAll(c.layers)
}

// choose is a step of CURE up to the point where it acts.
func (c *choice) choose(r int, cure cureml.CureConfig, student, revision *nn.Net, x, y, adv *Node) []*Node {
	u := &cureml.Update{Adv: adv, Names: c.names}
	u.X, u.Y, u.Student = x, y, student
	u.Nets = map[string]*nn.Net{cureml.Student: student, cureml.Revision: revision}
	s := cure.Select(u)
	c.masked[r] = nil
	var scores []*Node
	for i, score := range s.Scores {
		if score != nil {
			c.masked[r], scores = append(c.masked[r], i), append(scores, score)
		}
	}
	one := percentileOfAll(scores, cure.Percentile)
	sum := func(v *Node) *Node { return Reshape(ReduceAllSum(ConvertDType(v, dtypes.Float64)), 1) }
	var rows, masks []*Node
	for k, i := range c.masked[r] {
		squares := Square(ConvertDType(s.Grads[i], dtypes.Float64))
		below := ConvertDType(s.Below[i], dtypes.Float64)
		rows = append(rows, sum(LessThan(scores[k], one)), sum(Mul(squares, below)), sum(squares))
		masks = append(masks, s.Below[i])
	}
	return append([]*Node{Concatenate(rows, 0)}, masks...)
}

// mask has a bitset for each tensor, nil where there is none.
type mask []bitset

// measure returns the masks of a network by rule and batch, and by rule what their numbers add up to. A revision model that
// is nil is a copy of the network.
func (c *choice) measure(ctx context.Context, s *subject, revision *nn.State, set *data.Set, o MaskOptions, batches int) (masks [][]mask, totals []*maskTotals, err error) {
	average := s.Weights
	if revision != nil {
		r := seat(s.Backend, Network{s.Name, revision})
		defer r.free()
		average = r.Weights
	}
	masks = make([][]mask, len(c.rules))
	for range c.rules {
		totals = append(totals, newMaskTotals(len(c.layers)))
	}
	err = eachAttacked(ctx, s, c.attack, set, batches, o.Batch, o.Seed, func(b *batch, adv *tensors.Tensor) error {
		for r := range c.rules {
			one, err := c.take(ctx, r, totals[r], s, slices.Concat(average, []*tensors.Tensor{b.x, b.y, adv}))
			if err != nil {
				return err
			}
			masks[r] = append(masks[r], one)
		}
		return nil
	})
	return masks, totals, err
}

// take runs the r-th rule on a batch and adds what it finds; in are the inputs of its program.
func (c *choice) take(ctx context.Context, r int, t *maskTotals, s *subject, in []*tensors.Tensor) (mask, error) {
	out, err := c.rules[r].run(ctx, s, in...)
	if err != nil {
		return nil, err
	}
	sums, err := take[float64](out[0])
	if err != nil {
		return nil, err
	}
	one := make(mask, len(c.names))
	for k, i := range c.masked[r] {
		marks, err := take[bool](out[1+k])
		if err != nil {
			return nil, err
		}
		one[i] = newBitset(marks)
		for _, v := range sums[3*k : 3*k+3] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("a sum over the gradient of %s is %v", c.names[i], v)
			}
		}
		for _, layer := range []int{c.group[i], len(c.layers) - 1} {
			t.conserved[layer] += float64(one[i].count())
			t.whole[layer] += sums[3*k]
			t.dropped[layer] += sums[3*k+1]
			t.squares[layer] += sums[3*k+2]
		}
	}
	return one, nil
}
