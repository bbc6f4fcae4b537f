package analysis

import (
	"fmt"
	"math"

	"cure/viz"
)

// Pictures are the sparsity of the perturbations as bars, and maps of where they are.
func (s *Sparsity) Pictures() ([]Picture, error) {
	var names []string
	var bars []viz.BarSeries
	drawn := 0
	for i, n := range s.Networks {
		b := viz.BarSeries{Name: n.Name}
		for _, a := range n.Attacks {
			v := a.Hoyer
			if a.Images == 0 {
				v = math.NaN()
			} else {
				drawn++
			}
			b.Values = append(b.Values, v)
			if i == 0 {
				names = append(names, a.Name)
			}
		}
		bars = append(bars, b)
	}
	if drawn == 0 {
		return nil, nil // nobody was fooled
	}
	hoyer, err := viz.Bars(viz.BarsOptions{Title: "Hoyer sparsity of the perturbations", YLabel: "0 even, 1 a single value", YRange: [2]float64{0, 1.1}, Format: "%.2f"}, names, bars...)
	if err != nil {
		return nil, err
	}
	maps, err := s.maps(len(names))
	if err != nil {
		return nil, err
	}
	return []Picture{{"hoyer", hoyer}, {"maps", maps}}, nil
}

// maps puts the maps of networks in rows and those of attacks in columns, in the same colours: 1 is the share of a pixel
// where all have the same.
func (s *Sparsity) maps(columns int) (*viz.Figure, error) {
	const brightest = 3
	var figures []*viz.Figure
	for _, n := range s.Networks {
		for _, a := range n.Attacks {
			side := int(math.Sqrt(float64(len(a.Map))))
			rows := make([][]float64, side)
			for i, v := range a.Map {
				if a.Images == 0 {
					v = 0
				}
				rows[i/side] = append(rows[i/side], v*float64(len(a.Map)))
			}
			f, err := viz.Heatmap(viz.HeatmapOptions{
				Title: fmt.Sprintf("%s, %s (%d images)", n.Name, a.Name, a.Images), Width: 9, NoValues: true, Range: [2]float64{0, brightest},
				ColorLabel: "share of |δ|, 1 if even",
			}, rows)
			if err != nil {
				return nil, err
			}
			figures = append(figures, f)
		}
	}
	return viz.Grid(columns, figures...)
}
