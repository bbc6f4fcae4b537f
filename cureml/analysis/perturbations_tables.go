package analysis

import (
	"fmt"
	"math"

	"cure/viz"
)

// perturbationUnit is how distances in a norm are shown.
type perturbationUnit struct {
	name   string  // of the norm
	label  string  // of an axis
	scale  float64 // from pixels of [0, 1]
	budget float64 // that papers attack with, in pixels of [0, 1]; 0 for none
	mark   string
}

func (r *Perturbations) unit() perturbationUnit {
	switch r.Norm {
	case "linf":
		return perturbationUnit{"L∞", "eps, L∞, in 1/255", 255, 8. / 255, "8/255"}
	case "l2":
		return perturbationUnit{"L2", "eps, L2, in pixels of [0, 1]", 1, .5, "0.5"}
	case "l1":
		return perturbationUnit{"L1", "eps, L1, in pixels of [0, 1]", 1, 12, "12"}
	}
	return perturbationUnit{"L0", "eps, L0, values changed", 1, 0, ""}
}

// shown is a distance in the unit, or a dash.
func (u perturbationUnit) shown(distance float64) string {
	if distance == Missing {
		return "–"
	}
	return fmt.Sprintf("%.3g", u.scale*distance)
}

// Tables are the distances of each network, the networks against each other image by image, and the searches.
func (r *Perturbations) Tables() []*viz.Table {
	return []*viz.Table{r.distances(), r.versus(), r.searches()}
}

func (r *Perturbations) distances() *viz.Table {
	u := r.unit()
	unit := "pixels of [0, 1]"
	if u.scale != 1 {
		unit = fmt.Sprintf("1/%.0f", u.scale)
	}
	t := &viz.Table{
		Title:  fmt.Sprintf("Smallest %s perturbations found, in %s, on %d images of %s", u.name, unit, r.N, r.Images),
		Header: []string{"network", "clean (%)", "found (%)", "10 % of images", "median", "90 % of images"},
		Notes: []string{"Distances and found: of the images that the network gets right. 10 % of images: one image in ten needs no more.",
			"A dash: for so many images no search found any."},
	}
	if u.budget > 0 {
		t.Header = append(t.Header, "accuracy at "+u.mark+" (%)")
	}
	for _, n := range r.Networks {
		all, found := n.attacked(), 0
		for _, d := range all {
			if !math.IsInf(d, 1) {
				found++
			}
		}
		row := []string{n.Name, fmt.Sprintf("%.1f", 100*n.Accuracy(0)), fmt.Sprintf("%.1f", 100*float64(found)/float64(max(len(all), 1)))}
		for _, q := range []float64{.1, .5, .9} {
			row = append(row, u.shown(n.Quantile(q)))
		}
		if u.budget > 0 {
			row = append(row, fmt.Sprintf("%.1f", 100*n.Accuracy(u.budget)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Perturbations) versus() *viz.Table {
	t := &viz.Table{
		Title:  "Image by image: on how many (%) the network of the row needs the larger perturbation than that of the column",
		Header: []string{"network"},
		Notes:  []string{"Of the images that both get right."},
	}
	for _, b := range r.Networks {
		t.Header = append(t.Header, b.Name)
	}
	for i, a := range r.Networks {
		row := []string{a.Name}
		for k, b := range r.Networks {
			share, images := harder(a, b)
			if i == k || images == 0 {
				row = append(row, "–")
				continue
			}
			row = append(row, fmt.Sprintf("%.1f", 100*share))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Perturbations) searches() *viz.Table {
	u := r.unit()
	t := &viz.Table{
		Title:  "The searches",
		Header: []string{"network", "search", "found", "nearest", "median", "passes an image"},
		Notes:  []string{"found, nearest: images that it fooled the network on, and that no other search found nearer. passes: forward and backward."},
	}
	for _, n := range r.Networks {
		for _, s := range n.Searches {
			t.Rows = append(t.Rows, []string{n.Name, s.Attack, fmt.Sprint(s.Found), fmt.Sprint(s.Nearest), u.shown(s.Median),
				fmt.Sprintf("%.0f", float64(s.Forwards+s.Backwards)/float64(max(len(n.attacked()), 1)))})
		}
	}
	return t
}
