package analysis

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
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
	batches, err := wholeBatches(moments, set, o.Batch)
	if err != nil {
		return nil, err
	}
	if err := o.PGD.Validate(moments[0].Arch.Classes); err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	if err := checkPercentile(o.Cure); err != nil {
		return nil, err
	}
	e, err := newExam(device, moments[0].State, o.PGD, nn.Eval)
	if err != nil {
		return nil, err
	}
	defer e.close()
	c, err := newComparison(e, o.Cure)
	if err != nil {
		return nil, err
	}
	g := &Gradients{Data: set.Name, Batch: o.Batch, Batches: batches, Eps: o.PGD.Ball.Eps, Steps: o.PGD.Steps,
		Percentile: o.Cure.Percentile, Alpha: o.Cure.Alpha}
	all := WeightLayer{Name: "all"}
	for _, t := range c.layers {
		g.Layers = append(g.Layers, WeightLayer{layerName(t), t.Size()})
		all.Size += t.Size()
	}
	g.Layers = append(g.Layers, all)
	for _, m := range moments {
		n := NetworkGradients{Name: m.Name, Epoch: m.Epoch}
		for _, by := range n.columns() {
			*by = make([]float64, len(g.Layers))
		}
		if err := c.measure(ctx, m, set, o, batches, &n); err != nil {
			return nil, fmt.Errorf("%w (network %s)", err, m.Name)
		}
		g.Networks = append(g.Networks, n)
	}
	return g, nil
}

// layerName is that of a layer's weights.
func layerName(t nn.Tensor) string { return strings.TrimSuffix(t.Name, ".weight") }

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

// columns are the values by layer.
func (n *NetworkGradients) columns() []*[]float64 {
	return []*[]float64{&n.Weight, &n.Nat, &n.Adv, &n.Cosine, &n.Conflict, &n.NatSpread, &n.AdvSpread, &n.Updated, &n.UpdatedWhole}
}

// comparison has the programs of [MeasureGradients].
type comparison struct {
	*exam
	layers  []nn.Tensor
	slope   *Exec // weights, x, y -> loss, gradients by layer
	compare *Exec // n, a by layer -> sums [layers * sumsOfLayer]
}

// sumsOfLayer are Σn², Σa², Σna, Σn⁴, Σa⁴, and how many weights have gradients of different signs, reach the percentile of
// their layer, and that of all layers.
const sumsOfLayer = 8

func newComparison(e *exam, cure cureml.CureConfig) (c *comparison, err error) {
	c = &comparison{exam: e}
	for _, t := range e.list {
		if t.Kind == nn.ConvWeight || t.Kind == nn.LinearWeight {
			c.layers = append(c.layers, t)
		}
	}
	if c.slope, err = e.program(func(in []*Node) []*Node {
		net, in := e.net(in)
		return c.slopes(net, in[0], in[1])
	}); err != nil {
		return nil, err
	}
	c.compare, err = e.program(func(in []*Node) []*Node {
		nat, adv := in[:len(c.layers)], in[len(c.layers):]
		scores := make([]*Node, len(nat))
		for i := range nat {
			scores[i] = cure.Prominence(nat[i], adv[i])
		}
		updated, whole := keptCounts(scores, cure.Percentile)
		var rows []*Node
		for i := range nat {
			n, a := ConvertDType(nat[i], dtypes.Float64), ConvertDType(adv[i], dtypes.Float64)
			sum := ReduceAllSum
			conflict := LessThan(Mul(Sign(n), Sign(a)), ScalarZero(n.Graph(), n.DType()))
			for _, v := range []*Node{sum(Square(n)), sum(Square(a)), sum(Mul(n, a)), sum(Square(Square(n))), sum(Square(Square(a))),
				sum(ConvertDType(conflict, dtypes.Float64)), updated[i], whole[i]} {
				rows = append(rows, Reshape(v, 1))
			}
		}
		return []*Node{Concatenate(rows, 0)}
	})
	return c, err
}

// slopes are the mean cross-entropy of images, and its gradients by the weights of every layer.
func (c *comparison) slopes(net *nn.Net, x, y *Node) []*Node {
	loss := ReduceAllMean(attacks.CrossEntropy(net.Forward(nn.TrainFrozen, x), y))
	var weights []*Node
	for _, t := range c.layers {
		weights = append(weights, net.Vars[t.Name])
	}
	return append([]*Node{loss}, Gradient(loss, weights...)...)
}

// keptCounts is how many entries of each tensor of scores reach the percentile of the tensor, and how many that of all
// tensors together, as float64.
func keptCounts(scores []*Node, percentile float64) (own, whole []*Node) {
	count := func(s, threshold *Node) *Node {
		return ReduceAllSum(ConvertDType(GreaterOrEqual(s, threshold), dtypes.Float64))
	}
	flat := make([]*Node, len(scores))
	for i, s := range scores {
		flat[i] = Reshape(s, -1)
	}
	one := optim.Percentile([]*Node{Concatenate(flat, 0)}, percentile)[0]
	for i, threshold := range optim.Percentile(scores, percentile) {
		own, whole = append(own, count(scores[i], threshold)), append(whole, count(scores[i], one))
	}
	return own, whole
}

// measure adds the means over batches of one network.
func (c *comparison) measure(ctx context.Context, m Moment, set *data.Set, o GradientOptions, batches int, n *NetworkGradients) error {
	weights := c.onDevice(m.State)
	defer discard(weights...)
	all := 0.0
	for i, t := range c.layers {
		n.Weight[i] = length(m.Values[t.Name])
		all += n.Weight[i] * n.Weight[i]
	}
	n.Weight[len(c.layers)] = math.Sqrt(all)
	for k := range batches {
		b, err := c.batch(ctx, weights, set, o.Batch, k, o.Seed)
		if err != nil {
			return err
		}
		err = c.add(ctx, weights, b, 1/float64(batches), n)
		b.free()
		if err != nil {
			return err
		}
	}
	return nil
}

// add takes a batch into the means, with a weight.
func (c *comparison) add(ctx context.Context, weights []*tensors.Tensor, b attackedBatch, share float64, n *NetworkGradients) error {
	nat, err := examine(ctx, c.slope, weights, []*tensors.Tensor{b.x, b.y})
	if err != nil {
		return err
	}
	adv, err := examine(ctx, c.slope, weights, []*tensors.Tensor{b.adv, b.y})
	if err != nil {
		discard(nat...)
		return err
	}
	out, err := examine(ctx, c.compare, nat[1:], adv[1:])
	discard(append(nat[1:], adv[1:]...)...)
	if err != nil {
		return err
	}
	for loss, t := range map[*float64]*tensors.Tensor{&n.NatLoss: nat[0], &n.AdvLoss: adv[0]} {
		v, err := onHost[float32](t)
		if err != nil {
			return err
		}
		*loss += share * float64(v[0])
	}
	sums, err := onHost[float64](out[0])
	if err != nil {
		return err
	}
	all, total := make([]float64, sumsOfLayer), 0
	for i, t := range c.layers {
		for k, v := range sums[sumsOfLayer*i : sumsOfLayer*(i+1)] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("analysis: sum %d of the gradients of %s is %v", k, t.Name, v)
			}
			all[k] += v
		}
		total += t.Size()
	}
	sums = append(sums, all...)
	for i := range len(c.layers) + 1 {
		s, size := sums[sumsOfLayer*i:], float64(total)
		if i < len(c.layers) {
			size = float64(c.layers[i].Size())
		}
		for column, v := range map[*[]float64]float64{
			&n.Nat: math.Sqrt(s[0]), &n.Adv: math.Sqrt(s[1]), &n.Cosine: over(s[2], math.Sqrt(s[0])*math.Sqrt(s[1])),
			&n.NatSpread: over(s[0]*s[0], size*s[3]), &n.AdvSpread: over(s[1]*s[1], size*s[4]),
			&n.Conflict: s[5] / size, &n.Updated: s[6] / size, &n.UpdatedWhole: s[7] / size,
		} {
			(*column)[i] += share * v
		}
	}
	return nil
}

// over is a/b, and 0 where b is 0.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// length is the Euclidean length of all values.
func length(values []float32) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}
