package viz

import (
	"fmt"
	"math"
)

// AdvTriplesOptions are the settings of [AdvTriples].
type AdvTriplesOptions struct {
	Title string
	// Eps is the L-infinity budget in [0, 1] pixels, such as 8.0/255: a change of
	// +Eps is shown white and -Eps black. 0 scales each image by its own largest
	// change, which is right for other norms and for smallest perturbations.
	Eps         float64
	Cols        int      // examples side by side; 0 means up to 6
	Scale       int      // size of a pixel on the page; 0 chooses
	CleanLabels []string // nil, or one an example, under the clean image
	AdvLabels   []string // nil, or one an example, under the adversarial image
	Fooled      []bool   // nil, or one an example: border around the adversarial image
}

// AdvTriples shows, for each example, the clean image, the adversarial one and,
// around grey, their difference amplified to the full range:
//
//	0.5 + (adv - clean) / (2 eps), clipped to [0, 1]
//
// with the largest change written below it in units of 1/255.
func AdvTriples(opt AdvTriplesOptions, clean, adv Images) (*Figure, error) {
	fig, err := advTriples(opt, clean, adv)
	if err != nil {
		return nil, fmt.Errorf("viz: adversarial triples: %w", err)
	}
	return fig, nil
}

func advTriples(opt AdvTriplesOptions, clean, adv Images) (*Figure, error) {
	n := clean.N
	if n == 0 || clean.H != adv.H || clean.W != adv.W || clean.C != adv.C || n != adv.N {
		return nil, fmt.Errorf("clean images [%d, %d, %d, %d] and adversarial ones [%d, %d, %d, %d]: want the same shape and at least one image",
			n, clean.H, clean.W, clean.C, adv.N, adv.H, adv.W, adv.C)
	}
	for _, m := range []Images{clean, adv} {
		if err := m.check(); err != nil {
			return nil, err
		}
	}
	if !(opt.Eps >= 0 && opt.Eps <= 1) {
		return nil, fmt.Errorf("eps = %g: want a budget in [0, 1], 0 to scale each image by itself", opt.Eps)
	}
	if opt.Cols < 0 || opt.Scale < 0 || opt.Scale > 64 {
		return nil, fmt.Errorf("%d columns at scale %d: want 0 or more columns and a scale of 0 to 64", opt.Cols, opt.Scale)
	}
	if bad := func(k int) bool { return k != 0 && k != n }; bad(len(opt.CleanLabels)) || bad(len(opt.AdvLabels)) || bad(len(opt.Fooled)) {
		return nil, fmt.Errorf("%d clean labels, %d adversarial labels and %d fooled marks for %d images: want as many, or none",
			len(opt.CleanLabels), len(opt.AdvLabels), len(opt.Fooled), n)
	}
	cols := opt.Cols
	if cols == 0 {
		cols = defCols
	}
	cols = min(cols, n)
	g := mosaic{title: opt.Title, h: clean.H, w: clean.W, c: clean.C, scale: opt.Scale, cols: cols, blockRows: 3}
	diffTitle := "difference, each to its own range"
	if opt.Eps > 0 {
		diffTitle = fmt.Sprintf("difference × %.3g", 1/(2*opt.Eps))
	}
	if opt.Fooled != nil {
		g.entries = []entry{wrongEntry}
	}
	for from := 0; from < n; from += cols {
		g.rowTitles = append(g.rowTitles, "clean", "adversarial", diffTitle)
		var block [3][]tile
		for i := from; i < from+cols; i++ {
			if i >= n {
				for k := range block {
					block[k] = append(block[k], tile{})
				}
				continue
			}
			diff, largest := amplified(clean.one(i), adv.one(i), opt.Eps)
			block[0] = append(block[0], tile{pix: clean.one(i), caption: labelAt(opt.CleanLabels, i)})
			block[1] = append(block[1], tile{pix: adv.one(i), caption: labelAt(opt.AdvLabels, i), wrong: opt.Fooled != nil && opt.Fooled[i]})
			block[2] = append(block[2], tile{pix: diff, caption: fmt.Sprintf("max %.3g/255", largest*255)})
		}
		for _, row := range block {
			g.tiles = append(g.tiles, row...)
		}
	}
	return g.draw()
}

// amplified is 0.5 + (adv-clean)/(2 eps), and the largest |adv-clean|; eps = 0
// means that largest change.
func amplified(clean, adv []float32, eps float64) (diff []float32, largest float64) {
	for i := range clean {
		largest = max(largest, math.Abs(float64(adv[i])-float64(clean[i])))
	}
	if eps == 0 {
		eps = largest
	}
	diff = make([]float32, len(clean))
	for i := range clean {
		diff[i] = 0.5
		if eps > 0 {
			diff[i] += float32((float64(adv[i]) - float64(clean[i])) / (2 * eps))
		}
	}
	return diff, largest
}

func labelAt(labels []string, i int) string {
	if len(labels) == 0 {
		return ""
	}
	return labels[i]
}
