package benchmark

import (
	"math"
	"slices"
	"strings"

	"cure/cureml/recipes"
	"cure/viz"
)

// Tradeoff is natural against C&W accuracy of the last checkpoints, means over seeds, over contours of their harmonic
// mean, the table's NRR; ablations are left out. It is nil where there is nothing to draw.
func Tradeoff(cards []*Card) (*viz.Figure, error) {
	var points []viz.TradeoffPoint
	for _, l := range Lines(cards) {
		nat, _ := l.Value("last", "natural")
		rob, _ := l.Value("last", "cw")
		if l.Kind != recipes.Ablation && !math.IsNaN(nat) && !math.IsNaN(rob) {
			points = append(points, viz.TradeoffPoint{Name: l.Title, Nat: nat, Rob: rob, Group: l.Arch.String()})
		}
	}
	if len(points) == 0 {
		return nil, nil
	}
	return viz.Tradeoff(viz.TradeoffOptions{Title: "The trade-off, last checkpoints", XLabel: "natural accuracy (%)", YLabel: "C&W-20 accuracy (%)"}, points...)
}

// PublishedTradeoff is the same of the published table, with PGD-20, as it has C&W for few rows.
func PublishedTradeoff() (*viz.Figure, error) {
	var points []viz.TradeoffPoint
	for _, arch := range []string{"resnet18", "wrn-34-10"} {
		for _, r := range recipes.Rows() {
			if p, ok := r.On(arch); ok && r.Kind == recipes.Table && !math.IsNaN(p.Nat) && !math.IsNaN(p.PGD20) {
				points = append(points, viz.TradeoffPoint{Name: r.Title, Nat: p.Nat, Rob: p.PGD20, Group: arch})
			}
		}
	}
	return viz.Tradeoff(viz.TradeoffOptions{Title: "The published table", XLabel: "natural accuracy (%)", YLabel: "PGD-20 accuracy (%)"}, points...)
}

// Curves are the accuracies on the validation images after each epoch, clean and under PGD-10, of the first seed of a
// line; nil where its card has none.
func (l *Line) Curves() (*viz.Figure, error) {
	if len(l.Cards) == 0 || len(l.Cards[0].History) == 0 {
		return nil, nil
	}
	clean, robust := viz.Series{Name: "clean"}, viz.Series{Name: "PGD-10"}
	for _, m := range l.Cards[0].History {
		clean.X, clean.Y = append(clean.X, float64(m.Epoch)), append(clean.Y, 100*m.Clean)
		robust.X, robust.Y = append(robust.X, float64(m.Epoch)), append(robust.Y, 100*m.Robust)
	}
	return viz.Curves(viz.CurvesOptions{Title: l.Title + ": validation images", XLabel: "epoch", YLabel: "accuracy (%)", Markers: true, Width: 11, Height: 6}, clean, robust)
}

// barsOf are the accuracies of the bars in [Parts].
var barsOf = []struct{ column, name string }{{"natural", "natural"}, {"pgd20", "PGD-20"}, {"cw", "C&W-20"}}

// Parts are bars of CURE, of CURE with one of its parts alone, and of TRADES beside them: last checkpoints, with standard
// deviations where there are several seeds. Rows without a card are left out.
func Parts(cards []*Card) (*viz.Figure, error) {
	var groups []string
	series := make([]viz.BarSeries, len(barsOf))
	for _, l := range Lines(cards) {
		if len(l.Cards) == 0 || !slices.Contains([]string{"trades", "cure", "cure-rgp-only", "cure-revision-only"}, l.Row.Name) {
			continue
		}
		groups = append(groups, strings.TrimPrefix(l.Title, "CURE, "))
		for i, bar := range barsOf {
			mean, std := l.Value("last", bar.column)
			if math.IsNaN(std) {
				std = 0
			}
			series[i].Name = bar.name
			series[i].Values, series[i].Err = append(series[i].Values, mean), append(series[i].Err, std)
		}
	}
	return viz.Bars(viz.BarsOptions{Title: "CURE's parts", YLabel: "accuracy (%)", Format: "%.1f"}, groups, series...)
}
