package analysis

import (
	"fmt"
	"math"

	"cure/viz"
)

// Tables has the losses in the middle and at the edges.
func (l *Landscape) Tables() []*viz.Table {
	t := &viz.Table{
		Title: fmt.Sprintf("Mean cross-entropy of %d images", l.Images),
		Header: []string{"network", "clean", "attacked", fmt.Sprintf("weights moved by %g, clean", l.Range), "attacked",
			fmt.Sprintf("images moved by %.3g/255 along the gradient's sign", 255*l.Reach), "along a random direction"},
		Notes: []string{
			fmt.Sprintf("attacked: PGD-%d, ε = %.3g/255, against the weights where they are", l.Steps, 255*l.Eps),
			"moved: the mean of the losses at both ends; along the gradient's sign only the end uphill",
		},
	}
	number := func(v float64) string { return fmt.Sprintf("%.3g", v) }
	for _, n := range l.Networks {
		middle, last, half := l.Line/2, l.Line-1, l.Plane/2
		t.Rows = append(t.Rows, []string{n.Name, number(n.Clean[middle]), number(n.Adv[middle]),
			number((n.Clean[0] + n.Clean[last]) / 2), number((n.Adv[0] + n.Adv[last]) / 2),
			number(n.Inputs[half][l.Plane-1]), number((n.Inputs[0][half] + n.Inputs[l.Plane-1][half]) / 2)})
	}
	return []*viz.Table{t}
}

// Pictures are the line, and the two planes of every network in the same colours.
func (l *Landscape) Pictures() ([]Picture, error) {
	var lines []viz.Series
	for i, n := range l.Networks {
		c := viz.Palette[i%len(viz.Palette)]
		steps := evenly(l.Range, l.Line)
		lines = append(lines, viz.Series{Name: n.Name, X: steps, Y: n.Clean, Color: c},
			viz.Series{Name: n.Name + ", attacked", X: steps, Y: n.Adv, Color: c, Dashed: true})
	}
	line, err := viz.Curves(viz.CurvesOptions{
		Title:  "Loss on a line through the weights",
		XLabel: "distance along a random direction, in filter lengths", YLabel: "mean cross-entropy", LogY: true,
	}, lines...)
	if err != nil {
		return nil, err
	}
	weights, err := l.planes("weights", l.Range, "d1", "d2", func(n NetworkLandscape) [][]float64 { return n.Weights })
	if err != nil {
		return nil, err
	}
	inputs, err := l.planes("images", 255*l.Reach, "gradient's sign, in 1/255", "random signs, in 1/255", func(n NetworkLandscape) [][]float64 { return n.Inputs })
	if err != nil {
		return nil, err
	}
	return []Picture{{"line", line}, {"weights", weights}, {"images", inputs}}, nil
}

// planes puts one plane of all networks side by side.
func (l *Landscape) planes(title string, reach float64, x, y string, of func(NetworkLandscape) [][]float64) (*viz.Figure, error) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, n := range l.Networks {
		for _, row := range of(n) {
			for _, v := range row {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	o := viz.LandscapeOptions{XLabel: x, YLabel: y, ColorLabel: "loss", Width: 9.5, Height: 8, Origin: true}
	if lo > 0 && lo < hi {
		o.LogZ, o.Range = true, [2]float64{lo, hi}
	}
	var figures []*viz.Figure
	for _, n := range l.Networks {
		o.Title = fmt.Sprintf("%s: loss around the %s", n.Name, title)
		f, err := viz.Landscape(o, evenly(reach, l.Plane), evenly(reach, l.Plane), of(n))
		if err != nil {
			return nil, err
		}
		figures = append(figures, f)
	}
	return viz.Grid(3, figures...)
}
