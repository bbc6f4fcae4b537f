package analysis

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// BoundaryOptions are the settings of [MeasureBoundary].
type BoundaryOptions struct {
	// Attacks are searches for smallest perturbations in L2.
	Attacks    []attacks.Attack `json:"attacks,omitempty"`
	Directions int              `json:"directions"` // images, and fields of noise, that each image moves towards
	Grid       int              `json:"grid"`       // points on the way
	Refine     int              `json:"refine"`     // bisections of the first interval in which the prediction changes
	Seed       uint64           `json:"seed"`
}

// DefaultBoundary has FMN and DeepFool.
func DefaultBoundary() BoundaryOptions {
	list, _ := attacks.ParseList("fmn-l2,deepfool-l2") // which exist
	return BoundaryOptions{Attacks: list, Directions: 3, Grid: 20, Refine: 10}
}

// Validate says what is wrong with the settings, whose attacks may be missing.
func (o BoundaryOptions) Validate() error {
	if o.Directions < 1 || o.Grid < 1 || o.Refine < 0 {
		return fmt.Errorf("analysis: boundary: %d directions, %d grid points, %d bisections: want at least 1, 1 and 0", o.Directions, o.Grid, o.Refine)
	}
	for _, a := range o.Attacks {
		switch a.Method.(type) {
		case attacks.DDN, attacks.FMN, attacks.ALMA, attacks.DeepFool, attacks.Carlini, attacks.Bisection:
			if norm := a.Method.Budget().Norm; norm != attacks.L2 {
				return fmt.Errorf("analysis: boundary: %s searches in %s: want l2, which distances along directions are in", a.Name, norm)
			}
		default:
			return fmt.Errorf("analysis: boundary: %s does not look for smallest perturbations: want fmn-l2, deepfool-l2, ddn, alma and the like", a.Name)
		}
	}
	return nil
}

// Boundary says how far the decisions of networks reach.
type Boundary struct {
	BoundaryOptions
	Names    []string          `json:"names"` // of the ways to the boundary
	Images   int               `json:"images"`
	Networks []NetworkBoundary `json:"networks"`
}

// NetworkBoundary has the Euclidean distances, in pixels of [0, 1], at which the prediction changes, for the images that
// the network classifies correctly; infinite (null in JSON) where it does not on the way.
type NetworkBoundary struct {
	Name      string             `json:"name"`
	Right     []int              `json:"right"`     // the images
	Distances [][]attacks.Number `json:"distances"` // of every way in Names and each of these images
}

// Ways to the boundary besides attacks.
const (
	towardsImages = "towards other images"
	towardsNoise  = "towards noise"
)

// MeasureBoundary measures the distance from images of a set to the decision boundary: as the attacks find it, and along
// straight lines towards images of other classes, natural directions, and towards uniform noise. Of several lines the
// shortest distance counts. On a line x + s·(x' - x), 0 < s <= 1, the prediction is looked at on a grid of s and then
// bisected, so that a class passed between two points of the grid is not seen; lines do not leave the pixel box.
func MeasureBoundary(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o BoundaryOptions) (*Boundary, error) {
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	b := &Boundary{BoundaryOptions: o, Images: set.Len(), Networks: make([]NetworkBoundary, len(nets))}
	for _, a := range o.Attacks {
		b.Names = append(b.Names, a.Name)
	}
	b.Names = append(b.Names, towardsImages, towardsNoise)
	targets, err := lineTargets(set, o)
	if err != nil {
		return nil, err
	}
	open := func(m attacks.Model) (*walker, error) { return newWalker(m, o, min(attacks.DefaultBatch, set.Len())) }
	err = perForm(device, nets, open, func(i int, p *walker, m attacks.Model) (err error) {
		b.Networks[i], err = p.measure(ctx, m, set, targets)
		b.Networks[i].Name = nets[i].Name
		return err
	})
	if err != nil {
		return nil, err
	}
	b.BoundaryOptions.Attacks = nil // Names has what of them is a result
	return b, nil
}

// lineTargets are where the lines lead: [way][direction], images [N, H, W, C] each.
func lineTargets(set *data.Set, o BoundaryOptions) (targets [2][][]float32, err error) {
	images := pixels(set.Images)
	d := len(images) / set.Len()
	for direction := range o.Directions {
		natural, noise := make([]float32, len(images)), make([]float32, len(images))
		for i, y := range set.Labels {
			rng := data.Stream(o.Seed, "boundary/image", uint64(direction), uint64(i))
			found := false
			for _, j := range rng.Perm(set.Len()) {
				if found = set.Labels[j] != y; found {
					copy(natural[i*d:(i+1)*d], images[j*d:(j+1)*d])
					break
				}
			}
			if !found {
				return targets, fmt.Errorf("analysis: boundary: all %d images are of class %d: want images of two classes or more", set.Len(), y)
			}
			rng = data.Stream(o.Seed, "boundary/noise", uint64(direction), uint64(i))
			for k := range d {
				noise[i*d+k] = rng.Float32()
			}
		}
		targets[0], targets[1] = append(targets[0], natural), append(targets[1], noise)
	}
	return targets, nil
}

// walker has the programs of [MeasureBoundary].
type walker struct {
	BoundaryOptions
	programs
	attack *attacks.Evaluator
}

func newWalker(m attacks.Model, o BoundaryOptions, batch int) (w *walker, err error) {
	w = &walker{BoundaryOptions: o}
	// the class at x + s·(target - x)
	w.programs, err = makePrograms(m.Backend, programGraph{3, func(in, weights []*Node) []*Node {
		x, target, s := in[0], in[1], in[2]
		z := m.Logits(weights, Add(x, Mul(Sub(target, x), wideRows(s, x))))
		return []*Node{ConvertDType(ArgMax(z, -1, dtypes.Int32), dtypes.Float32)}
	}})
	if err != nil {
		return nil, err
	}
	if w.attack, err = attacks.NewEvaluator(m, batch); err != nil {
		w.programs.Close()
		return nil, err
	}
	return w, nil
}

// Close frees what was compiled.
func (w *walker) Close() {
	w.programs.Close()
	w.attack.Close()
}

func (w *walker) measure(ctx context.Context, m attacks.Model, set *data.Set, targets [2][][]float32) (n NetworkBoundary, err error) {
	r, err := w.attack.Evaluate(ctx, m.Weights, set.Images, set.Labels, w.Attacks, attacks.Options{Seed: int64(w.Seed)})
	if err != nil {
		return n, err
	}
	n.Right = []int{}
	for i, right := range r.Clean.Flags {
		if right {
			n.Right = append(n.Right, i)
		}
	}
	pick := func(all func(i int) attacks.Number) {
		distances := make([]attacks.Number, len(n.Right))
		for k, i := range n.Right {
			distances[k] = all(i)
		}
		n.Distances = append(n.Distances, distances)
	}
	for _, a := range r.Attacks {
		pick(func(i int) attacks.Number { return a.Distances[i] })
	}
	for _, way := range targets {
		shortest := make([]float64, set.Len())
		for i := range shortest {
			shortest[i] = math.Inf(1)
		}
		for _, target := range way {
			distances, err := w.walk(ctx, m, pixels(set.Images), target, set.Labels)
			if err != nil {
				return n, err
			}
			for i, v := range distances {
				shortest[i] = min(shortest[i], v)
			}
		}
		pick(func(i int) attacks.Number { return attacks.Number(shortest[i]) })
	}
	return n, nil
}

// walk returns for each image the distance towards its target at which its class is no longer its label.
func (w *walker) walk(ctx context.Context, m attacks.Model, images, targets []float32, labels []int32) (distances []float64, err error) {
	d := m.Image[0] * m.Image[1] * m.Image[2]
	err = parts(images, labels, m.Image, func(p part) error {
		room := make([]float32, len(p.host))
		copy(room, p.host)
		copy(room, targets[p.first*d:(p.first+p.n)*d])
		target := p.like(room)
		defer release(target)
		changed := func(s []float32) ([]bool, error) {
			at := tensors.FromValue(s)
			defer release(at)
			out, err := w.programs[0].call(ctx, m.Weights, p.x, target, at)
			if err != nil {
				return nil, err
			}
			classes, err := read(out[0], p.n)
			flags := make([]bool, p.n)
			for row := range classes {
				flags[row] = int32(classes[row]) != labels[p.first+row]
			}
			return flags, err
		}
		shares, err := firstChange(len(p.host)/d, p.n, w.Grid, w.Refine, changed)
		if err != nil {
			return err
		}
		for row, s := range shares {
			length := 0.0
			for k := row * d; k < (row+1)*d; k++ {
				v := float64(room[k]) - float64(p.host[k])
				length += v * v
			}
			distances = append(distances, s*math.Sqrt(length))
		}
		return nil
	})
	return distances, err
}

// firstChange looks for the share s of the way at which each of n rows changes: the first point of the grid where it has,
// and from there bisections. It is +Inf where there is none. changed takes one s for each of size rows.
func firstChange(size, n, grid, refine int, changed func(s []float32) ([]bool, error)) ([]float64, error) {
	lo, hi, at := make([]float64, n), make([]float64, n), make([]float32, size)
	for row := range hi {
		hi[row] = math.Inf(1)
	}
	for g := 1; g <= grid; g++ {
		for row := range at {
			at[row] = float32(g) / float32(grid)
		}
		flags, err := changed(at)
		if err != nil {
			return nil, err
		}
		for row, yes := range flags {
			if yes && math.IsInf(hi[row], 1) {
				lo[row], hi[row] = float64(g-1)/float64(grid), float64(g)/float64(grid)
			}
		}
	}
	for range refine {
		for row := range n {
			at[row] = 0
			if !math.IsInf(hi[row], 1) {
				at[row] = float32((lo[row] + hi[row]) / 2)
			}
		}
		flags, err := changed(at)
		if err != nil {
			return nil, err
		}
		for row, yes := range flags {
			switch {
			case math.IsInf(hi[row], 1):
			case yes:
				hi[row] = float64(at[row])
			default:
				lo[row] = float64(at[row])
			}
		}
	}
	return hi, nil
}
