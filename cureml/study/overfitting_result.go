package study

import (
	"fmt"
	"slices"

	"cure/cureml/analysis"
	"cure/viz"
)

// OverfittingResult is what the study measured. Accuracies are shares.
type OverfittingResult struct {
	Preset      string  `json:"preset"`
	Arch        string  `json:"arch"`
	Data        string  `json:"data"`
	TrainImages int     `json:"train_images"` // trained on, 0 is all; of them the first are measured:
	Measured    int     `json:"measured"`     // training images
	TestImages  int     `json:"test_images"`  // test images measured, at most
	Epochs      int     `json:"epochs"`
	Eps         float64 `json:"eps"` // of PGD-10, in pixels of [0, 1]
	// Drops are the epochs after which the learning rate falls to a tenth.
	Drops []float64        `json:"drops"`
	Rows  []OverfittingRow `json:"rows"`
}

// OverfittingRow is one training: accuracies after Epochs, natural and under PGD-10, of training and of test images.
type OverfittingRow struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Epochs   []float64 `json:"epochs"`
	TrainNat []float64 `json:"train_nat"`
	TrainRob []float64 `json:"train_rob"`
	TestNat  []float64 `json:"test_nat"`
	TestRob  []float64 `json:"test_rob"`
	Minutes  float64   `json:"minutes"`
}

// Best is the index in Epochs of the highest robust accuracy on test images, the first of equals.
func (r OverfittingRow) Best() int { return slices.Index(r.TestRob, slices.Max(r.TestRob)) }

// Gap is the robust accuracy on test images that was lost since it was highest.
func (r OverfittingRow) Gap() float64 { return r.TestRob[r.Best()] - r.TestRob[len(r.TestRob)-1] }

// Result gathers what is known of the methods trained so far, of which there has to be one.
func (o *Overfitting) Result() (*OverfittingResult, error) {
	c := o.Config(o.Methods[0])
	r := &OverfittingResult{Preset: o.Name, Arch: c.Arch.String(), Data: o.Data, TrainImages: o.TrainImages,
		Measured: c.EvalTrainImages, TestImages: c.EvalImages, Epochs: c.Epochs, Eps: c.Attack.Eps}
	for _, m := range c.Schedule.Milestones {
		r.Drops = append(r.Drops, float64(m-1))
	}
	for _, name := range o.Methods {
		done, err := o.Trained(name)
		if err != nil {
			return nil, err
		}
		if !done {
			continue
		}
		m, err := o.Metrics(name)
		if err != nil {
			return nil, err
		}
		row, err := overfittingRow(name, m)
		if err != nil {
			return nil, err
		}
		r.Rows = append(r.Rows, row)
	}
	if len(r.Rows) == 0 {
		return nil, fmt.Errorf("study: no method is trained yet in %s", o.Dir)
	}
	return r, nil
}

// overfittingRow takes the evaluations out of a run's metrics.
func overfittingRow(name string, m Metrics) (OverfittingRow, error) {
	f, _ := findOverfitter(name)
	row := OverfittingRow{Name: name, Title: f.title}
	for _, l := range m {
		if l.Kind != "eval" {
			continue
		}
		row.Epochs = append(row.Epochs, l.Values["epoch"])
		for _, v := range []struct {
			name string
			into *[]float64
		}{{"train_clean", &row.TrainNat}, {"train_robust", &row.TrainRob}, {"test_clean", &row.TestNat}, {"test_robust", &row.TestRob}} {
			share, ok := l.Values[v.name]
			if !ok {
				return row, fmt.Errorf("study: the run %s measured no %s after epoch %g", name, v.name, l.Values["epoch"])
			}
			*v.into = append(*v.into, share)
		}
	}
	if len(row.Epochs) == 0 {
		return row, fmt.Errorf("study: the run %s measured nothing between its epochs", name)
	}
	seconds, _ := m.Last("seconds")
	row.Minutes = seconds / 60
	return row, nil
}

// Tables are best and last robust accuracy and their gap, as in table 3 of the paper, and the last accuracies on both
// kinds of images.
func (r *OverfittingResult) Tables() []*viz.Table {
	t := &viz.Table{
		Title: fmt.Sprintf("Robust overfitting: %s, %s on %s; accuracy in %% under PGD-10, on %d test images where not said otherwise",
			r.Arch, count(r.Epochs, "epoch"), r.imageWords(), r.TestImages),
		Header: []string{"method", "best", "epoch", "last", "gap", "training images, last", "natural, best", "natural, last", "minutes"},
		Notes: []string{
			"best: the highest of all evaluations, on the same test images, as papers have it; chance alone makes the gap of a constant curve positive, by about its standard error",
			fmt.Sprintf("natural, best: natural accuracy at the epoch of the best robust one; training images: the first %d, not augmented", r.Measured),
		},
	}
	least, at := 2.0, 0
	for i, row := range r.Rows {
		best, last := row.Best(), len(row.Epochs)-1
		if row.Gap() < least {
			least, at = row.Gap(), i
		}
		t.Rows = append(t.Rows, []string{row.Title, perCent(row.TestRob[best]), fmt.Sprintf("%.0f", row.Epochs[best]), perCent(row.TestRob[last]),
			perCent(row.Gap()), perCent(row.TrainRob[last]), perCent(row.TestNat[best]), perCent(row.TestNat[last]), fmt.Sprintf("%.1f", row.Minutes)})
	}
	t.Bold = [][2]int{{at, 4}}
	return []*viz.Table{t}
}

func (r *OverfittingResult) imageWords() string {
	if r.TrainImages == 0 {
		return "all images of " + r.Data
	}
	return fmt.Sprintf("%d images of %s", r.TrainImages, r.Data)
}

// Pictures are the curves of figure 5c of the paper, the same beside those of training images for each method, and bars
// of best and last.
func (r *OverfittingResult) Pictures() (list []analysis.Picture, err error) {
	for _, p := range []struct {
		name string
		make func() (*viz.Figure, error)
	}{{"test", r.Test}, {"gap", r.Gap}, {"train-test", r.TrainTest}} {
		fig, err := p.make()
		if err != nil {
			return nil, err
		}
		list = append(list, analysis.Picture{Name: p.name, Figure: fig})
	}
	return list, nil
}

func percents(shares []float64) (y []float64) {
	for _, s := range shares {
		y = append(y, 100*s)
	}
	return y
}

// drops marks where the learning rate falls.
func (r *OverfittingResult) drops(label string) (lines []viz.VLine) {
	for _, d := range r.Drops {
		lines = append(lines, viz.VLine{X: d, Label: label})
	}
	return lines
}

// Test are the robust accuracies on test images of all methods over epochs.
func (r *OverfittingResult) Test() (*viz.Figure, error) {
	var curves []viz.Series
	for _, row := range r.Rows {
		curves = append(curves, viz.Series{Name: row.Title, X: row.Epochs, Y: percents(row.TestRob)})
	}
	return viz.Curves(viz.CurvesOptions{Title: "Test images under attack", XLabel: "epoch", YLabel: "PGD-10 accuracy (%)",
		VLines: r.drops("lr / 10")}, curves...)
}

// TrainTest has a panel for each method: training and test images, natural and under attack.
func (r *OverfittingResult) TrainTest() (*viz.Figure, error) {
	var panels []*viz.Figure
	for _, row := range r.Rows {
		test, train := viz.Palette[0], viz.Palette[1]
		fig, err := viz.Curves(viz.CurvesOptions{Title: row.Title, XLabel: "epoch", YLabel: "accuracy (%)", Width: 8.5, Height: 7,
			YRange: [2]float64{0, 100}, VLines: r.drops("")},
			viz.Series{Name: "training, PGD-10", X: row.Epochs, Y: percents(row.TrainRob), Color: train},
			viz.Series{Name: "test, PGD-10", X: row.Epochs, Y: percents(row.TestRob), Color: test},
			viz.Series{Name: "training, natural", X: row.Epochs, Y: percents(row.TrainNat), Color: train, Dashed: true},
			viz.Series{Name: "test, natural", X: row.Epochs, Y: percents(row.TestNat), Color: test, Dashed: true})
		if err != nil {
			return nil, err
		}
		panels = append(panels, fig)
	}
	return viz.Grid(2, panels...)
}

// Gap are bars of the best and the last robust accuracy on test images, with binomial standard errors.
func (r *OverfittingResult) Gap() (*viz.Figure, error) {
	best, last := viz.BarSeries{Name: "best epoch"}, viz.BarSeries{Name: "last epoch"}
	var names []string
	for _, row := range r.Rows {
		names = append(names, row.Title)
		for _, bar := range []struct {
			series *viz.BarSeries
			share  float64
		}{{&best, row.TestRob[row.Best()]}, {&last, row.TestRob[len(row.TestRob)-1]}} {
			bar.series.Values = append(bar.series.Values, 100*bar.share)
			bar.series.Err = append(bar.series.Err, 100*standardError(bar.share, r.TestImages))
		}
	}
	return viz.Bars(viz.BarsOptions{Title: "Best and last epoch, test images", YLabel: "PGD-10 accuracy (%)", Format: "%.1f"}, names, best, last)
}
