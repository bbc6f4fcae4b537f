package analysis

import (
	"math"

	"cure/cureml/nn"
)

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
