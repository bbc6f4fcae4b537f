package analysis

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"cure/cureml/nn"
	"cure/cureml/similarity"
	"cure/data"
)

// comparer holds the programs of [CompareLayers].
type comparer struct {
	opt     SimilarityOptions
	set     *data.Set
	device  compute.Backend
	climber *climber
	grams   *similarity.Grams
	reader  *similarity.Reader
	arch    nn.Arch // of reader
}

func (c *comparer) close() {
	c.climber.step.close()
	if c.grams != nil {
		c.grams.Close()
	}
	if c.reader != nil {
		c.reader.Close()
	}
}

// preparedView is a view with its layers.
type preparedView struct {
	SimilarityView
	sides []side
}

// views are a network on clean images and on images attacked through it.
func (c *comparer) views(ctx context.Context, net Network) (clean, attacked *preparedView, err error) {
	if c.reader != nil && !reflect.DeepEqual(c.arch, net.Arch) {
		c.reader.Close()
		c.reader = nil
	}
	if c.reader == nil {
		c.arch = net.Arch
		if c.reader, err = similarity.NewReader(c.device, net.Arch, c.opt.Batch, false); err != nil {
			return nil, nil, err
		}
	}
	images := unitPixels(c.set)
	if clean, err = c.view(ctx, net, images); err != nil {
		return nil, nil, err
	}
	s := newSubject(net)
	defer s.free()
	adv, err := c.climber.climb(ctx, s, images, c.set.Labels, c.opt.Seed)
	if err != nil {
		return nil, nil, err
	}
	if attacked, err = c.view(ctx, net, adv); err == nil {
		attacked.Attacked = true
	}
	return clean, attacked, err
}

func (c *comparer) view(ctx context.Context, net Network, images []float32) (*preparedView, error) {
	layers, err := c.reader.Read(ctx, net.State, images)
	if err != nil {
		return nil, err
	}
	v := &preparedView{SimilarityView: SimilarityView{Network: net.Name}}
	for i, l := range layers {
		s, err := c.side(l)
		if err != nil {
			return nil, err
		}
		layers[i].Values = nil // as large as everything else together
		v.Layers, v.sides = append(v.Layers, l.Name), append(v.sides, s)
		if i == len(layers)-1 {
			v.Accuracy = accuracyOf(l.Values, c.set.Labels)
		}
	}
	return v, nil
}

// side prepares what the measures ask for.
func (c *comparer) side(l similarity.Layer) (s side, err error) {
	asked := func(prefix string) bool {
		return slices.ContainsFunc(c.opt.Measures, func(m string) bool { return strings.HasPrefix(m, prefix) })
	}
	if asked("cka") {
		if s.linear, err = c.grams.Linear(l.Values, c.set.Len()); err != nil {
			return s, err
		}
	}
	if asked("cka-rbf") {
		s.rbf = similarity.RBFGram(s.linear, c.opt.Threshold)
	}
	if asked("cca") || asked("svcca") || asked("pwcca") || asked("procrustes") {
		s.space, err = similarity.NewSpace(l.Pooled().Dense())
	}
	return s, err
}

// accuracyOf is the share of logits [N, C] whose first largest is the label's.
func accuracyOf(logits []float32, labels []int32) float64 {
	right := 0
	for i, y := range labels {
		if largestOf(rowOf(logits, i, len(labels))) == int(y) {
			right++
		}
	}
	return float64(right) / float64(len(labels))
}

// row is row i of n.
func rowOf[T any](v []T, i, n int) []T {
	w := len(v) / n
	return v[i*w : (i+1)*w]
}

// largestOf is the first place of the largest value.
func largestOf(v []float32) int {
	best := 0
	for k, x := range v {
		if x > v[best] {
			best = k
		}
	}
	return best
}
