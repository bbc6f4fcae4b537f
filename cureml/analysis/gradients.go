package analysis

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/data"
)

// GradientOptions are the settings of [MeasureGradients].
type GradientOptions struct {
	// PGD makes the attacked images, on the network in mode E.
	PGD attacks.PGD
	// Cure has the Percentile and the Alpha of the prominence that decides what is updated.
	Cure  cureml.CureConfig
	Batch int // images of a batch, whose mean loss is differentiated
	Seed  uint64
}

// Gradients are those of the loss on clean images and of the loss on attacked ones, layer by layer.
type Gradients struct {
	Data       string  `json:"data"`
	Batch      int     `json:"batch"`
	Batches    int     `json:"batches"`
	Eps        float64 `json:"eps"`
	Steps      int     `json:"steps"`
	Percentile float64 `json:"percentile"`
	Alpha      float64 `json:"alpha"`
	// Layers are the convolutions and the classifier, by their names in PyTorch, and all of these together.
	Layers   []WeightLayer      `json:"layers"`
	Networks []NetworkGradients `json:"networks"`
}

// WeightLayer is a layer and how many weights it has.
type WeightLayer struct {
	Name string `json:"name"`
	Size int    `json:"size"`
}

// NetworkGradients are those of one network: means over batches, a value for each layer. n and a are the gradients of a
// layer's weights by mean CE(f(x), y) and by mean CE(f(x'), y), with batch norm in mode T0, as in training.
type NetworkGradients struct {
	Name  string `json:"name"`
	Epoch int    `json:"epoch"` // -1 where it is not known
	// NatLoss and AdvLoss are the two cross-entropies.
	NatLoss float64 `json:"nat_loss"`
	AdvLoss float64 `json:"adv_loss"`
	// Weight, Nat and Adv are the Euclidean lengths of weights, n and a.
	Weight []float64 `json:"weight"`
	Nat    []float64 `json:"nat"`
	Adv    []float64 `json:"adv"`
	// Cosine is n·a / (‖n‖‖a‖), 0 where one of them is 0. Conflict is the share of weights where they differ in sign.
	Cosine   []float64 `json:"cosine"`
	Conflict []float64 `json:"conflict"`
	// NatSpread and AdvSpread are (Σg²)² / (N·Σg⁴): 1 where all N entries are equally large, 1/N where one is all there is;
	// 0 without a gradient.
	NatSpread []float64 `json:"nat_spread"`
	AdvSpread []float64 `json:"adv_spread"`
	// Updated is the share of weights whose prominence reaches the percentile of their layer, which CURE updates.
	// UpdatedWhole is the same with one threshold for all of these layers together, which shows where prominence is.
	Updated      []float64 `json:"updated"`
	UpdatedWhole []float64 `json:"updated_whole"`
}

// MeasureGradients differentiates the loss on clean and on attacked images of a set, in whole batches. The networks must
// have one form. Prominence is Eq. 6 of CURE (arXiv 2401.14948), its percentile taken over a layer at a time as in the paper
// and in the released code, so that the share of updated weights is the same in every layer, up to ties; the paper's
// picture of shares that differ needs another rule, such as that of UpdatedWhole.
func MeasureGradients(ctx context.Context, device compute.Backend, moments []Moment, set *data.Set, o GradientOptions) (*Gradients, error) {
	if err := cmp.Or(checkMoments(moments, set), checkPercentile(o.Cure)); err != nil {
		return nil, err
	}
	batches, err := wholeBatches(set, o.Batch)
	if err != nil {
		return nil, err
	}
	if err := o.PGD.Validate(moments[0].Arch.Classes); err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	c := newComparison(moments[0].State, o)
	defer c.Close()
	g := &Gradients{Data: set.Name, Batch: o.Batch, Batches: batches, Eps: o.PGD.Ball.Eps, Steps: o.PGD.Steps,
		Percentile: o.Cure.Percentile, Alpha: o.Cure.Alpha, Layers: withAll(c.sizes())}
	g.Networks, err = measureEach(device, stills(moments), func(i int, s *subject) (NetworkGradients, error) {
		n, err := c.measure(ctx, s, set, batches)
		n.Epoch = moments[i].Epoch
		return n, err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// layerName is that of a layer's weights.
func layerName(t nn.Tensor) string { return strings.TrimSuffix(t.Name, ".weight") }

// withAll adds a layer that stands for all of them.
func withAll(layers []WeightLayer) []WeightLayer {
	all := WeightLayer{Name: "all"}
	for _, l := range layers {
		all.Size += l.Size
	}
	return append(layers, all)
}

// checkPercentile wants a percentile that leaves something to see.
func checkPercentile(c cureml.CureConfig) error {
	if !(c.Percentile > 0 && c.Percentile < 1) {
		return fmt.Errorf("analysis: percentile %v: want a share in (0, 1)", c.Percentile)
	}
	if !(c.Alpha >= 0 && c.Alpha <= 1) {
		return fmt.Errorf("analysis: alpha %v: want a share in [0, 1]", c.Alpha)
	}
	return nil
}
