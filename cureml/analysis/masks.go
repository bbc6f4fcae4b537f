package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/data"
)

// MaskOptions are the settings of [MeasureMasks].
type MaskOptions struct {
	// Attack is that of training.
	Attack cureml.AttackConfig
	// Rules are ways to choose what is conserved; the first is the one that the others are compared with.
	Rules []MaskRule
	Batch int // images of a batch; a batch has one mask
	Seed  uint64
}

// MaskRule is CURE with some settings.
type MaskRule struct {
	Name string            `json:"name"`
	Cure cureml.CureConfig `json:"cure"`
}

// Masks are what CURE conserves: the entries of each tensor whose gradient prominence is below the percentile, chosen anew
// for every batch.
type Masks struct {
	Data    string     `json:"data"`
	Batch   int        `json:"batch"`
	Batches int        `json:"batches"`
	Rules   []MaskRule `json:"rules"`
	// Layers are the convolutions, then all batch norms together, the classifier, and all of these.
	Layers   []WeightLayer  `json:"layers"`
	Networks []NetworkMasks `json:"networks"`
}

// NetworkMasks are the masks of one network.
type NetworkMasks struct {
	Name  string `json:"name"`
	Epoch int    `json:"epoch"` // -1 where it is not known
	// Unmoved is the share of each layer's weights that have the same bits as in the first network.
	Unmoved []float64    `json:"unmoved"`
	Rules   []RuledMasks `json:"rules"` // one for each rule
}

// RuledMasks are the masks that one rule gives a network: a share for each layer, means over the batches.
//
// Agreements compare two masks M and M': 2·|M∩M'| / (|M|+|M'|), which is 1 for equal ones, about p for two random choices of
// the share p, and 0 where nothing is conserved.
type RuledMasks struct {
	// Conserved is the share of weights that are conserved: the percentile by construction, less where scores tie.
	Conserved []float64 `json:"conserved"`
	// ConservedWhole is the same with one threshold for the whole network instead of one for each tensor, which shows where
	// prominence is low.
	ConservedWhole []float64 `json:"conserved_whole"`
	// Dropped is the share of the squared gradient of the loss that lies in conserved entries.
	Dropped []float64 `json:"dropped"`
	// Batches is the agreement with the mask of the next batch of other images; empty if there is one batch.
	Batches []float64 `json:"batches,omitempty"`
	// First is the agreement with the first rule's mask on the same batch.
	First []float64 `json:"first"`
	// Before is the agreement with the mask that the network before has on the same images; empty for the first.
	Before []float64 `json:"before,omitempty"`
}

// MeasureMasks chooses what to conserve on whole batches of a set, as a step of CURE in training does: attack, passes of the
// network and of its revision model, gradients, prominence and percentile are those of package cureml. Where a moment has
// no revision model, it is a copy of the network, as in CURE's first step. The networks must have one form.
func MeasureMasks(ctx context.Context, device compute.Backend, moments []Moment, set *data.Set, o MaskOptions) (*Masks, error) {
	batches, err := wholeBatches(moments, set, o.Batch)
	if err != nil {
		return nil, err
	}
	base, err := o.check(moments)
	if err != nil {
		return nil, err
	}
	inner := cureml.CURE(base).Inner
	e, err := newExam(device, moments[0].State, inner.PGD, inner.Mode)
	if err != nil {
		return nil, err
	}
	defer e.close()
	c, err := newChoice(e, o.Rules)
	if err != nil {
		return nil, err
	}
	m := &Masks{Data: set.Name, Batch: o.Batch, Batches: batches, Rules: o.Rules, Layers: c.layers}
	var before [][]mask // of the network before, by rule and batch
	for _, moment := range moments {
		now, found, err := c.measure(ctx, moment, set, o, batches)
		if err != nil {
			return nil, fmt.Errorf("%w (network %s)", err, moment.Name)
		}
		found.Name, found.Epoch, found.Unmoved = moment.Name, moment.Epoch, c.unmoved(moments[0].State, moment.State)
		for r := range now {
			found.Rules[r].First = c.agreement(now[r], now[0])
			if before != nil {
				found.Rules[r].Before = c.agreement(now[r], before[r])
			}
			if batches > 1 {
				found.Rules[r].Batches = c.agreement(now[r][1:], now[r][:batches-1])
			}
		}
		m.Networks, before = append(m.Networks, *found), now
	}
	return m, nil
}

// check returns a config with the attack.
func (o MaskOptions) check(moments []Moment) (cureml.Config, error) {
	base := cureml.Defaults("cure")
	base.Arch, base.Attack = moments[0].Arch, o.Attack
	if len(o.Rules) == 0 {
		return base, fmt.Errorf("analysis: no rules: want at least one way to choose what is conserved")
	}
	for i, r := range o.Rules {
		if slices.ContainsFunc(o.Rules[:i], func(other MaskRule) bool { return other.Name == r.Name }) {
			return base, fmt.Errorf("analysis: two rules are called %q", r.Name)
		}
		c := base
		c.Cure = r.Cure
		if err := c.Validate(); err != nil {
			return base, fmt.Errorf("%w (rule %s)", err, r.Name)
		}
		if err := checkPercentile(r.Cure); err != nil {
			return base, fmt.Errorf("%w (rule %s)", err, r.Name)
		}
	}
	for _, m := range moments {
		if m.Revision != nil && !sameForm(m.Revision, m.State) {
			return base, fmt.Errorf("analysis: %s is a %s, its revision model a %s", m.Name, m.Arch, m.Revision.Arch)
		}
	}
	return base, nil
}

// choice has the programs of [MeasureMasks], one for each rule: weights, weights of the revision model, x, y, adv -> sums
// [tensors, 3], masks of the tensors.
type choice struct {
	*exam
	rules  []*Exec
	names  []string // of the trainable tensors
	group  []int    // the layer of each
	layers []WeightLayer
	masked [][]int // by rule, indices of the tensors that have a mask; known once the rule's program was traced
}

func newChoice(e *exam, rules []MaskRule) (*choice, error) {
	c := &choice{exam: e, masked: make([][]int, len(rules))}
	c.groups()
	for r, rule := range rules {
		p, err := e.program(func(in []*Node) []*Node {
			student, in := e.net(in)
			revision, in := e.net(in)
			return c.choose(r, rule.Cure, student, revision, in[0], in[1], in[2])
		})
		if err != nil {
			return nil, err
		}
		c.rules = append(c.rules, p)
	}
	return c, nil
}

// groups sorts the trainable tensors into layers.
func (c *choice) groups() {
	const norms, classifier = "batch norms", "classifier"
	size := map[string]int{}
	var names, of []string
	all := 0
	for _, t := range c.list {
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
		all += t.Size()
	}
	for _, name := range append(names, norms, classifier) {
		c.layers = append(c.layers, WeightLayer{name, size[name]})
	}
	for _, layer := range of {
		c.group = append(c.group, slices.IndexFunc(c.layers, func(l WeightLayer) bool { return l.Name == layer }))
	}
	c.layers = append(c.layers, WeightLayer{"all", all})
}

// choose is a step of CURE up to the point where it acts.
func (c *choice) choose(r int, cure cureml.CureConfig, student, revision *nn.Net, x, y, adv *Node) []*Node {
	u := &cureml.Update{Adv: adv, Names: c.names}
	u.X, u.Y, u.Student = x, y, student
	u.Nets = map[string]*nn.Net{cureml.Student: student, cureml.Revision: revision}
	s := cure.Select(u)
	c.masked[r] = nil
	var scores, flat []*Node
	for i, score := range s.Scores {
		if score != nil {
			c.masked[r], scores, flat = append(c.masked[r], i), append(scores, score), append(flat, Reshape(score, -1))
		}
	}
	one := optim.Percentile([]*Node{Concatenate(flat, 0)}, cure.Percentile)[0]
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

// measure returns the masks of a network by rule and batch, and what the numbers of the batches say.
func (c *choice) measure(ctx context.Context, m Moment, set *data.Set, o MaskOptions, batches int) ([][]mask, *NetworkMasks, error) {
	weights := c.onDevice(m.State)
	defer discard(weights...)
	revision := weights
	if m.Revision != nil {
		revision = c.onDevice(m.Revision)
		defer discard(revision...)
	}
	masks, found := make([][]mask, len(c.rules)), &NetworkMasks{Rules: make([]RuledMasks, len(c.rules))}
	totals := make([]*maskTotals, len(c.rules))
	for k := range batches {
		b, err := c.batch(ctx, weights, set, o.Batch, k, o.Seed)
		if err != nil {
			return nil, nil, err
		}
		for r := range c.rules {
			if totals[r] == nil {
				totals[r] = newMaskTotals(len(c.layers))
			}
			one, err := c.take(ctx, r, totals[r], weights, revision, []*tensors.Tensor{b.x, b.y, b.adv})
			if err != nil {
				b.free()
				return nil, nil, err
			}
			masks[r] = append(masks[r], one)
		}
		b.free()
	}
	for r, t := range totals {
		found.Rules[r] = t.shares(c.layers, batches)
	}
	return masks, found, nil
}

// take runs the r-th rule on a batch and adds what it finds.
func (c *choice) take(ctx context.Context, r int, t *maskTotals, weights, revision, batch []*tensors.Tensor) (mask, error) {
	out, err := examine(ctx, c.rules[r], weights, revision, batch)
	if err != nil {
		return nil, err
	}
	sums, err := onHost[float64](out[0])
	if err != nil {
		return nil, err
	}
	one := make(mask, len(c.names))
	for k, i := range c.masked[r] {
		marks, err := onHost[bool](out[1+k])
		if err != nil {
			return nil, err
		}
		one[i] = newBitset(marks)
		for _, v := range sums[3*k : 3*k+3] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("analysis: a sum over the gradient of %s is %v", c.names[i], v)
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

// maskTotals are sums over batches, by layer.
type maskTotals struct{ conserved, whole, dropped, squares []float64 }

func newMaskTotals(layers int) *maskTotals {
	column := func() []float64 { return make([]float64, layers) }
	return &maskTotals{column(), column(), column(), column()}
}

func (t *maskTotals) shares(layers []WeightLayer, batches int) (r RuledMasks) {
	for i, l := range layers {
		n := float64(l.Size * batches)
		r.Conserved, r.ConservedWhole = append(r.Conserved, over(t.conserved[i], n)), append(r.ConservedWhole, over(t.whole[i], n))
		r.Dropped = append(r.Dropped, over(t.dropped[i], t.squares[i]))
	}
	return r
}

// agreement compares two lists of masks, one by one, by layer.
func (c *choice) agreement(a, b []mask) []float64 {
	mean := make([]float64, len(c.layers))
	for k := range a {
		common, sizes := make([]float64, len(c.layers)), make([]float64, len(c.layers))
		for i := range c.names {
			if a[k][i] == nil && b[k][i] == nil {
				continue
			}
			for _, layer := range []int{c.group[i], len(c.layers) - 1} {
				sizes[layer] += float64(a[k][i].count() + b[k][i].count())
				if a[k][i] != nil && b[k][i] != nil {
					common[layer] += float64(a[k][i].common(b[k][i]))
				}
			}
		}
		for layer := range mean {
			mean[layer] += over(2*common[layer], sizes[layer]) / float64(len(a))
		}
	}
	return mean
}

// unmoved is the share of weights with the same bits in two networks, by layer.
func (c *choice) unmoved(a, b *nn.State) []float64 {
	same := make([]float64, len(c.layers))
	for i, name := range c.names {
		n := 0
		for k, v := range a.Values[name] {
			if math.Float32bits(v) == math.Float32bits(b.Values[name][k]) {
				n++
			}
		}
		same[c.group[i]] += float64(n)
		same[len(same)-1] += float64(n)
	}
	for i, l := range c.layers {
		same[i] = over(same[i], float64(l.Size))
	}
	return same
}
