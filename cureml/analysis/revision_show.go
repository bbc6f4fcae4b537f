package analysis

import (
	"fmt"

	"cure/viz"
)

// Tables has a row for each moment.
func (r *Revision) Tables() []*viz.Table {
	t := &viz.Table{
		Title: fmt.Sprintf("Student and revision model: %d images of %s, %s", r.Images, r.Data, r.Attack),
		Header: []string{"network", "student, clean (%)", "student, attacked (%)", "revision, clean (%)", "revision, attacked (%)",
			"classes differ (%)", "KL(p_rev ‖ p)"},
	}
	for _, m := range r.Moments {
		t.Rows = append(t.Rows, []string{m.Name, percents(m.Student.Nat), percents(m.Student.Robust), percents(m.Average.Nat),
			percents(m.Average.Robust), percents(m.Disagree), fmt.Sprintf("%.3f", m.Divergence)})
	}
	return []*viz.Table{t}
}

// Pictures are the accuracies of both over the training, and how far apart their weights are, by block.
func (r *Revision) Pictures() ([]Picture, error) {
	var epochs []float64
	var values [4][]float64
	var names []string
	var distances [][]float64
	for i, m := range r.Moments {
		epoch := float64(m.Epoch)
		if m.Epoch < 0 {
			epoch = float64(i)
		}
		epochs, names, distances = append(epochs, epoch), append(names, m.Name), append(distances, m.Distance)
		for k, v := range []float64{m.Student.Nat, m.Student.Robust, m.Average.Nat, m.Average.Robust} {
			values[k] = append(values[k], 100*v)
		}
	}
	accuracy, err := viz.Curves(viz.CurvesOptions{Title: "Student and revision model", XLabel: "epoch", YLabel: "accuracy (%)", Markers: true},
		viz.Series{Name: "student, clean", X: epochs, Y: values[0], Color: viz.Palette[0]},
		viz.Series{Name: "student, attacked", X: epochs, Y: values[1], Color: viz.Palette[1]},
		viz.Series{Name: "revision, clean", X: epochs, Y: values[2], Color: viz.Palette[0], Dashed: true},
		viz.Series{Name: "revision, attacked", X: epochs, Y: values[3], Color: viz.Palette[1], Dashed: true})
	if err != nil {
		return nil, err
	}
	distance, err := viz.Heatmap(viz.HeatmapOptions{Title: "Distance of their weights, ‖θ_rev − θ‖ / ‖θ‖", Rows: names, Cols: r.Blocks, Format: "%.3f"}, distances)
	if err != nil {
		return nil, err
	}
	return []Picture{{"accuracy", accuracy}, {"distance", distance}}, nil
}
