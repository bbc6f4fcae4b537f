package benchmark

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cure/cureml/recipes"
	"cure/viz"
)

// Sensitivity is what CURE's settings do to its accuracy: the published values of the sweeps over p, α and γ on ResNet-18,
// and beside them those of the cards, last checkpoints of the same seeds, where there are any.
func Sensitivity(cards []*Card) *viz.Table {
	t := &viz.Table{
		Title:  "CURE's settings, one changed at a time",
		Header: []string{"setting", "published: natural (%)", "published: PGD-20 (%)", "measured: natural (%)", "measured: PGD-20 (%)"},
	}
	show := func(v float64) string {
		if math.IsNaN(v) {
			return "–"
		}
		return fmt.Sprintf("%.2f", v)
	}
	measured := 0
	var seeds []string
	for _, s := range recipes.AblationSeries() {
		w := sweepOf(cards, s)
		if words := w.seedWords(); len(w.seeds) > 0 && !slices.Contains(seeds, words) {
			seeds = append(seeds, words)
		}
		for i, name := range s.Rows {
			row, err := recipes.Find(name)
			if err != nil {
				panic(err) // a test of package recipes finds all of them
			}
			cells := []string{fmt.Sprintf("%s = %g", s.Symbol, s.Values[i])}
			published, _ := row.On("resnet18")
			for _, column := range []string{"natural", "pgd20"} {
				cells = append(cells, show(published.Value(column)))
			}
			at := slices.Index(w.values, s.Values[i])
			if at >= 0 {
				measured++
			}
			for _, column := range []string{"natural", "pgd20"} {
				v := math.NaN()
				if at >= 0 {
					v, _ = w.lines[at].Value("last", column)
				}
				cells = append(cells, show(v))
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	if len(cards) > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("measured: preset %s, %s, %d of %d rows", cards[0].Preset, strings.Join(seeds, " and "), measured, len(t.Rows)))
	} else {
		t.Notes = append(t.Notes, "nothing of this was measured yet: notebook 06 does, and 'cure benchmark --methods cure,ablations'")
	}
	return t
}
