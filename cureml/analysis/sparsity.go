package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/data"
	"cure/viz"
)

// SparsityOptions are the settings of [MeasureSparsity].
type SparsityOptions struct {
	Attacks []attacks.Attack `json:"attacks"`
	Seed    uint64           `json:"seed"`
}

// DefaultSparsity has PGD-20, and the searches for the smallest perturbations in L0 and L1.
func DefaultSparsity() SparsityOptions {
	list, _ := attacks.ParseList("pgd20,fmn-l1,fmn-l0") // which exist
	return SparsityOptions{Attacks: list}
}

// Sparsity says where in the images attacks change them, and how much of the images.
type Sparsity struct {
	Images   int               `json:"images"`
	Networks []NetworkSparsity `json:"networks"`
}

// NetworkSparsity is what a network's attacks look like.
type NetworkSparsity struct {
	Name    string      `json:"name"`
	Attacks []Footprint `json:"attacks"`
}

// Footprint describes the perturbations of one attack that fooled a network about an image that it got right; all numbers are means
// over them, and 0 where there are none. δ is a perturbation of n values.
type Footprint struct {
	Name   string  `json:"name"`
	Images int     `json:"images"`
	Values float64 `json:"values"` // share of values that change by more than 1e-6
	Pixels float64 `json:"pixels"` // share of pixels of which a channel does
	Hoyer  float64 `json:"hoyer"`  // (√n - ‖δ‖₁/‖δ‖₂)/(√n - 1): 0 where all values change equally, 1 where one does
	Linf   float64 `json:"linf"`   // in pixels of [0, 1]
	L2     float64 `json:"l2"`     // in pixels of [0, 1]
	// Centre is the share of Σ|δ| in the middle quarter of the image, Edges that on the quarter of its pixels where the
	// image changes most: of an even perturbation both are 0.25.
	Centre float64 `json:"centre"`
	Edges  float64 `json:"edges"`
	// Map is the share of Σ|δ| at each pixel, [H, W]; it adds up to 1.
	Map []float64 `json:"map"`
}

// MeasureSparsity attacks networks and looks at the perturbations: their L0 share, their Hoyer sparsity (Hoyer 2004,
// Journal of Machine Learning Research 5, section 3.1), and where in the image they are. The edges of an image are by
// Sobel's operator on the mean of its channels.
func MeasureSparsity(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o SparsityOptions) (*Sparsity, error) {
	if err := checkAttacked(nets, set, o.Attacks...); err != nil {
		return nil, err
	}
	attack := newEvaluator(set)
	defer attack.Close()
	networks, err := measureEach(device, nets, func(_ int, s *subject) (NetworkSparsity, error) {
		n := NetworkSparsity{Name: s.Name}
		r, err := attack.evaluate(ctx, s, set, o.Attacks, attacks.Options{Seed: int64(o.Seed), KeepAdv: true})
		if err != nil {
			return n, err
		}
		for _, a := range r.Attacks {
			fooled := make([]bool, set.Len())
			for k := range fooled {
				fooled[k] = r.Clean.Flags[k] && !resists(a, k)
			}
			found := footprint(pixels(set.Images), a.Adv, fooled, s.Image)
			found.Name = a.Name
			n.Attacks = append(n.Attacks, found)
		}
		return n, nil
	})
	if err != nil {
		return nil, err
	}
	return &Sparsity{set.Len(), networks}, nil
}

// resists says whether the network still gets image k right as the attack returned it. Searches for smallest
// perturbations call images robust that they changed by more than eps, so that their distances tell.
func resists(a *attacks.Result, k int) bool {
	if a.Distances != nil {
		return math.IsInf(float64(a.Distances[k]), 1)
	}
	return a.RobustFlags[k]
}

// footprint describes adv - clean, images [N, H, W, C], where fooled says so.
func footprint(clean, adv []float32, fooled []bool, image [3]int) Footprint {
	const unchanged = 1e-6
	h, w, c := image[0], image[1], image[2]
	p, d := Footprint{Map: make([]float64, h*w)}, h*w*c
	for i, yes := range fooled {
		if !yes {
			continue
		}
		delta := make([]float64, d)
		var sum, squares, largest float64
		for k := range delta {
			delta[k] = math.Abs(float64(adv[i*d+k]) - float64(clean[i*d+k]))
			sum += delta[k]
			squares += delta[k] * delta[k]
			largest = max(largest, delta[k])
		}
		if sum == 0 {
			continue // a network that says one thing to the same image in two programs
		}
		p.Images++
		edges := edgePixels(clean[i*d:(i+1)*d], h, w, c)
		for pixel := range h * w {
			changed := false
			for _, v := range delta[pixel*c : (pixel+1)*c] {
				if v > unchanged {
					changed = true
					p.Values += 1 / float64(d)
				}
				share := v / sum
				p.Map[pixel] += share
				y, x := pixel/w, pixel%w
				if y >= h/4 && y < h-h/4 && x >= w/4 && x < w-w/4 {
					p.Centre += share
				}
				if edges[pixel] {
					p.Edges += share
				}
			}
			if changed {
				p.Pixels += 1 / float64(h*w)
			}
		}
		root := math.Sqrt(float64(d))
		p.Hoyer += (root - sum/math.Sqrt(squares)) / (root - 1)
		p.Linf += largest
		p.L2 += math.Sqrt(squares)
	}
	n := math.Max(float64(p.Images), 1)
	for _, v := range []*float64{&p.Values, &p.Pixels, &p.Hoyer, &p.Linf, &p.L2, &p.Centre, &p.Edges} {
		*v /= n
	}
	for k := range p.Map {
		p.Map[k] /= n
	}
	return p
}

// edgePixels are the quarter of an image's pixels with the longest gradients by Sobel's operator; those at the border
// repeat, and of equal ones the first count.
func edgePixels(image []float32, h, w, c int) []bool {
	at := func(y, x int) (sum float64) {
		y, x = min(max(y, 0), h-1), min(max(x, 0), w-1)
		for k := range c {
			sum += float64(image[(y*w+x)*c+k])
		}
		return sum
	}
	length := make([]float64, h*w)
	order := make([]int, h*w)
	for i := range length {
		y, x := i/w, i%w
		dx := at(y-1, x+1) + 2*at(y, x+1) + at(y+1, x+1) - at(y-1, x-1) - 2*at(y, x-1) - at(y+1, x-1)
		dy := at(y+1, x-1) + 2*at(y+1, x) + at(y+1, x+1) - at(y-1, x-1) - 2*at(y-1, x) - at(y-1, x+1)
		length[i], order[i] = math.Hypot(dx, dy), i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case length[a] > length[b]:
			return -1
		case length[a] < length[b]:
			return 1
		}
		return 0
	})
	edges := make([]bool, h*w)
	for _, i := range order[:h*w/4] {
		edges[i] = true
	}
	return edges
}

// Tables has a row for each network and attack.
func (s *Sparsity) Tables() []*viz.Table {
	t := &viz.Table{
		Title: fmt.Sprintf("Perturbations that fool the network, of %d images", s.Images),
		Header: []string{"network", "attack", "fooled", "values changed %", "pixels changed %", "Hoyer sparsity", "largest change, 1/255", "L2 length",
			"in the centre %", "on edges %"},
		Notes: []string{"centre: the middle quarter of the image; edges: the quarter of its pixels that differ most from their neighbours; 25 % would be even"},
	}
	for _, n := range s.Networks {
		for _, a := range n.Attacks {
			row := []string{n.Name, a.Name, fmt.Sprint(a.Images)}
			if a.Images == 0 {
				row = append(row, "–", "–", "–", "–", "–", "–", "–")
			} else {
				row = append(row, percents(a.Values), percents(a.Pixels), fmt.Sprintf("%.3f", a.Hoyer), fmt.Sprintf("%.1f", 255*a.Linf), fmt.Sprintf("%.3f", a.L2),
					percents(a.Centre), percents(a.Edges))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return []*viz.Table{t}
}
