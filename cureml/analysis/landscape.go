package analysis

import (
	"cmp"
	"context"

	"github.com/gomlx/compute"

	"cure/data"
)

// LandscapeOptions are the settings of [MeasureLandscape].
type LandscapeOptions struct {
	Range float64 `json:"range"` // the plane of weights is [-Range, Range]², in units of each filter's own length
	Line  int     `json:"line"`  // points of the line, odd
	Plane int     `json:"plane"` // points of a side of both planes, odd
	Reach float64 `json:"reach"` // the plane of images is [-Reach, Reach]², in pixels of [0, 1]

	// The attack on the line: PGD on the cross-entropy from a uniform start.
	Eps      float64 `json:"eps"`       // in pixels of [0, 1]
	StepSize float64 `json:"step_size"` // in pixels of [0, 1]
	Steps    int     `json:"steps"`
	Seed     uint64  `json:"seed"`
}

// DefaultLandscape has the range of Li et al. and the attack that trainings here are measured with.
func DefaultLandscape() LandscapeOptions {
	return LandscapeOptions{Range: 1, Line: 21, Plane: 21, Reach: 16. / 255, Eps: 8. / 255, StepSize: 2. / 255, Steps: 10}
}

// Validate says what is wrong with the settings.
func (o LandscapeOptions) Validate() error {
	return settings("landscape", within("range", o.Range, 100), points("line", o.Line), points("plane", o.Plane), within("reach", o.Reach, 1),
		within("eps", o.Eps, 1), within("step size", o.StepSize, 1), atLeast("steps", o.Steps, 1))
}

// Landscape is the loss around networks: around their weights, and around the images.
type Landscape struct {
	LandscapeOptions
	Images   int                `json:"images"`
	Networks []NetworkLandscape `json:"networks"`
}

// NetworkLandscape holds mean cross-entropies, in nats.
type NetworkLandscape struct {
	Name string `json:"name"`
	// Clean and Adv are the losses on the line of weights θ + a·d1, on the images and on images attacked anew at each point.
	Clean   []float64   `json:"clean"`
	Adv     []float64   `json:"adv"`
	Weights [][]float64 `json:"weights"` // the plane θ + a·d1 + b·d2: row b, column a
	Inputs  [][]float64 `json:"inputs"`  // the plane x + a·s + b·r: row b, column a
}

// MeasureLandscape measures the mean loss L of networks on the images of a set.
//
// Around the weights θ, the directions d1 and d2 are Gaussian and filter-normalised (Li et al. 2018, arXiv 1712.09913,
// section 4): for every filter f of a convolution and every row of the classifier,
//
//	d_f <- d_f · ‖θ_f‖ / ‖d_f‖
//
// and zero for biases and batch norm, as in the authors' code (net_plotter.py, ignore='biasbn'); running statistics stay.
// Clean is L(θ + a·d1), Weights L(θ + a·d1 + b·d2). Adv is the loss on attacked images, which are made anew at each point
// from the same random starts, as Wu et al. (arXiv 2004.05884, section 3) look at adversarial training. The directions of
// networks of the same form come from the same Gaussian numbers.
//
// Around the images, s is the sign of the gradient of each image's loss and r a random direction of entries ±1:
// Inputs is the mean of CE(x + a·s + b·r, y), with a and b in pixels of [0, 1]. These points may leave the pixel box.
func MeasureLandscape(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o LandscapeOptions) (*Landscape, error) {
	if err := cmp.Or(checkInput(nets, set), o.Validate()); err != nil {
		return nil, err
	}
	l := newLandscaper(o)
	defer l.Close()
	networks, err := measureEach(device, nets, func(_ int, s *subject) (NetworkLandscape, error) {
		var names []string
		for _, t := range s.Tensors {
			names = append(names, t.Name)
		}
		return l.measure(ctx, s, names, pixels(set.Images), set.Labels)
	})
	if err != nil {
		return nil, err
	}
	return &Landscape{o, set.Len(), networks}, nil
}
