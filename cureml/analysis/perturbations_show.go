package analysis

import (
	"fmt"
	"math"
	"slices"

	"cure/data"
	"cure/viz"
)

// Pictures are accuracy over eps, the distribution of the distances and, for the examples, their distances and their
// perturbations.
func (r *Perturbations) Pictures() (list []Picture, err error) {
	add := func(name string, draw func() (*viz.Figure, error)) {
		if err != nil {
			return
		}
		var fig *viz.Figure
		if fig, err = draw(); err == nil {
			list = append(list, Picture{name, fig})
		}
	}
	add("accuracy", r.AccuracyCurves)
	for _, n := range r.Networks {
		if all := n.attacked(); len(all) > 0 && !math.IsInf(all[0], 1) {
			add("distribution", r.Distribution)
			break
		}
	}
	if len(r.Examples) > 0 {
		add("images", r.ImageBars)
		add("examples", r.ExampleGrid)
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// AccuracyCurves draws the accuracy of each network under the best search over its budget eps, up to where 95 % of the
// distances lie.
func (r *Perturbations) AccuracyCurves() (*viz.Figure, error) {
	u := r.unit()
	opt := viz.CurvesOptions{Title: "Accuracy against eps, for the nearest image that any search found", XLabel: u.label, YLabel: "accuracy (%)",
		YRange: [2]float64{0, 100}}
	var series []viz.Series
	end := 1.25 * u.scale * u.budget
	for _, n := range r.Networks {
		series = append(series, n.Curve(u.scale))
		if q := n.Quantile(.95); q != Missing {
			end = max(end, u.scale*q)
		}
	}
	if end > 0 {
		opt.XRange = [2]float64{0, end}
	}
	if u.budget > 0 {
		opt.VLines = []viz.VLine{{X: u.scale * u.budget, Label: u.mark}}
	}
	for i, s := range series { // to the right border
		if last := len(s.X) - 1; s.X[last] < end {
			series[i].X, series[i].Y = append(s.X, end), append(s.Y, s.Y[last])
		}
	}
	return viz.Curves(opt, series...)
}

// Distribution draws, of the images that a network gets right, the share whose distance is at most eps, with a logarithmic
// axis.
func (r *Perturbations) Distribution() (*viz.Figure, error) {
	u := r.unit()
	var series []viz.Series
	var all [][]float64
	end := 0.0
	for _, n := range r.Networks {
		distances := n.attacked()
		all = append(all, distances)
		for i := range distances {
			distances[i] *= u.scale
		}
		if s := viz.ECDF(n.Name, distances); len(s.Y) > 0 {
			for i := range s.Y {
				s.Y[i] *= 100
			}
			series = append(series, s)
			end = max(end, s.X[len(s.X)-1])
		}
	}
	return viz.Curves(viz.CurvesOptions{XRange: [2]float64{leftEnd(all...), 1.1 * end}, Title: "How small the smallest perturbations are", XLabel: u.label + ", logarithmic",
		YLabel: "images fooled (%)", LogX: true, YRange: [2]float64{0, 100}}, series...)
}

// ImageBars draws the distances of the examples.
func (r *Perturbations) ImageBars() (*viz.Figure, error) {
	u := r.unit()
	var images []string
	series := make([]viz.BarSeries, len(r.Networks))
	for i, n := range r.Networks {
		series[i].Name = n.Name
	}
	for _, e := range r.Examples {
		images = append(images, fmt.Sprintf("%s (%d)", r.class(int(e.Label)), e.Image))
		for i, p := range e.Networks {
			series[i].Values = append(series[i].Values, u.scale*p.Distance)
		}
	}
	return viz.Bars(viz.BarsOptions{Title: "The smallest perturbation, image by image", YLabel: u.label, Format: "%.2g"}, images, series...)
}

// ExampleGrid draws, for each network, the examples, the nearest images that fool it and the differences, all amplified by
// the same factor, so that a stronger pattern is a larger perturbation: of all values of all differences, the hundredth part
// with the largest changes becomes black or white.
func (r *Perturbations) ExampleGrid() (*viz.Figure, error) {
	var changes []float64
	var clean []float32
	for _, e := range r.Examples {
		clean = append(clean, e.Clean...)
		for _, p := range e.Networks {
			for k, v := range p.Adv {
				changes = append(changes, math.Abs(float64(v)-float64(e.Clean[k])))
			}
		}
	}
	slices.Sort(changes)
	u := r.unit()
	before, err := viz.FloatImages(clean, data.Height, data.Width, data.Channels)
	if err != nil {
		return nil, err
	}
	var figs []*viz.Figure
	for i, n := range r.Networks {
		var adv []float32
		opt := viz.AdvTriplesOptions{Title: n.Name, Eps: changes[len(changes)*99/100], Cols: len(r.Examples)}
		for _, e := range r.Examples {
			adv = append(adv, e.Networks[i].Adv...)
			opt.CleanLabels = append(opt.CleanLabels, r.class(int(e.Label)))
			opt.AdvLabels = append(opt.AdvLabels, fmt.Sprintf("%s\n%s %s", r.class(e.Networks[i].Class), u.name, u.shown(e.Networks[i].Distance)))
		}
		after, err := viz.FloatImages(adv, data.Height, data.Width, data.Channels)
		if err != nil {
			return nil, err
		}
		fig, err := viz.AdvTriples(opt, before, after)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	return viz.Grid(1, figs...)
}

// class is the name of a class.
func (r *Perturbations) class(k int) string {
	if k < 0 || k >= len(r.Classes) {
		return fmt.Sprint(k)
	}
	return r.Classes[k]
}
