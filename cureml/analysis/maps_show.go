package analysis

import (
	"fmt"
	"slices"

	"cure/viz"
)

// Show are the targets, the starts, and what the networks made of them.
func (r *Inversions) Show() (*viz.Figure, error) {
	n := len(r.Targets) / imageValues
	pixels := slices.Concat(r.Targets, r.Starts)
	captions := make([]string, 2*n)
	rows := []string{"represented", "start"}
	for _, net := range r.Networks {
		pixels = append(pixels, net.Found...)
		rows = append(rows, net.Name)
		for i := range n {
			captions = append(captions, fmt.Sprintf("%.2f → %.2f", net.Start[i], net.Representation[i]))
		}
	}
	return gridOf(viz.ImageGridOptions{Title: "Images with the same representation (" + r.Layer + ")", Cols: n, Captions: captions, RowTitles: rows, Scale: 3}, pixels)
}

// Tables are the distances that were reached.
func (r *Inversions) Tables() []*viz.Table {
	t := &viz.Table{Title: fmt.Sprintf("Inversion of %s of %d images of %s, %d steps", r.Layer, len(r.Targets)/imageValues, r.Images, r.Steps),
		Header: []string{"network", "distance at the start", "distance reached", "pixel distance"},
		Notes:  []string{"distance: |g(x') - g(x)| / |g(x)| of the representations g; pixel distance: root mean square of x' - x, pixels in [0, 1]; means over the images"}}
	for _, n := range r.Networks {
		t.Rows = append(t.Rows, []string{n.Name, fmt.Sprintf("%.3f", average(n.Start)), fmt.Sprintf("%.3f", average(n.Representation)), fmt.Sprintf("%.3f", average(n.Pixels))})
	}
	return []*viz.Table{t}
}

// Pictures is [Inversions.Show].
func (r *Inversions) Pictures() ([]Picture, error) {
	fig, err := r.Show()
	return []Picture{{"inversions", fig}}, err
}

// Show are the images and the gradient maps of every network.
func (g *InputGradients) Show() (*viz.Figure, error) {
	pixels, rows := slices.Clone(g.Shown), []string{"image"}
	captions := slices.Clone(g.Labels)
	for _, n := range g.Networks {
		pixels, rows = append(pixels, n.Maps...), append(rows, n.Name)
		captions = append(captions, make([]string, len(g.Labels))...)
	}
	return gridOf(viz.ImageGridOptions{Title: "Gradient of the loss with respect to the image", Cols: len(g.Labels), Captions: captions, RowTitles: rows, Scale: 3}, pixels)
}

// Tables are the measures of the gradients.
func (g *InputGradients) Tables() []*viz.Table {
	t := &viz.Table{Title: fmt.Sprintf("Input gradients on %d images of %s", g.N, g.Images),
		Header: []string{"network", "alignment", "smooth (%)", "length"},
		Notes: []string{"alignment: |cos| of the gradient and the image less its mean; smooth: share of the gradient's energy in the 64 lowest of 1,024 frequencies " +
			"(white noise: 6.25); length: |gradient| in L2, median"}}
	for _, n := range g.Networks {
		t.Rows = append(t.Rows, []string{n.Name, fmt.Sprintf("%.4f", n.Alignment), fmt.Sprintf("%.1f", 100*n.Smooth), fmt.Sprintf("%.3g", n.Length)})
	}
	return []*viz.Table{t}
}

// Pictures is [InputGradients.Show].
func (g *InputGradients) Pictures() ([]Picture, error) {
	fig, err := g.Show()
	return []Picture{{"gradients", fig}}, err
}

// Show are the images, and for each network its maps over the clean and over the attacked images, with what it sees there.
func (a *Attention) Show() (*viz.Figure, error) {
	n := len(a.Labels)
	base, err := viz.Uint8Images(a.Shown, side32, side32, 3)
	if err != nil {
		return nil, err
	}
	all := []viz.Images{base}
	rows, captions, wrong := []string{"image"}, slices.Clone(a.Labels), make([]bool, n)
	for _, net := range a.Networks {
		adv, err := viz.Uint8Images(net.AttackedShown, side32, side32, 3)
		if err != nil {
			return nil, err
		}
		for _, of := range []struct {
			title  string
			images viz.Images
			maps   [][]float64
			seen   []string
		}{{net.Name, base, net.Clean, net.Seen}, {net.Name + ", attacked", adv, net.Attacked, net.SeenAttacked}} {
			var heat []float32
			for _, m := range of.maps {
				heat = append(heat, enlarge(m, net.Size[0], net.Size[1])...)
			}
			over, err := viz.Overlay(of.images, heat)
			if err != nil {
				return nil, err
			}
			all, rows, captions = append(all, over), append(rows, of.title), append(captions, of.seen...)
			for i, s := range of.seen {
				wrong = append(wrong, s != a.Labels[i])
			}
		}
	}
	images, err := viz.Join(all...)
	if err != nil {
		return nil, err
	}
	return viz.ImageGrid(viz.ImageGridOptions{Title: "Where the evidence for the right class is (Grad-CAM)", Cols: n, Captions: captions, RowTitles: rows, Wrong: wrong, Scale: 3}, images)
}

// Tables say how maps change under attack.
func (a *Attention) Tables() []*viz.Table {
	t := &viz.Table{Title: fmt.Sprintf("Grad-CAM for the right class on %d images of %s", a.N, a.Images),
		Header: []string{"network", "block", "map", "kept under attack", "blank (%)"},
		Notes:  []string{"kept: correlation of an image's maps before and after " + a.Attack + ", mean; blank: clean images whose map is 0 everywhere"}}
	for _, n := range a.Networks {
		t.Rows = append(t.Rows, []string{n.Name, n.Layer, fmt.Sprintf("%d x %d", n.Size[0], n.Size[1]), fmt.Sprintf("%.3f", n.Kept), fmt.Sprintf("%.1f", 100*n.Blank)})
	}
	return []*viz.Table{t}
}

// Pictures is [Attention.Show].
func (a *Attention) Pictures() ([]Picture, error) {
	fig, err := a.Show()
	return []Picture{{"grad-cam", fig}}, err
}
