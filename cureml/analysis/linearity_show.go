package analysis

import (
	"fmt"
	"math"

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
	number := func(v float64) string { return fmt.Sprintf("%.3g", v) }
	for _, n := range l.Networks {
		rise, ratio := average(n.Slope), "–"
		if rise > 0 {
			ratio = number(average(n.Error) / rise)
		}
		t.Rows = append(t.Rows, []string{n.Name, number(average(n.Loss)), number(rise), number(n.Real[l.Profile-1] - n.Real[0]),
			number(average(n.Error)), ratio, number(average(n.Bend)), number(average(n.Along))})
	}
	return []*viz.Table{t}
}

// Pictures are the loss along the gradient's sign with its linear continuation, and the distributions of error and curvature.
func (l *Linearity) Pictures() ([]Picture, error) {
	var profile, errors, bends []viz.Series
	steps := make([]float64, l.Profile)
	for i := range steps {
		steps[i] = 255 * l.at(i)
	}
	for i, n := range l.Networks {
		c := viz.Palette[i%len(viz.Palette)]
		profile = append(profile, viz.Series{Name: n.Name, X: steps, Y: n.Real, Color: c},
			viz.Series{Name: n.Name + ", linear", X: steps, Y: n.Linear, Color: c, Dashed: true})
		errors = append(errors, viz.ECDF(n.Name, logarithms(n.Error)))
		bends = append(bends, viz.ECDF(n.Name, logarithms(n.Bend)))
	}
	along, err := viz.Curves(viz.CurvesOptions{
		Title: "Loss along the gradient's sign, and what the gradient promises", XLabel: "change of every value, in 1/255", YLabel: "mean cross-entropy",
	}, profile...)
	if err != nil {
		return nil, err
	}
	gap, err := distributions("Local linearity error", "log10 γ(ε), nats", errors)
	if err != nil {
		return nil, err
	}
	bend, err := distributions("Curvature along the gradient", "log10 ‖Hz‖", bends)
	if err != nil {
		return nil, err
	}
	return []Picture{{"profile", along}, {"error", gap}, {"curvature", bend}}, nil
}

// logarithms to base 10; of 0 it is -Inf, which distribution curves count without drawing it.
func logarithms(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = math.Log10(v)
	}
	return out
}

// distributions draws distribution functions. Samples without a value to draw are left out.
func distributions(title, x string, all []viz.Series) (*viz.Figure, error) {
	var drawn []viz.Series
	for i, s := range all {
		if len(s.Y) > 0 {
			s.Color = viz.Palette[i%len(viz.Palette)]
			drawn = append(drawn, s)
		}
	}
	if len(drawn) == 0 {
		return (&viz.Table{Title: title, Header: []string{"all values are 0 or infinite"}}).Figure()
	}
	return viz.Curves(viz.CurvesOptions{Title: title, XLabel: x, YLabel: "share of images", YRange: [2]float64{0, 1}}, drawn...)
}
