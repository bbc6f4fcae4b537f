package analysis

import (
	"fmt"

	"cure/viz"
)

// Tables has a row for each network, kind of image and temperature.
func (c *Calibration) Tables() []*viz.Table {
	t := &viz.Table{
		Title:  fmt.Sprintf("Calibration on %d images; temperatures fitted on %d others, clean", c.Measured, c.Fitted),
		Header: []string{"network", "images", "temperature", "accuracy %", "mean confidence %", "ECE %", "ECE %, equal mass", "Brier", "NLL"},
		Notes:  []string{fmt.Sprintf("adversarial: by %s on the network itself; ECE with %d bins", c.Attack, c.Bins)},
	}
	for _, n := range c.Networks {
		for _, row := range []struct {
			images      string
			temperature float64
			s           *CalibrationScores
		}{{"clean", 1, n.Clean}, {"clean", n.Temperature, n.CleanScaled}, {"adversarial", 1, n.Adv}, {"adversarial", n.Temperature, n.AdvScaled}} {
			t.Rows = append(t.Rows, []string{n.Name, row.images, fmt.Sprintf("%.3g", row.temperature), percents(row.s.Accuracy), percents(row.s.Confidence),
				percents(row.s.ECE), percents(row.s.ECEMass), fmt.Sprintf("%.3f", row.s.Brier), fmt.Sprintf("%.3f", row.s.NLL)})
		}
	}
	return []*viz.Table{t}
}

// Pictures are the reliability diagrams: a row for each network, of clean images, the same at the fitted temperature, and
// adversarial images.
func (c *Calibration) Pictures() ([]Picture, error) {
	var figures []*viz.Figure
	for _, n := range c.Networks {
		for _, d := range []struct {
			title string
			s     *CalibrationScores
		}{{"clean", n.Clean}, {fmt.Sprintf("clean, T = %.2f", n.Temperature), n.CleanScaled}, {"adversarial", n.Adv}} {
			f, err := viz.Reliability(viz.ReliabilityOptions{Title: n.Name + ", " + d.title, Width: 9, Height: 9}, d.s.Bins)
			if err != nil {
				return nil, err
			}
			figures = append(figures, f)
		}
	}
	all, err := viz.Grid(3, figures...)
	if err != nil {
		return nil, err
	}
	return []Picture{{"reliability", all}}, nil
}
