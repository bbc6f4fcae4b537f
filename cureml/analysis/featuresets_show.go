package analysis

import (
	"fmt"

	"cure/viz"
)

// Show are examples of the sets with their labels, each below the image that it was made for.
func (f *FeatureSets) Show() (*viz.Figure, error) {
	var pixels []uint8
	var captions, rows []string
	original := false
	for _, s := range f.Sets {
		original = original || s.Name == OriginalSet
	}
	if !original {
		pixels, captions, rows = append(pixels, f.Originals...), append(captions, f.Labels...), append(rows, OriginalSet)
	}
	for _, s := range f.Sets {
		pixels, captions, rows = append(pixels, s.Shown...), append(captions, s.Labels...), append(rows, s.Name)
	}
	return gridOf(viz.ImageGridOptions{Title: "Training images and their labels", Cols: len(f.Labels), Captions: captions, RowTitles: rows, Scale: 2}, pixels)
}

// Learned are the accuracies of the networks that learned from the sets, bars for clean and attacked test images.
func (f *FeatureSets) Learned() (*viz.Figure, error) {
	groups := make([]string, len(f.Sets))
	series := []viz.BarSeries{{Name: "clean"}}
	for _, a := range f.Attacks {
		series = append(series, viz.BarSeries{Name: a})
	}
	for i, s := range f.Sets {
		groups[i] = s.Name
		series[0].Values = append(series[0].Values, 100*s.Clean)
		for k, v := range s.Attacked {
			series[k+1].Values = append(series[k+1].Values, 100*v)
		}
	}
	return viz.Bars(viz.BarsOptions{Title: "Natural training on each set, then ordinary test images", XLabel: "training set", YLabel: "test accuracy (%)", Format: "%.1f"}, groups, series...)
}

// Tables are what the two networks see in the sets, and what is learned from these.
func (f *FeatureSets) Tables() []*viz.Table {
	seen := &viz.Table{Title: fmt.Sprintf("The sets, %d images of %s: what the networks see in them, in %%", f.N, f.Train),
		Header: []string{"set", f.Natural + ": label", f.Natural + ": original class", f.Robust + ": label", f.Robust + ": original class", "L2 change"}}
	learned := &viz.Table{Title: fmt.Sprintf("Natural training on each set: accuracy in %% on %d images of %s", f.TestN, f.Test), Header: []string{"set", "clean"}}
	learned.Header = append(learned.Header, f.Attacks...)
	for _, s := range f.Sets {
		seen.Rows = append(seen.Rows, []string{s.Name, percents(s.NaturalSees), percents(s.NaturalSeesOriginal), percents(s.RobustSees), percents(s.RobustSeesOriginal), fmt.Sprintf("%.2f", s.Change)})
		cells := []string{s.Name, percents(s.Clean)}
		for _, v := range s.Attacked {
			cells = append(cells, percents(v))
		}
		learned.Rows = append(learned.Rows, cells)
	}
	return []*viz.Table{seen, learned}
}

// Pictures are [FeatureSets.Show] and [FeatureSets.Learned].
func (f *FeatureSets) Pictures() ([]Picture, error) {
	examples, err := f.Show()
	if err != nil {
		return nil, err
	}
	bars, err := f.Learned()
	return []Picture{{"sets", examples}, {"learned", bars}}, err
}
