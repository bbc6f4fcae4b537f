package benchmark

import (
	"math"
	"slices"

	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// Columns of measured values, as recipes.Published.Value names them.
var columns = []string{"natural", "pgd20", "cw", "nrr", "aa"}

// Value is a measured accuracy in per cent by its column: natural, pgd20, cw, nrr, aa; NaN where there is none.
func (p *Checkpoint) Value(column string) float64 {
	if p == nil {
		return math.NaN()
	}
	switch column {
	case "natural":
		return 100 * p.Natural
	case "pgd20":
		return 100 * p.PGD20
	case "cw":
		return 100 * p.CW20
	case "nrr":
		return 100 * p.NRR
	case "aa":
		if p.AutoAttack != nil {
			return 100 * *p.AutoAttack
		}
	}
	return math.NaN()
}

// Line is a row on one network: the cards of its seeds.
type Line struct {
	recipes.Row
	Arch   nn.Arch
	Cards  []*Card // with numbers
	Failed []*Card
}

// Lines groups cards by row and network, in the order of the recipes; cards of rows that the recipes do not have come
// last.
func Lines(cards []*Card) (lines []*Line) {
	order := map[string]int{}
	rows := map[string]recipes.Row{}
	for i, r := range recipes.Rows() {
		order[r.Name], rows[r.Name] = i-len(recipes.Rows()), r
	}
	for _, c := range cards {
		arch := nn.Arch{Name: c.Arch, Width: c.Width, Classes: c.Config.Arch.Classes}
		i := slices.IndexFunc(lines, func(l *Line) bool { return l.Row.Name == c.Row && l.Arch.String() == arch.String() })
		if i < 0 {
			row, ok := rows[c.Row]
			if !ok {
				row = recipes.Row{Name: c.Row, Title: c.Title, Method: c.Method}
			}
			i = len(lines)
			lines = append(lines, &Line{Row: row, Arch: arch})
		}
		if c.Failed != "" {
			lines[i].Failed = append(lines[i].Failed, c)
		} else {
			lines[i].Cards = append(lines[i].Cards, c)
		}
	}
	slices.SortStableFunc(lines, func(a, b *Line) int {
		if a.Arch.String() != b.Arch.String() {
			return compare(a.Arch.String(), b.Arch.String())
		}
		return order[a.Row.Name] - order[b.Row.Name]
	})
	return lines
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// Value is the mean of a column over the seeds and, with several, the sample standard deviation; NaN where there is none.
func (l *Line) Value(checkpoint, column string) (mean, std float64) {
	var values []float64
	for _, c := range l.Cards {
		if v := c.Checkpoint(checkpoint).Value(column); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return meanStd(values)
}

// Minutes is the mean time of training.
func (l *Line) Minutes() float64 {
	var values []float64
	for _, c := range l.Cards {
		values = append(values, c.Minutes)
	}
	mean, _ := meanStd(values)
	return mean
}

// meanStd has NaN for the mean of nothing, and for the deviation of less than two values.
func meanStd(values []float64) (mean, std float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	for _, v := range values {
		mean += v / float64(len(values))
	}
	if len(values) == 1 {
		return mean, math.NaN()
	}
	for _, v := range values {
		std += (v - mean) * (v - mean) / float64(len(values)-1)
	}
	return mean, math.Sqrt(std)
}
