package analysis

import (
	"fmt"
	"slices"
	"strings"

	"cure/viz"
)

// SimilarityKind is what a comparison compares.
type SimilarityKind string

const (
	WithinNetwork   SimilarityKind = "within"       // a network on clean images with itself
	UnderAttack     SimilarityKind = "under-attack" // a network on clean and on attacked images
	BetweenNetworks SimilarityKind = "between"      // two networks on clean images
)

// Kind is what comparison c compares: views come in pairs, clean and attacked, a pair for each network.
func (s *Similarity) Kind(c Comparison) SimilarityKind {
	switch {
	case c.A/2 != c.B/2:
		return BetweenNetworks
	case c.A != c.B:
		return UnderAttack
	}
	return WithinNetwork
}

// Of lists the comparisons of a kind.
func (s *Similarity) Of(kind SimilarityKind) (list []Comparison) {
	for _, c := range s.Comparisons {
		if s.Kind(c) == kind {
			list = append(list, c)
		}
	}
	return list
}

// label names a side of a comparison.
func (s *Similarity) label(view int) string {
	v := s.Views[view]
	if v.Attacked {
		return v.Network + ", attacked"
	}
	return v.Network
}

// Maps are heat maps of a measure of all comparisons of a kind, up to three side by side.
func (s *Similarity) Maps(name string, kind SimilarityKind) (*viz.Figure, error) {
	m, err := similarityMeasure(name)
	if err != nil {
		return nil, err
	}
	var figs []*viz.Figure
	for _, c := range s.Of(kind) {
		title := s.Views[c.A].Network
		switch kind {
		case UnderAttack:
			title += ": clean and attacked"
		case BetweenNetworks:
			title += " and " + s.Views[c.B].Network
		}
		fig, err := s.heat(c, m, title)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	if len(figs) == 0 {
		return nil, fmt.Errorf("analysis: no comparison of kind %q", kind)
	}
	return viz.Grid(3, figs...)
}

// AllMeasures are heat maps of one comparison under every measure.
func (s *Similarity) AllMeasures(c Comparison) (*viz.Figure, error) {
	var figs []*viz.Figure
	for _, name := range s.Measures {
		m, err := similarityMeasure(name)
		if err != nil {
			return nil, err
		}
		fig, err := s.heat(c, m, m.title)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	return viz.Grid(3, figs...)
}

// heat is one heat map; all of a measure have the same colours.
func (s *Similarity) heat(c Comparison, m layerMeasure, title string) (*viz.Figure, error) {
	opt := viz.HeatmapOptions{Title: title, Width: 8.5, Rows: s.Views[c.A].Layers, Cols: s.Views[c.B].Layers, NoValues: true,
		YLabel: s.label(c.A), XLabel: s.label(c.B), Range: [2]float64{0, 1}, ColorLabel: m.title}
	if m.name == "procrustes" {
		opt.Range[1] = 2
	}
	return viz.Heatmap(opt, c.Values[m.name])
}

// SameLayer are the values of a measure between each layer and itself: clean against attacked images, and networks
// against each other.
func (s *Similarity) SameLayer(name string) (*viz.Figure, error) {
	m, err := similarityMeasure(name)
	if err != nil {
		return nil, err
	}
	var figs []*viz.Figure
	for _, kind := range []SimilarityKind{UnderAttack, BetweenNetworks} {
		var series []viz.BarSeries
		layers := s.Views[0].Layers
		for _, c := range s.Of(kind) {
			if d := diagonal(c.Values[name]); len(d) == len(layers) && len(c.Values[name][0]) == len(layers) {
				series = append(series, viz.BarSeries{Name: s.pair(c), Values: d})
			}
		}
		if len(series) == 0 {
			continue
		}
		title := map[SimilarityKind]string{UnderAttack: "Each layer on clean and on attacked images", BetweenNetworks: "The same layer of two networks, clean images"}[kind]
		fig, err := viz.Bars(viz.BarsOptions{Title: title, YLabel: m.title, Width: 19, Height: 8, NoValues: true}, layers, series...)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	if len(figs) == 0 {
		return nil, fmt.Errorf("analysis: the networks have no layers in common to compare by %s", name)
	}
	return viz.Grid(1, figs...)
}

// pair names a comparison.
func (s *Similarity) pair(c Comparison) string {
	if s.Kind(c) == BetweenNetworks {
		return s.Views[c.A].Network + " – " + s.Views[c.B].Network
	}
	return s.Views[c.A].Network
}

func diagonal(m [][]float64) (d []float64) {
	for i := range min(len(m), len(m[0])) {
		d = append(d, m[i][i])
	}
	return d
}

// Tables are the accuracies of the views, and the measures between each layer and itself as means over the layers.
func (s *Similarity) Tables() []*viz.Table {
	views := &viz.Table{Title: fmt.Sprintf("Accuracy in %% on %d images of %s", s.N, s.Images), Header: []string{"network", "clean", "attacked"},
		Notes: []string{"attacked: " + s.Attack + ", on every image"}}
	for i := 0; i+1 < len(s.Views); i += 2 {
		views.Rows = append(views.Rows, []string{s.Views[i].Network, fmt.Sprintf("%.1f", 100*s.Views[i].Accuracy), fmt.Sprintf("%.1f", 100*s.Views[i+1].Accuracy)})
	}
	same := &viz.Table{Title: "Each layer and its counterpart, mean over the layers", Header: []string{"compared"}}
	for _, name := range s.Measures {
		same.Header = append(same.Header, name)
	}
	for _, kind := range []SimilarityKind{UnderAttack, BetweenNetworks} {
		for _, c := range s.Of(kind) {
			cells := []string{s.pair(c)}
			if kind == UnderAttack {
				cells[0] += ", clean – attacked"
			}
			for _, name := range s.Measures {
				d := diagonal(c.Values[name])
				var mean float64
				for _, v := range d {
					mean += v / float64(len(d))
				}
				cells = append(cells, fmt.Sprintf("%.3f", mean))
			}
			same.Rows = append(same.Rows, cells)
		}
	}
	if slices.Contains(s.Measures, "procrustes") {
		same.Notes = []string{"procrustes is a distance, from 0 for equal representations to 2; the others are 1 for equal ones"}
	}
	return []*viz.Table{views, same}
}

// Pictures are the heat maps of every measure and kind, one comparison under all measures, and the bars of [Similarity.SameLayer].
func (s *Similarity) Pictures() (list []Picture, err error) {
	add := func(name string, fig *viz.Figure, failed error) {
		if err == nil {
			err = failed
			list = append(list, Picture{Name: name, Figure: fig})
		}
	}
	for _, name := range s.Measures {
		for _, kind := range []SimilarityKind{WithinNetwork, UnderAttack, BetweenNetworks} {
			if len(s.Of(kind)) == 0 {
				continue
			}
			fig, failed := s.Maps(name, kind)
			add(name+"-"+string(kind), fig, failed)
		}
		fig, failed := s.SameLayer(name)
		add(name+"-same-layer", fig, failed)
	}
	for _, c := range s.Of(UnderAttack) {
		fig, failed := s.AllMeasures(c)
		add("all-measures-"+pictureName(s.Views[c.A].Network), fig, failed)
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// pictureName makes lower-case words joined by hyphens.
func pictureName(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') })
	return strings.Join(words, "-")
}
