package analysis

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute"

	"cure/cureml"
	"cure/cureml/nn"
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
	if err := checkMoments(moments, set); err != nil {
		return nil, err
	}
	batches, err := wholeBatches(set, o.Batch)
	if err != nil {
		return nil, err
	}
	base, err := o.check(moments[0].Arch)
	if err != nil {
		return nil, err
	}
	inner := cureml.CURE(base).Inner
	c := newChoice(moments[0].State, o.Rules, newAscent(inner.PGD, inner.Mode))
	defer c.Close()
	m := &Masks{Data: set.Name, Batch: o.Batch, Batches: batches, Rules: o.Rules, Layers: c.layers}
	var before [][]mask // of the network before, by rule and batch
	m.Networks, err = measureEach(device, stills(moments), func(i int, s *subject) (n NetworkMasks, err error) {
		now, totals, err := c.measure(ctx, s, moments[i].Revision, set, o, batches)
		if err != nil {
			return n, err
		}
		n = NetworkMasks{Name: s.Name, Epoch: moments[i].Epoch, Unmoved: c.unmoved(moments[0].State, s.State)}
		for r := range now {
			found := totals[r].shares(c.layers, batches)
			found.First = c.agreement(now[r], now[0])
			if before != nil {
				found.Before = c.agreement(now[r], before[r])
			}
			if batches > 1 {
				found.Batches = c.agreement(now[r][1:], now[r][:batches-1])
			}
			n.Rules = append(n.Rules, found)
		}
		before = now
		return n, nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// check returns a config with the attack.
func (o MaskOptions) check(arch nn.Arch) (cureml.Config, error) {
	base := cureml.Defaults("cure")
	base.Arch, base.Attack = arch, o.Attack
	if len(o.Rules) == 0 {
		return base, fmt.Errorf("analysis: no rules: want at least one way to choose what is conserved")
	}
	for i, r := range o.Rules {
		if slices.ContainsFunc(o.Rules[:i], func(other MaskRule) bool { return other.Name == r.Name }) {
			return base, fmt.Errorf("analysis: two rules are called %q", r.Name)
		}
		c := base
		c.Cure = r.Cure
		if err := cmp.Or(c.Validate(), checkPercentile(r.Cure)); err != nil {
			return base, fmt.Errorf("%w (rule %s)", err, r.Name)
		}
	}
	return base, nil
}
