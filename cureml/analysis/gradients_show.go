package analysis

import (
	"fmt"
	"strings"

	"cure/viz"
)

// Tables has a row for each network, over all layers; and one for each layer of each network, of a training for the first
// and the last.
func (g *Gradients) Tables() []*viz.Table {
	all := len(g.Layers) - 1
	whole := &viz.Table{
		Title:  fmt.Sprintf("Gradients of all layers: %d batches of %d images of %s, PGD-%d, ε = %.3f", g.Batches, g.Batch, g.Data, g.Steps, g.Eps),
		Header: []string{"network", "CE(x)", "CE(x′)", "‖∇CE(x)‖", "‖∇CE(x′)‖", "cosine", "signs differ (%)"},
	}
	for _, n := range g.Networks {
		whole.Rows = append(whole.Rows, []string{n.Name, fmt.Sprintf("%.3f", n.NatLoss), fmt.Sprintf("%.3f", n.AdvLoss), fmt.Sprintf("%.3g", n.Nat[all]),
			fmt.Sprintf("%.3g", n.Adv[all]), fmt.Sprintf("%.3f", n.Cosine[all]), percents(n.Conflict[all])})
	}
	layers := &viz.Table{
		Title: "Gradients by layer",
		Header: []string{"network", "layer", "weights", "‖∇CE(x)‖", "‖∇CE(x′)‖", "cosine", "signs differ (%)", "spread of ∇CE(x) (%)",
			"updated (%)", "updated, one threshold (%)"},
		Notes: []string{
			fmt.Sprintf("updated: prominence %g·|∇CE(x)| + %g·|∇CE(x′)| reaches the percentile %g of the layer; one threshold: that of all these layers together", g.Alpha, 1-g.Alpha, g.Percentile),
			"spread: (Σg²)² / (N·Σg⁴), the share of weights that would carry the gradient if all of it were equally large there",
		},
	}
	for _, n := range ends(g.Networks, func(n NetworkGradients) int { return n.Epoch }) {
		for i, l := range g.Layers {
			layers.Rows = append(layers.Rows, []string{n.Name, l.Name, fmt.Sprint(l.Size), fmt.Sprintf("%.3g", n.Nat[i]), fmt.Sprintf("%.3g", n.Adv[i]),
				fmt.Sprintf("%.3f", n.Cosine[i]), percents(n.Conflict[i]), percents(n.NatSpread[i]), percents(n.Updated[i]), percents(n.UpdatedWhole[i])})
		}
	}
	return []*viz.Table{whole, layers}
}

// Pictures are the lengths of both gradients, of all layers but shortcuts, their cosines, and what prominence lets through in the first and the last
// phase.
func (g *Gradients) Pictures() ([]Picture, error) {
	layers := make([]string, len(g.Layers))
	for i, l := range g.Layers {
		layers[i] = l.Name
	}
	all := len(layers) - 1 // the last stands for all
	main, names := g.withoutShortcuts()
	var norms []viz.Series
	var updated []viz.BarSeries
	for i, n := range ends(g.Networks, func(n NetworkGradients) int { return n.Epoch }) {
		c := viz.Palette[i%len(viz.Palette)]
		norms = append(norms, viz.Series{Name: n.Name + ", clean", Y: at(n.Nat, main), Color: c}, viz.Series{Name: n.Name + ", attacked", Y: at(n.Adv, main), Color: c, Dashed: true})
		updated = append(updated, viz.BarSeries{Name: n.Name, Values: times100(n.UpdatedWhole[:all]), Color: c})
	}
	var rows []string
	var cosines [][]float64
	for _, n := range g.Networks {
		rows, cosines = append(rows, n.Name), append(cosines, n.Cosine)
	}
	lengths, err := viz.Curves(viz.CurvesOptions{Title: "Length of the gradient of each layer's weights, without shortcuts",
		XNames: names, YLabel: "length of the gradient", LogY: true, Markers: true, Width: 20}, norms...)
	if err != nil {
		return nil, err
	}
	cosine, err := viz.Heatmap(viz.HeatmapOptions{Title: "Cosine of the gradients on clean and on attacked images", Rows: rows, Cols: layers,
		Diverging: true, Range: [2]float64{-1, 1}, Format: "%.2f", ColorLabel: "cosine", Width: 24}, cosines)
	if err != nil {
		return nil, err
	}
	share, err := viz.Bars(viz.BarsOptions{Title: fmt.Sprintf("Updated weights with one threshold for all layers (%g %% of all of them)", 100*(1-g.Percentile)),
		YLabel: "updated (%)", YRange: [2]float64{0, 100}, NoValues: true, Width: 22}, layers[:all], updated...)
	if err != nil {
		return nil, err
	}
	return []Picture{{"lengths", lengths}, {"cosine", cosine}, {"updated", share}}, nil
}

// withoutShortcuts are the numbers and names of the layers that follow each other. Shortcuts, which run beside them, have few
// weights and short gradients: a line through them would dip at each.
func (g *Gradients) withoutShortcuts() (main []int, names []string) {
	for i, l := range g.Layers[:len(g.Layers)-1] {
		if !strings.Contains(strings.ToLower(l.Name), "shortcut") {
			main, names = append(main, i), append(names, l.Name)
		}
	}
	return main, names
}

// at are the values of a list of places.
func at(values []float64, places []int) (picked []float64) {
	for _, i := range places {
		picked = append(picked, values[i])
	}
	return picked
}

func times100(shares []float64) []float64 {
	percent := make([]float64, len(shares))
	for i, v := range shares {
		percent[i] = 100 * v
	}
	return percent
}
