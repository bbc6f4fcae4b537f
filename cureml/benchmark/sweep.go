package benchmark

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cure/cureml/recipes"
	"cure/viz"
)

// sweep are the rows along one of CURE's settings that have cards of the same seeds. CURE itself was trained with several
// seeds where the others have one; its mean beside single runs would be a difference that the setting did not make.
type sweep struct {
	recipes.Series
	seeds  []uint64
	values []float64 // of the setting
	lines  []*Line   // beside them
}

// sweepOf takes the seeds that all measured rows share. Where they share none, rows without the lowest seed are left out.
func sweepOf(cards []*Card, s recipes.Series) sweep {
	w := sweep{Series: s}
	seedsOf := map[string][]uint64{}
	all := Lines(cards)
	for _, l := range all {
		if slices.Contains(s.Rows, l.Row.Name) && seedsOf[l.Row.Name] == nil { // of the first network
			for _, c := range l.Cards {
				seedsOf[l.Row.Name] = append(seedsOf[l.Row.Name], c.Seed)
			}
			w.seeds = append(w.seeds, seedsOf[l.Row.Name]...)
		}
	}
	slices.Sort(w.seeds)
	w.seeds = slices.Compact(w.seeds)
	shared := slices.DeleteFunc(slices.Clone(w.seeds), func(seed uint64) bool {
		for _, seeds := range seedsOf {
			if !slices.Contains(seeds, seed) {
				return true
			}
		}
		return false
	})
	if len(shared) == 0 {
		shared = w.seeds[:min(1, len(w.seeds))]
	}
	w.seeds = shared
	for k, row := range s.Rows {
		at := slices.IndexFunc(all, func(l *Line) bool { return l.Row.Name == row && len(l.Cards) > 0 })
		if at < 0 {
			continue
		}
		line := *all[at]
		line.Cards = slices.DeleteFunc(slices.Clone(line.Cards), func(c *Card) bool { return !slices.Contains(w.seeds, c.Seed) })
		if len(line.Cards) > 0 {
			w.values, w.lines = append(w.values, s.Values[k]), append(w.lines, &line)
		}
	}
	return w
}

// seedWords is "seed 0", or "seeds 0, 1, 2".
func (w sweep) seedWords() string {
	words := strings.Trim(fmt.Sprint(w.seeds), "[]")
	if len(w.seeds) == 1 {
		return "seed " + words
	}
	return "seeds " + strings.ReplaceAll(words, " ", ", ")
}

// curve is a column over the setting, with the spread of the seeds, or of one seed the standard error of its test images.
func (w sweep) curve(column, name string) viz.Series {
	c := viz.Series{Name: name, X: w.values}
	for _, l := range w.lines {
		mean, std := l.Value("last", column)
		if math.IsNaN(std) {
			share := mean / 100
			std = 100 * math.Sqrt(share*(1-share)/math.Max(1, float64(l.Cards[0].Evaluation.N)))
		}
		c.Y, c.Std = append(c.Y, mean), append(c.Std, std)
	}
	return c
}

// Sweep are the accuracies of CURE's last checkpoints along one of its settings, natural and under attack on axes of their
// own, of the seeds that all rows share.
func Sweep(cards []*Card, s recipes.Series) (*viz.Figure, error) {
	w := sweepOf(cards, s)
	if len(w.lines) == 0 {
		return nil, fmt.Errorf("benchmark: no row along %s has a card", s.Setting)
	}
	band := "standard error of the test images"
	if len(w.seeds) > 1 {
		band = "standard deviation of the seeds"
	}
	natural := w.curve("natural", "natural")
	pgd, cw := w.curve("pgd20", "PGD-20"), w.curve("cw", "C&W-20")
	pgd.Color, cw.Color = viz.Palette[1], viz.Palette[2]
	var figs []*viz.Figure
	for _, panel := range []struct {
		title  string
		curves []viz.Series
	}{
		{fmt.Sprintf("CURE, %s varied (%s)", s.Setting, w.seedWords()), []viz.Series{natural}},
		{"Under attack; bands: " + band, []viz.Series{pgd, cw}},
	} {
		fig, err := viz.Curves(viz.CurvesOptions{Title: panel.title, XLabel: fmt.Sprintf("%s (%s)", s.Symbol, s.Setting), YLabel: "accuracy (%)",
			Markers: true, Width: 11, Height: 7}, panel.curves...)
		if err != nil {
			return nil, err
		}
		figs = append(figs, fig)
	}
	return viz.Grid(2, figs...)
}

// MeasuredSweep is [Sweep], or nil where fewer than two values of the setting have cards of the same seeds.
func MeasuredSweep(cards []*Card, s recipes.Series) (*viz.Figure, error) {
	if len(sweepOf(cards, s).lines) < 2 {
		return nil, nil
	}
	return Sweep(cards, s)
}
