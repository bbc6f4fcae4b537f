package analysis

import (
	"fmt"

	"cure/viz"
)

// Tables has means over the images.
func (l *Linearity) Tables() []*viz.Table {
	t := &viz.Table{
		Title: fmt.Sprintf("Local linearity of the loss, means over %d images, ε = %.3g/255", l.Images, 255*l.Eps),
		Header: []string{"network", "loss", "rise that the gradient promises, ε·‖∇ℓ‖₁", "rise along its sign", "linearity error γ(ε)",
			"γ / promised rise", "curvature ‖Hz‖", "along z, zᵀHz"},
		Notes: []string{
			fmt.Sprintf("γ by %d steps of ascent: a lower bound", l.Steps),
			fmt.Sprintf("Hz by a difference of gradients over a step of Euclidean length %g along the gradient's sign", l.H),
		},
	}
	for _, n := range l.Networks {
		rise, ratio := average(n.Slope), "–"
		if rise > 0 {
			ratio = threeDigits(average(n.Error) / rise)
		}
		t.Rows = append(t.Rows, []string{n.Name, threeDigits(average(n.Loss)), threeDigits(rise), threeDigits(n.Real[l.Profile-1] - n.Real[0]),
			threeDigits(average(n.Error)), ratio, threeDigits(average(n.Bend)), threeDigits(average(n.Along))})
	}
	return []*viz.Table{t}
}

// Pictures are the loss along the gradient's sign with its linear continuation, and the distributions of error and curvature.
func (l *Linearity) Pictures() ([]Picture, error) {
	var profile []viz.Series
	var names []string
	var errors, bends [][]float64
	steps := make([]float64, l.Profile)
	for i := range steps {
		steps[i] = 255 * l.at(i)
	}
	for i, n := range l.Networks {
		c := viz.Palette[i%len(viz.Palette)]
		profile = append(profile, viz.Series{Name: n.Name, X: steps, Y: n.Real, Color: c},
			viz.Series{Name: n.Name + ", linear", X: steps, Y: n.Linear, Color: c, Dashed: true})
		names, errors, bends = append(names, n.Name), append(errors, n.Error), append(bends, n.Bend)
	}
	along, err := viz.Curves(viz.CurvesOptions{
		Title: "Loss along the gradient's sign, and what the gradient promises", XLabel: "change of every value, in 1/255", YLabel: "mean cross-entropy",
	}, profile...)
	if err != nil {
		return nil, err
	}
	gap, err := distributions("Local linearity error", "γ(ε) in nats, logarithmic", names, errors)
	if err != nil {
		return nil, err
	}
	bend, err := distributions("Curvature along the gradient", "‖Hz‖, logarithmic", names, bends)
	if err != nil {
		return nil, err
	}
	return []Picture{{"profile", along}, {"error", gap}, {"curvature", bend}}, nil
}

// distributions draws for each network the share of images whose value is at most x, over a logarithmic x. Values of 0 count
// without being drawn, and a network that has no others is left out.
func distributions(title, x string, names []string, values [][]float64) (*viz.Figure, error) {
	var drawn []viz.Series
	for i, v := range values {
		s := viz.ECDF(names[i], v)
		if len(s.X) > 0 && s.X[0] == 0 {
			s.X, s.Y = s.X[1:], s.Y[1:]
		}
		if len(s.Y) > 0 {
			s.Color = viz.Palette[i%len(viz.Palette)]
			drawn = append(drawn, s)
		}
	}
	if len(drawn) == 0 {
		return (&viz.Table{Title: title, Header: []string{"all values are 0 or infinite"}}).Figure()
	}
	return viz.Curves(viz.CurvesOptions{Title: title, XLabel: x, YLabel: "share of images", LogX: true, YRange: [2]float64{0, 1}}, drawn...)
}
