package analysis

import (
	"cmp"
	"context"
	"fmt"

	"github.com/gomlx/compute"

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
	if err := cmp.Or(checkInput(nets, set), o.Validate()); err != nil {
		return nil, err
	}
	targets, err := lineTargets(set, o)
	if err != nil {
		return nil, err
	}
	w := newWalker(o, set)
	defer w.Close()
	networks, err := measureEach(device, nets, func(_ int, s *subject) (NetworkBoundary, error) { return w.measure(ctx, s, set, targets) })
	if err != nil {
		return nil, err
	}
	b := &Boundary{BoundaryOptions: o, Images: set.Len(), Networks: networks}
	b.BoundaryOptions.Attacks = nil // Names has what of them is a result
	for _, a := range o.Attacks {
		b.Names = append(b.Names, a.Name)
	}
	b.Names = append(b.Names, towardsImages, towardsNoise)
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
