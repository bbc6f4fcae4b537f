package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/data"
)

// PerturbationOptions are the settings of [MeasurePerturbations].
type PerturbationOptions struct {
	// Attacks are searches for smallest perturbations in one norm. Of what they find, the nearest counts, image by image.
	Attacks  []attacks.Attack
	Seed     int64
	First    int    // number of the set's first image for the random numbers of the attacks
	Examples int    // images that are kept with their perturbations
	State    string // files, one for each network, that keep what was found and that a repeated measurement goes on from; "" keeps none
	Progress func(network string, p attacks.Progress)
}

// Missing stands for a distance that is not there: no search found an adversarial image.
const Missing = -1

// Perturbations says how far images are from the nearest ones that networks get wrong.
type Perturbations struct {
	Images   string                `json:"images"` // name of the set
	N        int                   `json:"n"`
	Norm     string                `json:"norm"`
	Classes  []string              `json:"classes"`
	Networks []PerturbedNetwork    `json:"networks"`
	Examples []PerturbationExample `json:"examples"`
}

// PerturbedNetwork is what it takes to fool one network. Distances are in the norm, in pixels of [0, 1]; they are those of
// images that were found, and so upper bounds of the smallest.
type PerturbedNetwork struct {
	Name string `json:"name"`
	// Distances has one for each image: 0 where the network is wrong already, [Missing] where no search succeeded.
	Distances []float64 `json:"distances"`
	// Nearest is the index in Searches of the one that found the image, and -1 where there was nothing to find or none did.
	Nearest  []int    `json:"nearest"`
	Searches []Search `json:"searches"`
}

// Search is one attack on one network.
type Search struct {
	Attack    string  `json:"attack"`
	Found     int     `json:"found"`   // images, of those that the network gets right
	Nearest   int     `json:"nearest"` // images that no other search found nearer
	Median    float64 `json:"median"`  // distance of the images that the network gets right, see [PerturbedNetwork.Quantile]
	Forwards  int64   `json:"forwards"`
	Backwards int64   `json:"backwards"`
}

// PerturbationExample is an image that all networks get right, and the nearest images found that they get wrong.
type PerturbationExample struct {
	Image    int              `json:"image"` // index in the set
	Label    int32            `json:"label"`
	Clean    Packed           `json:"clean"`    // [32, 32, 3], in [0, 1]
	Networks []PerturbedImage `json:"networks"` // in their order
}

// PerturbedImage is such an image.
type PerturbedImage struct {
	Adv      Packed  `json:"adv"` // [32, 32, 3], in [0, 1]
	Class    int     `json:"class"`
	Distance float64 `json:"distance"`
}

// MeasurePerturbations looks for the smallest perturbation that fools each network, image by image:
//
//	d(x) = min ‖x' - x‖ over the x' in [0, 1] that the network classifies otherwise than the label
//
// Searches for it (DDN, FMN, ALMA, DeepFool, Carlini-Wagner, bisection around an attack of fixed budget) find upper bounds,
// each verified by a fresh pass; more searches make the bound tighter. The share of images with d(x) > eps is the accuracy
// that is left under the best of them with the budget eps, for all eps at once. (The CURE paper, arXiv 2401.14948, shows such
// perturbations, amplified, for three methods.)
func MeasurePerturbations(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o PerturbationOptions) (*Perturbations, error) {
	if _, err := o.norm(); err != nil {
		return nil, err
	}
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	subjects, free := seatAll(device, nets)
	defer free()
	attack := newEvaluator(set)
	defer attack.Close()
	return o.measure(ctx, attack, subjects, set)
}

// norm is that of all searches.
func (o PerturbationOptions) norm() (attacks.Norm, error) {
	if len(o.Attacks) == 0 || o.Examples < 0 {
		return 0, fmt.Errorf("analysis: %d searches, %d examples: want at least one search, and 0 or more examples", len(o.Attacks), o.Examples)
	}
	for _, a := range o.Attacks {
		if !a.Minimizes() {
			return 0, fmt.Errorf("analysis: %s does not look for the smallest perturbation: want attacks such as ddn, fmn-linf, deepfool-l2", a.Name)
		}
		if first, norm := o.Attacks[0].Method.Budget().Norm, a.Method.Budget().Norm; norm != first {
			return 0, fmt.Errorf("analysis: %s is in %s and %s in %s: distances in different norms do not compare", o.Attacks[0].Name, first, a.Name, norm)
		}
	}
	return o.Attacks[0].Method.Budget().Norm, nil
}

func (o PerturbationOptions) measure(ctx context.Context, attack *evaluator, subjects []*subject, set *data.Set) (*Perturbations, error) {
	norm, err := o.norm()
	if err != nil {
		return nil, err
	}
	r := &Perturbations{Images: set.Name, N: set.Len(), Norm: norm.String(), Classes: set.Classes}
	right := slices.Repeat([]bool{true}, set.Len())
	for _, s := range subjects {
		report, err := attack.evaluate(ctx, s, set, nil, attacks.Options{})
		if err != nil {
			return nil, fmt.Errorf("analysis: network %s: %w", s.Name, err)
		}
		for k, ok := range report.Clean.Flags {
			right[k] = right[k] && ok
		}
	}
	for k, ok := range right {
		if ok && len(r.Examples) < o.Examples {
			r.Examples = append(r.Examples, PerturbationExample{Image: k, Label: set.Labels[k], Clean: pixels(set.Image(k))})
		}
	}
	for _, s := range subjects {
		if err := o.search(ctx, attack, s, set, r); err != nil {
			return nil, fmt.Errorf("analysis: network %s: %w", s.Name, err)
		}
	}
	// An example that some network was not fooled on has nothing to compare.
	r.Examples = slices.DeleteFunc(r.Examples, func(e PerturbationExample) bool {
		return slices.ContainsFunc(e.Networks, func(p PerturbedImage) bool { return p.Distance < 0 })
	})
	return r, nil
}

// search attacks a network, and adds it and its examples to r.
func (o PerturbationOptions) search(ctx context.Context, attack *evaluator, s *subject, set *data.Set, r *Perturbations) error {
	opt := attacks.Options{Seed: o.Seed, KeepAdv: o.Examples > 0, Index: make([]int, set.Len())}
	for k := range opt.Index {
		opt.Index[k] = o.First + k
	}
	if o.State != "" {
		opt.State = fmt.Sprintf("%s.%s", o.State, s.Sum())
	}
	if o.Progress != nil {
		opt.Progress = func(now attacks.Progress) { o.Progress(s.Name, now) }
	}
	report, err := attack.evaluate(ctx, s, set, o.Attacks, opt)
	if err != nil {
		return err
	}
	n := nearest(s.Name, report)
	r.Networks = append(r.Networks, n)
	return o.keep(ctx, s.Model, report, n, r.Examples)
}

// nearest takes, of what the searches found, the nearest for each image.
func nearest(name string, report *attacks.Report) PerturbedNetwork {
	n := PerturbedNetwork{Name: name, Distances: make([]float64, report.N), Nearest: make([]int, report.N)}
	for k := range n.Distances {
		best := math.Inf(1)
		n.Nearest[k] = -1
		for a, result := range report.Attacks {
			if d := float64(result.Distances[k]); d < best {
				best, n.Nearest[k] = d, a
			}
		}
		if !report.Clean.Flags[k] {
			best, n.Nearest[k] = 0, -1
		}
		if math.IsInf(best, 1) {
			best = Missing
		}
		n.Distances[k] = best
	}
	for a, result := range report.Attacks {
		s := Search{Attack: result.Name, Forwards: result.Forwards, Backwards: result.Backwards, Found: *result.Found}
		own := PerturbedNetwork{Distances: make([]float64, report.N)}
		for k, d := range result.Distances {
			if own.Distances[k] = float64(d); math.IsInf(float64(d), 1) {
				own.Distances[k] = Missing
			}
			if n.Nearest[k] == a {
				s.Nearest++
			}
		}
		s.Median = own.Quantile(.5)
		n.Searches = append(n.Searches, s)
	}
	return n
}

// keep adds what was found on the examples.
func (o PerturbationOptions) keep(ctx context.Context, m attacks.Model, report *attacks.Report, n PerturbedNetwork, examples []PerturbationExample) error {
	if len(examples) == 0 {
		return nil
	}
	size := len(examples[0].Clean)
	var images []float32
	for _, e := range examples {
		adv := e.Clean
		if a := n.Nearest[e.Image]; a >= 0 {
			adv = Packed(report.Attacks[a].Adv[e.Image*size : (e.Image+1)*size])
		}
		images = append(images, adv...)
	}
	classes, err := attacks.Predict(ctx, m, images, len(examples))
	if err != nil {
		return err
	}
	for k := range examples {
		e := &examples[k]
		e.Networks = append(e.Networks, PerturbedImage{slices.Clone(images[k*size : (k+1)*size]), classes[k], n.Distances[e.Image]})
	}
	return nil
}
