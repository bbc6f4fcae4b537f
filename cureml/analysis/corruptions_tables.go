package analysis

import (
	"fmt"

	"cure/data/corrupt"
	"cure/viz"
)

// accuracy in % of a share of wrong answers.
func accuracy(wrong float64) float64 { return 100 * (1 - wrong) }

// overSeverities is the mean error of a network under a corruption.
func (n CorruptedNetwork) overSeverities(name string) float64 {
	sum := 0.0
	for _, e := range n.Errors[name] {
		sum += e
	}
	return sum / corrupt.Severities
}

// Tables are the means of each network, and its accuracy under each corruption.
func (r *Corruptions) Tables() []*viz.Table { return []*viz.Table{r.summary(), r.byCorruption()} }

// summary has a row for each network.
func (r *Corruptions) summary() *viz.Table {
	t := &viz.Table{
		Title:  fmt.Sprintf("Accuracy in %% on %d images of %s: mean over the corruptions of a group and five severities", r.N, r.Images),
		Header: []string{"network", "clean"},
		Notes: []string{"mCE and relative mCE, in %, are relative to " + r.Baseline +
			": errors, and losses against clean images, in its units; 100 is as good as it, less is better."},
	}
	for _, g := range corrupt.Groups() {
		t.Header = append(t.Header, string(g))
	}
	t.Header = append(t.Header, "all 15", "mCE", "relative mCE")
	var widest float64
	for _, n := range r.Networks {
		row := []string{n.Name}
		cell := func(e Estimate, ok bool) {
			if !ok {
				row = append(row, "–")
				return
			}
			row = append(row, fmt.Sprintf("%.1f", accuracy(e.Value)))
			widest = max(widest, 100*e.SE)
		}
		cell(n.Clean, true)
		for _, g := range corrupt.Groups() {
			e, ok := n.Groups[g]
			cell(e, ok)
		}
		if n.Mean == nil {
			cell(Estimate{}, false)
		} else {
			cell(*n.Mean, true)
		}
		for _, s := range []*corrupt.Scores{n.CE, n.RelativeCE} {
			if s == nil {
				row = append(row, "–")
			} else {
				row = append(row, fmt.Sprintf("%.0f", 100*s.Mean))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = append(t.Notes, fmt.Sprintf("Standard errors of the accuracies, for the choice of the images: up to %.1f points.", widest))
	t.Notes = append(t.Notes, r.Notes...)
	return t
}

// byCorruption has a row for each corruption, the best network in bold.
func (r *Corruptions) byCorruption() *viz.Table {
	t := &viz.Table{Title: "Accuracy in % under each corruption, mean over five severities", Header: []string{"corruption", "group"}}
	for _, n := range r.Networks {
		t.Header = append(t.Header, n.Name)
	}
	for _, name := range r.grouped() {
		c, err := corrupt.Lookup(name)
		if err != nil {
			continue // a result of another version
		}
		group := string(c.Group)
		if c.Extra {
			group += ", extra"
		}
		row, best := []string{name, group}, 0
		for i, n := range r.Networks {
			row = append(row, fmt.Sprintf("%.1f", accuracy(n.overSeverities(name))))
			if n.overSeverities(name) < r.Networks[best].overSeverities(name) {
				best = i
			}
		}
		t.Bold = append(t.Bold, [2]int{len(t.Rows), 2 + best})
		t.Rows = append(t.Rows, row)
	}
	return t
}
