package attacks

import "fmt"

// spsaPresets has 128 pairs a step, as torchattacks has; Uesato et al. go up to 8192 probes.
var spsaPresets = []Attack{{Name: "spsa", Method: SPSA{Ball: standardBall, Steps: 100, Pairs: 128, Probe: .01, StepSize: .01, Restarts: 1}}}

// SPSA is descent on the margin z_y - max_{j != y} z_j by gradients estimated from scores alone (Uesato et al. 2018, with
// the estimate of Spall 1992): at x' the mean over Pairs random sign images v of
//
//	(margin(x' + Probe v) - margin(x' - Probe v)) / (2 Probe) v
//
// which Adam (decay rates .9 and .999) turns into a step, projected to ball and box. In L2 Adam's average of squares is
// one number for an image, the squared length of the gradient, so that a step keeps the direction of the averaged gradient
// and has about the length StepSize: averages of each pixel would move all pixels alike, which is the steepest descent of
// Linf. It starts at a uniform point of the ball,
// clipped. A step takes 2 Pairs forward passes and one more that looks at the iterate: an image leaves at its first
// misclassified iterate. What the search returns for the others is the iterate of the lowest margin. It shows where
// gradients are masked: they are not used.
//
// The points probed may lie outside ball and box by Probe; only iterates count. Each row of the programs probes for an
// image of its own, and directions are drawn for each image on its own.
type SPSA struct {
	Ball     Ball // Linf or L2
	Steps    int
	Pairs    int     // of probes for a step
	Probe    float64 // distance of each pixel value of a probe from the iterate, in pixel units of [0, 1]
	StepSize float64 // learning rate of Adam: of each pixel value in Linf, of the image in L2, in pixel units of [0, 1]
	Restarts int     // runs from fresh starts; 0 means 1
}

// Budget is the ball.
func (s SPSA) Budget() Ball { return s.Ball }

func (SPSA) takes() []string { return []string{"steps", "step size", "restarts"} }

func (s SPSA) with(ball Ball, o Override) Method {
	set(&s.Steps, o.Steps)
	if ball.Norm != s.Ball.Norm {
		s.StepSize = 2.5 * ball.Eps / float64(max(s.Steps, 1))
	}
	s.Ball = ball
	set(&s.StepSize, o.StepSize)
	set(&s.Restarts, o.Restarts)
	return s
}

// Validate says what is wrong with the settings. Any number of classes will do.
func (s SPSA) Validate(int) error {
	if err := s.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case s.Ball.Norm == L1:
		return fmt.Errorf("norm l1: want linf or l2, because steps that move all pixels are weak in l1")
	case s.Steps < 1:
		return fmt.Errorf("steps %d: want at least 1", s.Steps)
	case s.Pairs < 1:
		return fmt.Errorf("pairs %d: want at least 1", s.Pairs)
	case !(s.Probe > 0 && s.Probe <= 1):
		return fmt.Errorf("probe %g: want above 0, in pixel units of [0, 1]", s.Probe)
	case !finiteAtLeast(s.StepSize, 0) || s.Ball.Norm == Linf && s.StepSize > 1:
		return fmt.Errorf("step size %g: want at least 0, in pixel units of [0, 1] (2/255, not 2)", s.StepSize)
	case s.Restarts < 0:
		return fmt.Errorf("restarts %d: want at least 1", s.Restarts)
	}
	return nil
}

func (s SPSA) runs() int { return max(s.Restarts, 1) }

// period is the passes from one look at an iterate to the next.
func (s SPSA) period() int { return 1 + 2*s.Pairs }

func (s SPSA) passes() int { return s.Steps*s.period() + 1 }

func (s SPSA) goal() goal { return goal{loss: lossMargin} }

func (s SPSA) target(int, []float32) int { return -1 }
