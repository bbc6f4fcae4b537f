package analysis

import (
	"fmt"
	"math"

	"cure/viz"
)

// Tables says for each network, of a training for the first and the last, and rule what is conserved of the whole network,
// and for the first rule and the last network what is conserved of each layer.
func (m *Masks) Tables() []*viz.Table {
	all := len(m.Layers) - 1
	whole := &viz.Table{
		Title: fmt.Sprintf("What CURE conserves, over the whole network: %d batches of %d images of %s", m.Batches, m.Batch, m.Data),
		Header: []string{"network", "rule", "conserved (%)", "its share of the squared gradient (%)", "same in the next batch (%)",
			fmt.Sprintf("same by rule %q (%%)", m.Rules[0].Name), "same in the network before (%)", "same bits as in the first network (%)"},
		Notes: []string{"same: agreement of two masks, 2·|M∩M′| / (|M|+|M′|); two random choices of the share p agree by p"},
	}
	optional := func(v []float64) string {
		if len(v) == 0 {
			return "–"
		}
		return percents(v[all])
	}
	for _, n := range ends(m.Networks, func(n NetworkMasks) int { return n.Epoch }) {
		for r, rule := range n.Rules {
			whole.Rows = append(whole.Rows, []string{n.Name, m.Rules[r].Name, percents(rule.Conserved[all]), percents(rule.Dropped[all]),
				optional(rule.Batches), percents(rule.First[all]), optional(rule.Before), percents(n.Unmoved[all])})
		}
	}
	last := m.Networks[len(m.Networks)-1]
	layers := &viz.Table{
		Title: fmt.Sprintf("Layer by layer: %s, rule %q", last.Name, m.Rules[0].Name),
		Header: []string{"layer", "weights", "conserved (%)", "conserved, one threshold (%)", "its share of the squared gradient (%)",
			"same in the next batch (%)", "same bits as in the first network (%)"},
		Notes: []string{"one threshold: the percentile of the whole network's prominence instead of each tensor's"},
	}
	rule := last.Rules[0]
	for i, l := range m.Layers {
		next := "–"
		if len(rule.Batches) > 0 {
			next = percents(rule.Batches[i])
		}
		layers.Rows = append(layers.Rows, []string{l.Name, fmt.Sprint(l.Size), percents(rule.Conserved[i]), percents(rule.ConservedWhole[i]),
			percents(rule.Dropped[i]), next, percents(last.Unmoved[i])})
	}
	return []*viz.Table{whole, layers}
}

// Pictures are the agreements of masks over the networks, what one threshold would conserve and what masks drop layer by
// layer, and which weights have not moved since the first network.
func (m *Masks) Pictures() ([]Picture, error) {
	layers := make([]string, len(m.Layers))
	for i, l := range m.Layers {
		layers[i] = l.Name
	}
	var names, rules []string
	var one, dropped, unmoved [][]float64
	for _, n := range m.Networks {
		names, unmoved = append(names, n.Name), append(unmoved, times100(n.Unmoved))
		one = append(one, times100(n.Rules[0].ConservedWhole))
	}
	last := m.Networks[len(m.Networks)-1]
	for r, rule := range last.Rules {
		rules, dropped = append(rules, m.Rules[r].Name), append(dropped, times100(rule.Dropped))
	}
	list := []Picture{}
	add := func(name string, fig *viz.Figure, err error) error {
		if err == nil {
			list = append(list, Picture{name, fig})
		}
		return err
	}
	heat := func(name, title, label string, rows []string, values [][]float64, reach float64) error {
		fig, err := viz.Heatmap(viz.HeatmapOptions{Title: title, Rows: rows, Cols: layers, Format: "%.0f", ColorLabel: label, Width: 24,
			Range: [2]float64{0, reach}}, values)
		return add(name, fig, err)
	}
	fig, err := m.agreements()
	if err = add("agreement", fig, err); err != nil {
		return nil, err
	}
	if err := heat("one-threshold", fmt.Sprintf("Conserved if the whole network had one threshold, rule %q", m.Rules[0].Name), "conserved (%)", names, one, 100); err != nil {
		return nil, err
	}
	if err := heat("dropped", "Share of the squared gradient in conserved weights: "+last.Name, "of Σg² (%)", rules, dropped, highest(dropped)); err != nil {
		return nil, err
	}
	if len(names) > 1 {
		if err := heat("unmoved", "Weights with the same bits as in "+names[0], "same (%)", names[1:], unmoved[1:], 100); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// agreements are those of the whole network, with the share that chance gives.
func (m *Masks) agreements() (*viz.Figure, error) {
	all := len(m.Layers) - 1
	groups := make([]string, len(m.Networks))
	var series []viz.BarSeries
	column := func(name string, layers func(n NetworkMasks) []float64) {
		s, there := viz.BarSeries{Name: name}, false
		for i, n := range m.Networks {
			groups[i] = n.Name
			if v := layers(n); len(v) > 0 {
				there = true
				s.Values = append(s.Values, 100*v[all])
			} else {
				s.Values = append(s.Values, math.NaN()) // drawn as n/a
			}
		}
		if there {
			series = append(series, s)
		}
	}
	column("next batch", func(n NetworkMasks) []float64 { return n.Rules[0].Batches })
	column("network before", func(n NetworkMasks) []float64 { return n.Rules[0].Before })
	for r := 1; r < len(m.Rules); r++ {
		column("rule "+m.Rules[r].Name, func(n NetworkMasks) []float64 { return n.Rules[r].First })
	}
	column("conserved (what chance gives)", func(n NetworkMasks) []float64 { return n.Rules[0].Conserved })
	return viz.Bars(viz.BarsOptions{Title: fmt.Sprintf("Agreement of the masks of rule %q with ...", m.Rules[0].Name), YLabel: "agreement (%)",
		YRange: [2]float64{0, 100}, Format: "%.0f", Width: 22}, groups, series...)
}

// highest is the largest of all values, at least 1.
func highest(rows [][]float64) float64 {
	most := 1.0
	for _, row := range rows {
		for _, v := range row {
			most = max(most, v)
		}
	}
	return most
}
