package attacks

import "fmt"

// DeepFool walks to the nearest boundary of the linearised classifier, again and again, until the label changes
// (Moosavi-Dezfooli et al. 2016, algorithm 2 and section 3.3). With f_k = z_k - z_y and w_k its gradient, a step is
//
//	l  = argmin over k != y of |f_k| / |w_k|_q       q = 2 for L2, 1 for Linf
//	R <- R + (|f_l| / |w_l|_q + 1e-4) d(w_l)         d(w) = w/|w|_2 for L2, sign(w) for Linf
//	x <- clip(x0 + (1 + Overshoot) R, 0, 1)
//
// The sum R is never clipped and steps start from the clean image x0, as in the authors' code and foolbox (torchattacks
// and adversarial-library step on from the clipped iterate instead). Classes without a gradient are passed over; where
// none has one, the image stays where it is.
//
// It looks for the smallest perturbation: the eps of Ball only says which images count as broken. What the overshoot adds
// is taken back by Refine bisections of the segment from x0 to the result.
type DeepFool struct {
	Ball      Ball    // Linf or L2
	Steps     int     // at most; 50 in the paper
	Overshoot float64 // share by which a step goes beyond the boundary; 0.02 in the paper
	// Candidates is how many classes are looked at, the likeliest of the clean image and the label among them; 0 means
	// all. Each but the label costs a backward pass a step, and compile time: of many classes, 10 are the custom.
	Candidates int
	Refine     int // bisections at the end, one forward pass each, as in SuperDeepFool; 0 is the original
}

// deepfoolPresets have the settings of the paper and foolbox, and the final bisections.
var deepfoolPresets = []Attack{
	{Name: "deepfool-l2", Method: DeepFool{Ball: Ball{L2, .5}, Steps: 50, Overshoot: .02, Candidates: 10, Refine: 10}},
	{Name: "deepfool-linf", Method: DeepFool{Ball: standardBall, Steps: 50, Overshoot: .02, Candidates: 10, Refine: 10}},
}

// Budget is the ball; distances beyond its eps leave an image robust.
func (d DeepFool) Budget() Ball { return d.Ball }

func (DeepFool) takes() []string { return []string{"steps"} }

func (d DeepFool) with(ball Ball, o Override) Method {
	d.Ball = ball
	set(&d.Steps, o.Steps)
	return d
}

// Validate says what is wrong with the settings for a model of so many classes.
func (d DeepFool) Validate(int) error {
	if err := d.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case d.Ball.Norm != Linf && d.Ball.Norm != L2:
		return fmt.Errorf("norm %s: DeepFool takes linf or l2", d.Ball.Norm)
	case d.Steps < 1:
		return fmt.Errorf("steps %d: want at least 1", d.Steps)
	case !finiteAtLeast(d.Overshoot, 0):
		return fmt.Errorf("overshoot %g: want at least 0", d.Overshoot)
	case d.Candidates < 0 || d.Candidates == 1:
		return fmt.Errorf("candidates %d: want at least 2, the label among them, or 0 for all classes", d.Candidates)
	case d.Refine < 0:
		return fmt.Errorf("refine %d: want at least 0 bisections", d.Refine)
	}
	return nil
}

// rivals is the number of classes, besides the label, that a step looks at.
func (d DeepFool) rivals(classes int) int {
	if d.Candidates == 0 {
		return classes - 1
	}
	return min(d.Candidates, classes) - 1
}

func (d DeepFool) minimizes() bool { return true }

func (d DeepFool) runs() int { return 1 }

func (d DeepFool) passes() int { return d.Steps + d.Refine + 1 }

func (d DeepFool) goal() goal { return goal{loss: "cw"} }

func (d DeepFool) target(int, []float32) int { return -1 }
