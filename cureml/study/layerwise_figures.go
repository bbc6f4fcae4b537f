package study

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"cure/attacks"
	"cure/cureml/analysis"
	"cure/viz"
)

// Tables are all rows with both accuracies, the natural-robust ratio and how far the trained layers moved.
func (r *LayerwiseResult) Tables() []*viz.Table {
	t := &viz.Table{
		Title: fmt.Sprintf("U-b: blocks b trained adversarially, %s, %s; accuracy in %% on %d test images of %s",
			r.Arch, count(r.Epochs, "epoch"), r.TestImages, r.Data),
		Header: []string{"network", "starts from", "natural", "PGD-20", "NRR", "trained layers", "their change", "minutes"},
		Notes: []string{
			"change: ‖w − w₀‖ / ‖w₀‖ from the natural network's weights, mean over the layers (convolutions and classifier) that moved",
			fmt.Sprintf("stem: %s; batch norms of frozen blocks: %s; natural network: %s", r.stemWords(), r.FrozenBN, r.Start),
		},
	}
	best, at := -1.0, 0
	for i, row := range append([]LayerwiseRow{r.Natural}, r.Rows...) {
		begin := "natural weights"
		if row.Reinit {
			begin = "new weights"
		}
		name, moved, mean := row.Name(), 0, 0.0
		for _, c := range row.Change {
			if c > 0 {
				moved++
				mean += c
			}
		}
		layers, change, minutes := fmt.Sprint(moved), "", ""
		if row.Blocks == "" {
			name, begin = "natural", ""
		} else {
			change, minutes = fmt.Sprintf("%.2f", mean/math.Max(1, float64(moved))), fmt.Sprintf("%.1f", row.Minutes)
		}
		nrr := attacks.NRR(row.Nat, row.Rob)
		if nrr > best {
			best, at = nrr, i
		}
		t.Rows = append(t.Rows, []string{name, begin, perCent(row.Nat), perCent(row.Rob), perCent(nrr), layers, change, minutes})
	}
	t.Bold = [][2]int{{at, 4}}
	return []*viz.Table{t}
}

func (r *LayerwiseResult) stemWords() string {
	return map[string]string{"block1": "trained where block 1 is", "frozen": "frozen", "trained": "trained in all"}[r.Stem]
}

func perCent(share float64) string { return fmt.Sprintf("%.1f", 100*share) }

// count is a number and what it counts.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// groups are the rows without and with new weights, each with the title of its pictures; those without rows are left out.
func (r *LayerwiseResult) groups() (list []layerwiseGroup) {
	for _, g := range []layerwiseGroup{{title: "Trained on from the natural weights"}, {title: "Re-initialised, then trained", reinit: true}} {
		for _, row := range r.Rows {
			if row.Reinit == g.reinit {
				g.rows = append(g.rows, row)
			}
		}
		if g.rows != nil {
			list = append(list, g)
		}
	}
	return list
}

type layerwiseGroup struct {
	title  string
	reinit bool
	rows   []LayerwiseRow
}

// Pictures are the bars of figures 2b (re-initialised) and 11 (not) of the paper, both accuracies in one plane, the change
// of every layer, and accuracy under attack during training, the subject of figure 4.
func (r *LayerwiseResult) Pictures() (list []analysis.Picture, err error) {
	for _, p := range []struct {
		name string
		make func() (*viz.Figure, error)
	}{{"accuracy", r.Accuracy}, {"tradeoff", r.Tradeoff}, {"change", r.Change}, {"training", r.Training}} {
		fig, err := p.make()
		if err != nil {
			return nil, err
		}
		list = append(list, analysis.Picture{Name: p.name, Figure: fig})
	}
	return list, nil
}

// perGroup puts the figures of the groups below each other.
func (r *LayerwiseResult) perGroup(draw func(g layerwiseGroup) (*viz.Figure, error)) (*viz.Figure, error) {
	var figs []*viz.Figure
	for _, g := range r.groups() {
		fig, err := draw(g)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	return viz.Grid(1, figs...)
}

// Accuracy are bars of natural and robust accuracy, with binomial standard errors.
func (r *LayerwiseResult) Accuracy() (*viz.Figure, error) {
	return r.perGroup(func(g layerwiseGroup) (*viz.Figure, error) {
		nat, rob := viz.BarSeries{Name: "natural"}, viz.BarSeries{Name: "PGD-20"}
		var names []string
		for _, row := range append([]LayerwiseRow{r.Natural}, g.rows...) {
			name := row.Name()
			if row.Blocks == "" {
				name = "natural"
			}
			names = append(names, name)
			nat.Values, nat.Err = append(nat.Values, 100*row.Nat), append(nat.Err, 100*standardError(row.Nat, row.Images))
			rob.Values, rob.Err = append(rob.Values, 100*row.Rob), append(rob.Err, 100*standardError(row.Rob, row.Images))
		}
		return viz.Bars(viz.BarsOptions{Title: g.title, XLabel: "trained blocks", YLabel: "accuracy (%)", YRange: [2]float64{0, 100}, Format: "%.0f"}, names, nat, rob)
	})
}

// standardError of a share measured on n images.
func standardError(share float64, n int) float64 {
	return math.Sqrt(share * (1 - share) / math.Max(1, float64(n)))
}

// Tradeoff has every network as a point of natural and robust accuracy, a panel for each group over the same ranges. The
// natural network, far to the right and at the bottom, is named in the titles: with it, the others would be a heap.
func (r *LayerwiseResult) Tradeoff() (*viz.Figure, error) {
	nat, rob := 0.0, 0.0
	for _, row := range r.Rows {
		nat, rob = max(nat, row.Nat), max(rob, row.Rob)
	}
	reach := func(share float64) [2]float64 { return [2]float64{0, 115 * max(share, 0.01)} }
	var figs []*viz.Figure
	for _, g := range r.groups() {
		var points []viz.TradeoffPoint
		for _, row := range g.rows {
			points = append(points, viz.TradeoffPoint{Name: row.Blocks, Nat: 100 * row.Nat, Rob: 100 * row.Rob})
		}
		fig, err := viz.Tradeoff(viz.TradeoffOptions{
			Title:  fmt.Sprintf("%s; not shown: the natural network, %s and %s %%", g.title, perCent(r.Natural.Nat), perCent(r.Natural.Rob)),
			XLabel: "natural accuracy (%)", YLabel: "PGD-20 accuracy (%)", XRange: reach(nat), YRange: reach(rob), Width: 11, Height: 11,
		}, points...)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	return viz.Grid(2, figs...)
}

// Change is a heat map of the relative change of every layer.
func (r *LayerwiseResult) Change() (*viz.Figure, error) {
	return r.perGroup(func(g layerwiseGroup) (*viz.Figure, error) {
		var names []string
		var values [][]float64
		for _, row := range g.rows {
			names, values = append(names, row.Name()), append(values, row.Change)
		}
		return viz.Heatmap(viz.HeatmapOptions{Title: g.title, XLabel: "layer", Rows: names, Cols: r.Layers, Format: "%.2g",
			Width: 22, ColorLabel: "‖w − w₀‖ / ‖w₀‖"}, values)
	})
}

// followed are the variants that [LayerwiseResult.Training] shows where there are more: those that the paper's figure 4 is
// about, and the whole network.
var followed = []string{"1", "2", "12", "23", "34", wholeNetwork}

const wholeNetwork = "12345"

// few are the rows of a group, or those followed where there are too many.
func (g layerwiseGroup) few() []LayerwiseRow {
	if len(g.rows) <= len(followed) {
		return g.rows
	}
	return slices.DeleteFunc(slices.Clone(g.rows), func(row LayerwiseRow) bool { return !slices.Contains(followed, row.Blocks) })
}

// Training are curves of the accuracy under attack: on test images where they were measured between epochs, else on the
// batches trained on. Of many variants those followed are shown; the whole network is black.
func (r *LayerwiseResult) Training() (*viz.Figure, error) {
	return r.perGroup(func(g layerwiseGroup) (*viz.Figure, error) {
		rows := g.few()
		where, of := "test images", func(row LayerwiseRow) Curve { return row.Test }
		if slices.ContainsFunc(rows, func(row LayerwiseRow) bool { return len(row.Test.Shares) == 0 }) {
			where, of = "training batches", func(row LayerwiseRow) Curve { return row.Training }
		}
		var curves []viz.Series
		for _, row := range rows {
			s := viz.Series{Name: row.Name(), X: of(row).Epochs}
			if row.Blocks == wholeNetwork {
				s.Color = color.Black
			}
			for _, share := range of(row).Shares {
				s.Y = append(s.Y, 100*share)
			}
			curves = append(curves, s)
		}
		return viz.Curves(viz.CurvesOptions{Title: g.title, XLabel: "epoch", YLabel: "accuracy on attacked " + where + " (%)"}, curves...)
	})
}
