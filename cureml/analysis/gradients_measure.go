package analysis

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/data"
)

// comparison has the programs of [MeasureGradients].
type comparison struct {
	GradientOptions
	layers  []nn.Tensor
	attack  *ascent
	slope   *program // x, y -> loss, gradients by layer
	compare *program // n, a by layer -> sums [layers * sumsOfLayer]
}

// sumsOfLayer are Σn², Σa², Σna, Σn⁴, Σa⁴, and how many weights have gradients of different signs, reach the percentile of
// their layer, and that of all layers.
const sumsOfLayer = 8

func newComparison(s *nn.State, o GradientOptions) *comparison {
	c := &comparison{GradientOptions: o, attack: newAscent(o.PGD, nn.Eval)}
	for _, t := range s.Tensors {
		if t.Kind == nn.ConvWeight || t.Kind == nn.LinearWeight {
			c.layers = append(c.layers, t)
		}
	}
	// The mean cross-entropy of images, and its gradients by the weights of every layer.
	c.slope = newProgram(func(s *subject, weights, in []*Node) []*Node {
		net := s.net(weights)
		loss := ReduceAllMean(attacks.CrossEntropy(net.Forward(nn.TrainFrozen, in[0]), in[1]))
		var by []*Node
		for _, t := range c.layers {
			by = append(by, net.Vars[t.Name])
		}
		return append([]*Node{loss}, Gradient(loss, by...)...)
	})
	c.compare = newProgram(func(_ *subject, _, in []*Node) []*Node { return c.sums(in[:len(c.layers)], in[len(c.layers):]) })
	return c
}

// Close frees the programs.
func (c *comparison) Close() { closeAll(c.attack, c.slope, c.compare) }

// sizes are the layers and how many weights they have.
func (c *comparison) sizes() (layers []WeightLayer) {
	for _, t := range c.layers {
		layers = append(layers, WeightLayer{layerName(t), t.Size()})
	}
	return layers
}

// sums are sumsOfLayer values for each layer.
func (c *comparison) sums(nat, adv []*Node) []*Node {
	scores := make([]*Node, len(nat))
	for i := range nat {
		scores[i] = c.Cure.Prominence(nat[i], adv[i])
	}
	one, own := percentileOfAll(scores, c.Cure.Percentile), optim.Percentile(scores, c.Cure.Percentile)
	count := func(yes *Node) *Node { return ReduceAllSum(ConvertDType(yes, dtypes.Float64)) }
	var rows []*Node
	for i := range nat {
		n, a, sum := ConvertDType(nat[i], dtypes.Float64), ConvertDType(adv[i], dtypes.Float64), ReduceAllSum
		for _, v := range []*Node{sum(Square(n)), sum(Square(a)), sum(Mul(n, a)), sum(Square(Square(n))), sum(Square(Square(a))),
			count(LessThan(Mul(Sign(n), Sign(a)), ScalarZero(n.Graph(), n.DType()))),
			count(GreaterOrEqual(scores[i], own[i])), count(GreaterOrEqual(scores[i], one))} {
			rows = append(rows, Reshape(v, 1))
		}
	}
	return []*Node{Concatenate(rows, 0)}
}

// percentileOfAll is the percentile of all entries of some tensors together.
func percentileOfAll(scores []*Node, percentile float64) *Node {
	flat := make([]*Node, len(scores))
	for i, s := range scores {
		flat[i] = Reshape(s, -1)
	}
	return optim.Percentile([]*Node{Concatenate(flat, 0)}, percentile)[0]
}

// columns are the values by layer.
func (n *NetworkGradients) columns() []*[]float64 {
	return []*[]float64{&n.Weight, &n.Nat, &n.Adv, &n.Cosine, &n.Conflict, &n.NatSpread, &n.AdvSpread, &n.Updated, &n.UpdatedWhole}
}

// measure takes the means over batches of one network.
func (c *comparison) measure(ctx context.Context, s *subject, set *data.Set, batches int) (n NetworkGradients, err error) {
	n.Name = s.Name
	for _, by := range n.columns() {
		*by = make([]float64, len(c.layers)+1)
	}
	all := 0.0
	for i, t := range c.layers {
		n.Weight[i] = length(s.Values[t.Name])
		all += n.Weight[i] * n.Weight[i]
	}
	n.Weight[len(c.layers)] = math.Sqrt(all)
	err = eachAttacked(ctx, s, c.attack, set, batches, c.Batch, c.Seed, func(b *batch, adv *tensors.Tensor) error {
		return c.add(ctx, s, b, adv, 1/float64(batches), &n)
	})
	return n, err
}

// add takes a batch into the means, with a weight.
func (c *comparison) add(ctx context.Context, s *subject, b *batch, adv *tensors.Tensor, share float64, n *NetworkGradients) error {
	var slopes []*tensors.Tensor
	defer func() { free(slopes...) }()
	for _, of := range []struct {
		x    *tensors.Tensor
		loss *float64
	}{{b.x, &n.NatLoss}, {adv, &n.AdvLoss}} {
		out, err := c.slope.run(ctx, s, of.x, b.y)
		if err != nil {
			return err
		}
		slopes = append(slopes, out[1:]...)
		loss, err := read(out[0], 1)
		if err != nil {
			return err
		}
		*of.loss += share * loss[0]
	}
	out, err := c.compare.run(ctx, s, slopes...)
	if err != nil {
		return err
	}
	sums, err := take[float64](out[0])
	if err != nil {
		return err
	}
	all, total := make([]float64, sumsOfLayer), 0
	for i, t := range c.layers {
		for k, v := range sums[sumsOfLayer*i : sumsOfLayer*(i+1)] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("sum %d of the gradients of %s is %v", k, t.Name, v)
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
