package analysis

import (
	"fmt"
	"slices"
	"strings"

	"cure/data/corrupt"
	"cure/viz"
)

// Pictures are bars of the groups, accuracy over severity, a radar of the corruptions and, as in the paper, bars of every
// corruption at severity 3.
func (r *Corruptions) Pictures() (list []Picture, err error) {
	add := func(name string, draw func() (*viz.Figure, error)) {
		if err != nil {
			return
		}
		var fig *viz.Figure
		if fig, err = draw(); err == nil {
			list = append(list, Picture{name, fig})
		}
	}
	if len(r.groups()) > 0 {
		add("groups", r.GroupBars)
	}
	if slices.ContainsFunc(corrupt.Benchmark(), func(c corrupt.Corruption) bool { return slices.Contains(r.Names, c.Name) }) {
		add("severities", r.SeverityCurves)
	}
	if len(r.Names) >= 3 {
		add("radar", r.Radar)
	}
	add("severity-3", func() (*viz.Figure, error) { return r.SeverityBars(3) })
	if err != nil {
		return nil, err
	}
	return list, nil
}

// groups are those that were measured completely.
func (r *Corruptions) groups() (list []corrupt.Group) {
	for _, g := range corrupt.Groups() {
		if _, ok := r.Networks[0].Groups[g]; ok {
			list = append(list, g)
		}
	}
	return list
}

// GroupBars draws the accuracy of each network on clean images, in each group and over the 15 corruptions, with standard
// errors.
func (r *Corruptions) GroupBars() (*viz.Figure, error) {
	names := []string{"clean"}
	for _, g := range r.groups() {
		names = append(names, string(g))
	}
	if r.Networks[0].Mean != nil {
		names = append(names, "all 15")
	}
	var series []viz.BarSeries
	for _, n := range r.Networks {
		s := viz.BarSeries{Name: n.Name}
		add := func(e Estimate) { s.Values, s.Err = append(s.Values, accuracy(e.Value)), append(s.Err, 100*e.SE) }
		add(n.Clean)
		for _, g := range r.groups() {
			add(n.Groups[g])
		}
		if n.Mean != nil {
			add(*n.Mean)
		}
		series = append(series, s)
	}
	return viz.Bars(viz.BarsOptions{
		Title: "Corrupted images: mean over five severities", YLabel: "accuracy (%)", Format: "%.0f", YRange: [2]float64{0, 100},
	}, names, series...)
}

// SeverityCurves draws accuracy over severity for each group of corruptions, of which the extra ones are left out; severity
// 0 are the clean images.
func (r *Corruptions) SeverityCurves() (*viz.Figure, error) {
	var figs []*viz.Figure
	for _, g := range corrupt.Groups() {
		var series []viz.Series
		for _, n := range r.Networks {
			if y := n.bySeverity(g); y != nil {
				series = append(series, viz.Series{Name: n.Name, Y: y})
			}
		}
		if len(series) == 0 {
			continue
		}
		fig, err := viz.Curves(viz.CurvesOptions{
			Title: string(g), XLabel: "severity", YLabel: "accuracy (%)", Width: 9, Height: 6.5, YRange: [2]float64{0, 100}, Markers: true,
		}, series...)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	if len(figs) == 0 {
		return nil, fmt.Errorf("analysis: only extra corruptions were measured, which belong to no mean")
	}
	return viz.Grid(2, figs...)
}

// bySeverity is the accuracy on clean images and then the mean over the corruptions of a group that were measured and count,
// severity by severity; nil if there is none.
func (n CorruptedNetwork) bySeverity(g corrupt.Group) []float64 {
	y := []float64{accuracy(n.Clean.Value), 0, 0, 0, 0, 0}
	count := 0.0
	for _, c := range corrupt.Benchmark() {
		errors, ok := n.Errors[c.Name]
		if !ok || c.Group != g {
			continue
		}
		count++
		for s, e := range errors {
			y[s+1] += accuracy(e)
		}
	}
	if count == 0 {
		return nil
	}
	for s := range corrupt.Severities {
		y[s+1] /= count
	}
	return y
}

// Radar draws a polygon for each network, with a spoke for each corruption: accuracy, mean over the severities.
func (r *Corruptions) Radar() (*viz.Figure, error) {
	var series []viz.RadarSeries
	for _, n := range r.Networks {
		s := viz.RadarSeries{Name: n.Name}
		for _, name := range r.grouped() {
			s.Values = append(s.Values, accuracy(n.overSeverities(name)))
		}
		series = append(series, s)
	}
	return viz.Radar(viz.RadarOptions{Title: "Accuracy (%) under each corruption, mean over five severities", Width: 15, Height: 13,
		Range: [2]float64{0, 100}}, spaced(r.grouped()), series...)
}

// SeverityBars draws the accuracy under each corruption at one severity.
func (r *Corruptions) SeverityBars(severity int) (*viz.Figure, error) {
	if severity < 1 || severity > corrupt.Severities {
		return nil, fmt.Errorf("analysis: severity %d: want 1 to %d", severity, corrupt.Severities)
	}
	var series []viz.BarSeries
	for _, n := range r.Networks {
		s := viz.BarSeries{Name: n.Name}
		for _, name := range r.grouped() {
			s.Values = append(s.Values, accuracy(n.Errors[name][severity-1]))
		}
		series = append(series, s)
	}
	return viz.Bars(viz.BarsOptions{
		Title: fmt.Sprintf("Every corruption at severity %d", severity), YLabel: "accuracy (%)", Format: "%.0f", Width: 24, YRange: [2]float64{0, 100},
	}, spaced(r.grouped()), series...)
}

// grouped are the corruptions in the order of their groups, the extra ones last in each.
func (r *Corruptions) grouped() (names []string) {
	for _, g := range corrupt.Groups() {
		for _, name := range r.Names {
			if c, err := corrupt.Lookup(name); err == nil && c.Group == g {
				names = append(names, name)
			}
		}
	}
	return names
}

// spaced are the names of corruptions for people.
func spaced(names []string) (list []string) {
	for _, name := range names {
		list = append(list, strings.ReplaceAll(name, "_", " "))
	}
	return list
}
