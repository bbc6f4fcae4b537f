package analysis

import (
	"context"
	"slices"
	"strings"

	"cure/cureml/similarity"
	"cure/data"
)

// comparer holds the programs of [CompareLayers].
type comparer struct {
	opt     SimilarityOptions
	set     *data.Set
	attack  *ascent
	grams   *similarity.Grams
	readers perForm[*similarity.Reader]
}

// Close frees the programs.
func (c *comparer) Close() {
	closeAll(c.attack, &c.readers)
	if c.grams != nil {
		c.grams.Close()
	}
}

// preparedView is a view with its layers.
type preparedView struct {
	SimilarityView
	sides []side
}

// views are a network on clean images and on images attacked through it.
func (c *comparer) views(ctx context.Context, s *subject) ([]*preparedView, error) {
	images := pixels(c.set.Images)
	clean, err := c.view(ctx, s, images)
	if err != nil {
		return nil, err
	}
	adv, err := c.attack.climbAll(ctx, s, images, c.set.Labels, c.opt.Batch, c.opt.Seed)
	if err != nil {
		return nil, err
	}
	attacked, err := c.view(ctx, s, adv)
	if err != nil {
		return nil, err
	}
	attacked.Attacked = true
	return []*preparedView{clean, attacked}, nil
}

func (c *comparer) view(ctx context.Context, of *subject, images []float32) (*preparedView, error) {
	reader, err := c.readers.of(of, func() (*similarity.Reader, error) {
		return similarity.NewReader(of.Backend, of.Arch, c.opt.Batch, false)
	})
	if err != nil {
		return nil, err
	}
	layers, err := reader.Read(ctx, of.State, images)
	if err != nil {
		return nil, err
	}
	v := &preparedView{SimilarityView: SimilarityView{Network: of.Name}}
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
