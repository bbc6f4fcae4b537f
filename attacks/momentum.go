package attacks

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Momentum is the momentum iterative method, MI-FGSM (Dong et al. 2018, algorithm 1), and with Nesterov NI-FGSM (Lin et
// al. 2020, equations 6 and 7). From the clean image and m = 0 it repeats
//
//	g = d loss / d x'   (Nesterov: at x' + StepSize Decay m, which may leave ball and box)
//	m = Decay m + g / mean|g|
//	x' = Project(x' + StepSize Direction(m))
//
// and returns the last x'. The papers divide g by its L1 norm; the mean, of the codes of both papers and of torchattacks,
// differs by the number of pixel values, which changes nothing but how far Nesterov looks ahead. An image whose gradient
// is zero keeps its old momentum; NaN and infinite entries count as zero. With Decay 0 both are BIM.
//
// Momentum steadies the direction, for images that transfer to other models; see Transfer.
type Momentum struct {
	Ball     Ball
	Steps    int
	StepSize float64 // in pixel units; eps/Steps in the papers, 2/255 for eps 8/255 in torchattacks
	Decay    float64 // mu; 1 in the papers
	Nesterov bool    // look ahead along the momentum; Linf only, whose steps it is made for
	Loss     string  // what is maximised: "ce", "cw" or "dlr"
	Kappa    float64 // of "cw" only
	Target   Target
	EOT      int // passes averaged for each gradient of a random model; 0 means 1
}

// Budget is the ball.
func (m Momentum) Budget() Ball { return m.Ball }

// Validate says what is wrong with the settings for a model of so many classes.
func (m Momentum) Validate(classes int) error {
	switch {
	case m.Loss == "kl":
		return fmt.Errorf("loss kl: its gradient is zero at the clean image, where the attack begins: want ce, cw or dlr")
	case !finiteAtLeast(m.Decay, 0):
		return fmt.Errorf("decay %g: want at least 0", m.Decay)
	case m.Nesterov && m.Ball.Norm != Linf:
		return fmt.Errorf("norm %s with Nesterov's step: want linf", m.Ball.Norm)
	}
	return m.plain().Validate(classes)
}

func (Momentum) takes() []string { return []string{"steps", "step size", "loss", "target", "EOT"} }

func (m Momentum) with(ball Ball, o Override) Method {
	set(&m.Steps, o.Steps)
	if ball.Norm != m.Ball.Norm {
		m.StepSize = 2.5 * ball.Eps / float64(max(m.Steps, 1))
	}
	m.Ball = ball
	set(&m.StepSize, o.StepSize)
	set(&m.Target, o.Target)
	set(&m.EOT, o.EOT)
	if o.Loss != "" {
		m.Loss = o.Loss
	}
	return m
}

// plain is the attack without momentum.
func (m Momentum) plain() PGD {
	return PGD{Ball: m.Ball, Steps: m.Steps, StepSize: m.StepSize, Loss: m.Loss, Kappa: m.Kappa, Target: m.Target, EOT: m.EOT}
}

func (m Momentum) runs() int { return 1 }

func (m Momentum) passes() int { return m.Steps }

func (m Momentum) goal() goal { return m.plain().goal() }

func (m Momentum) aim() Target { return m.Target }

// advance takes one step: from adv and the momentum, both [B, H, W, C], along the gradient of the same shape. ahead is
// where the next gradient is taken with Nesterov.
func (m Momentum) advance(x, adv, momentum, grad *Node) (next, gathered, ahead *Node) {
	gathered = Add(MulScalar(momentum, m.Decay), unitMean(grad))
	next = m.plain().move(x, adv, gathered)
	return next, gathered, Add(next, MulScalar(gathered, m.StepSize*m.Decay))
}

// unitMean divides each image of grad [B, ...] by the mean of its absolute values, in float64 as these may be tiny. A
// zero gradient stays zero.
func unitMean(grad *Node) *Node {
	wide := ConvertDType(finite(grad), dtypes.Float64)
	mean := DivScalar(sumImages(Abs(wide)), float64(grad.Shape().Size()/grad.Shape().Dim(0)))
	mean = Where(GreaterThan(mean, ZerosLike(mean)), mean, OnesLike(mean))
	return ConvertDType(Div(wide, mean), grad.DType())
}
