package analysis

import (
	"fmt"

	"cure/viz"
)

// Layers lists the layers of the first network.
func (v *Visuals) Layers() (names []string) {
	for _, l := range v.Networks[0].Layers {
		names = append(names, l.Layer)
	}
	return names
}

// layer is that of a network, nil where it has none of that name.
func (n VisualNetwork) layer(name string) *VisualLayer {
	for i, l := range n.Layers {
		if l.Layer == name {
			return &n.Layers[i]
		}
	}
	return nil
}

// Show are the images of a layer's units, a row for each network that has the layer.
func (v *Visuals) Show(layer string) (*viz.Figure, error) {
	var pixels []uint8
	var captions, rows []string
	cols := 0
	for _, n := range v.Networks {
		l := n.layer(layer)
		if l == nil || len(l.Units) == 0 || cols != 0 && len(l.Units) != cols {
			continue
		}
		cols = len(l.Units)
		rows = append(rows, n.Name)
		for _, u := range l.Units {
			name := u.Name
			if name == "" {
				name = fmt.Sprintf("%d", u.Index)
			}
			captions = append(captions, fmt.Sprintf("%s\n%+.1f σ", name, u.Score()))
			pixels = append(pixels, u.Image...)
		}
	}
	if cols == 0 {
		return nil, fmt.Errorf("analysis: no network has a layer %q", layer)
	}
	return gridOf(viz.ImageGridOptions{Title: "What excites units of " + layer, Cols: cols, Captions: captions, RowTitles: rows, Scale: 2}, pixels)
}

// gridOf is a grid of images [N, 32, 32, 3].
func gridOf(opt viz.ImageGridOptions, pixels []uint8) (*viz.Figure, error) {
	images, err := viz.Uint8Images(pixels, side32, side32, 3)
	if err != nil {
		return nil, err
	}
	return viz.ImageGrid(opt, images)
}

// Tables say how far above real images the units are on their own images.
func (v *Visuals) Tables() []*viz.Table {
	t := &viz.Table{Title: fmt.Sprintf("Activation of units on the images made for them, in standard deviations σ above the mean of %d images of %s", v.N, v.Images),
		Header: []string{"network"}, Notes: []string{"mean over the units shown; in brackets the most that an image of the set reaches"}}
	t.Header = append(t.Header, v.Layers()...)
	for _, n := range v.Networks {
		cells := []string{n.Name}
		for _, name := range v.Layers() {
			cell := "–"
			if l := n.layer(name); l != nil {
				var own, most float64
				for _, u := range l.Units {
					own += u.Score() / float64(len(l.Units))
					u.Reached = u.Most
					most += u.Score() / float64(len(l.Units))
				}
				cell = fmt.Sprintf("%.1f (%.1f)", own, most)
			}
			cells = append(cells, cell)
		}
		t.Rows = append(t.Rows, cells)
	}
	return []*viz.Table{t}
}

// Pictures are [Visuals.Show] of every layer.
func (v *Visuals) Pictures() (list []Picture, err error) {
	for _, l := range v.Layers() {
		fig, err := v.Show(l)
		if err != nil {
			return nil, err
		}
		list = append(list, Picture{Name: "units-" + pictureName(l), Figure: fig})
	}
	return list, nil
}
