package analysis

import (
	"fmt"
	"math"

	"cure/attacks"
	"cure/viz"
)

// Tables has the median distances.
func (b *Boundary) Tables() []*viz.Table {
	t := &viz.Table{
		Title:  fmt.Sprintf("Median L2 distance to the decision boundary, of those of %d images that the network gets right", b.Images),
		Header: append([]string{"network", "images"}, b.Names...),
		Notes: []string{
			fmt.Sprintf("lines: the nearest of %d; – where more than half of them reach their end without a change", b.Directions),
			"in pixels of [0, 1]; a change of 8/255 of all 3072 values has length 1.74",
		},
	}
	for _, n := range b.Networks {
		row := []string{n.Name, fmt.Sprint(len(n.Right))}
		for _, distances := range n.Distances {
			row = append(row, median(distances))
		}
		t.Rows = append(t.Rows, row)
	}
	return []*viz.Table{t}
}

// median is the text of a median, a dash where it is infinite or of nothing.
func median(distances []attacks.Number) string {
	v := quantile(plain(distances), .5)
	if len(distances) == 0 || math.IsInf(v, 1) {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}

// plain are distances as float64; those that JSON lost are infinite.
func plain(distances []attacks.Number) []float64 {
	out := make([]float64, len(distances))
	for i, v := range distances {
		out[i] = float64(v)
		if math.IsNaN(out[i]) {
			out[i] = math.Inf(1)
		}
	}
	return out
}

// Pictures are the distribution of distances of each network, over the same range, side by side.
func (b *Boundary) Pictures() ([]Picture, error) {
	hi := 0.0
	var all [][]float64
	for _, n := range b.Networks {
		for _, distances := range n.Distances {
			all = append(all, plain(distances))
			for _, v := range plain(distances) {
				if !math.IsInf(v, 1) {
					hi = max(hi, v)
				}
			}
		}
	}
	if hi == 0 {
		return nil, nil // no network gets an image right, or nothing changes a prediction
	}
	var figures []*viz.Figure
	for _, n := range b.Networks {
		var curves []viz.Series
		for k, distances := range n.Distances {
			s := viz.ECDF(b.Names[k], plain(distances))
			s.Color = viz.Palette[k%len(viz.Palette)]
			if len(s.Y) > 0 && s.X[0] > 0 {
				curves = append(curves, s)
			}
		}
		if len(curves) == 0 {
			continue
		}
		f, err := viz.Curves(viz.CurvesOptions{
			Title: n.Name, XLabel: "L2 distance", YLabel: "share with another prediction", LogX: true,
			XRange: [2]float64{leftEnd(all...), hi * 1.1}, YRange: [2]float64{0, 1}, Width: 10, Height: 8.5,
		}, curves...)
		if err != nil {
			return nil, err
		}
		figures = append(figures, f)
	}
	grid, err := viz.Grid(3, figures...)
	if err != nil {
		return nil, err
	}
	return []Picture{{"distances", grid}}, nil
}
