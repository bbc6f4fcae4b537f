package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Start is where PGD begins.
type Start int

const (
	// None starts at the clean image.
	None Start = iota
	// Uniform starts at a uniform point of the eps-ball, clipped to the pixel box.
	Uniform
	// UniformUnclipped starts at a uniform point of the eps-ball that may leave the pixel box until the first step
	// projects it, as the evaluation codes of TRADES, MART and CURE do.
	UniformUnclipped
	// Normal starts at x + 0.001 N(0, 1), unclipped, as TRADES and CURE do in training.
	Normal
)

// normalStart is the standard deviation of the Normal start, in pixel units.
const normalStart = 0.001

var startNames = []string{"none", "uniform", "uniform-unclipped", "normal"}

// String is the name in reports and on the command line.
func (s Start) String() string {
	if s < 0 || int(s) >= len(startNames) {
		return fmt.Sprintf("Start(%d)", int(s))
	}
	return startNames[s]
}

// PGD is projected gradient ascent on a loss within a ball (Madry et al. 2018, eq. 2 and section 2.1):
//
//	x' <- Project(x' + StepSize * Direction(d loss / d x'))
//
// repeated Steps times from Start. In L1 a step moves the 1% of the pixel values with the largest gradient that are not
// at a wall, by equal parts (SLIDE, Tramèr and Boneh 2019): single pixels, the steepest direction, make a weak attack. One step of size eps from the clean image is FGSM.
type PGD struct {
	Ball     Ball
	Steps    int
	StepSize float64 // in pixel units, like Ball.Eps
	Start    Start
	Restarts int     // runs from fresh starts, the worst of which counts; 0 means 1
	Loss     string  // what is maximised: "ce", "kl", "cw" or "dlr"
	Kappa    float64 // of "cw" only
	Best     bool    // keep the best iterate of each image instead of the final one
	Target   Target  // the class to aim at, which only evaluations know how to
	EOT      int     // passes averaged for each gradient of a random model; 0 means 1
}

// Step is one step of projected ascent: from adv [B, ...] towards higher values of objective, which maps images [B, ...]
// to one loss per image [B], and back into the ball around x. The result is detached from the graph.
//
// Losses are summed, not averaged, so that images stay independent of each other. The gradient is taken with respect to
// the image alone: weights get none.
func (p PGD) Step(x, adv *Node, objective func(adv *Node) *Node) *Node {
	_, grad := ascent(adv, objective)
	return p.move(x, adv, grad)
}

// move applies one step along grad and detaches the result.
func (p PGD) move(x, adv, grad *Node) *Node {
	next := Add(adv, MulScalar(p.direction(adv, grad), p.StepSize))
	return StopGradient(p.Ball.Project(next, x))
}

// ascent returns the losses [B] of objective at adv and their gradients with respect to adv. The leaf is fresh: gomlx
// gives no gradient to the output of StopGradient itself.
func ascent(adv *Node, objective func(adv *Node) *Node) (losses, grad *Node) {
	leaf := Identity(StopGradient(adv))
	losses = objective(leaf)
	if losses.Rank() != 1 || losses.Shape().Dim(0) != adv.Shape().Dim(0) {
		exceptions.Panicf("attacks.PGD.Step: objective has shape %s, want one loss per image, [%d]", losses.Shape(), adv.Shape().Dim(0))
	}
	return losses, Gradient(ReduceAllSum(losses), leaf)[0]
}

// Objective is the loss that the attack maximises, one per image [B], from the logits [B, C] of the attacked images and
// their labels [B]. natural are the logits of the clean images, which only "kl" uses (it may be nil otherwise).
//
// It panics if the attack has a Target: in a graph, give Step an objective such as Neg(CrossEntropy(logits, target)).
func (p PGD) Objective(logits, y, natural *Node) *Node {
	if p.Target != Untargeted {
		exceptions.Panicf("attacks.PGD.Objective: target %s, want an untargeted attack", p.Target)
	}
	switch p.Loss {
	case "ce":
		return CrossEntropy(logits, y)
	case "kl":
		return KL(StopGradient(natural), logits)
	case "cw":
		return CW(logits, y, p.Kappa)
	case "dlr":
		return DLR(logits, y)
	}
	exceptions.Panicf("attacks.PGD.Objective: loss %q, want ce, kl, cw or dlr", p.Loss)
	return nil
}

// Begin is the first iterate: x plus the noise that Noise drew, clipped as Start says.
func (p PGD) Begin(x, noise *Node) *Node {
	switch {
	case p.Start == None:
		return x
	case p.Start == Uniform:
		return StopGradient(ClipScalar(Add(x, noise), 0, 1))
	}
	return StopGradient(Add(x, noise))
}

// Noise fills dst, one image, with the start's offset from the clean image: zeros for None; for Uniform and
// UniformUnclipped a uniform point of the ball (Linf: each pixel U[-eps, eps); L2: a normal direction of length
// eps U^(1/d), d pixels; L1: exponential spacings with random signs); for Normal 0.001 N(0, 1).
func (p PGD) Noise(dst []float32, rng *rand.Rand) {
	switch p.Start {
	case None:
		clear(dst)
	case Normal:
		for i := range dst {
			dst[i] = float32(normalStart * rng.NormFloat64())
		}
	case Uniform, UniformUnclipped:
		switch p.Ball.Norm {
		case Linf:
			for i := range dst {
				dst[i] = float32(p.Ball.Eps * (2*rng.Float64() - 1))
			}
		case L1:
			p.Ball.uniformL1(dst, rng)
		default:
			p.Ball.uniformL2(dst, rng)
		}
	default:
		exceptions.Panicf("attacks.PGD.Noise: start %s, want none, uniform, uniform-unclipped or normal", p.Start)
	}
}

// uniformL2 fills dst with a uniform point of the L2 ball around zero.
func (b Ball) uniformL2(dst []float32, rng *rand.Rand) {
	direction := make([]float64, len(dst))
	var squares float64
	for i := range direction {
		direction[i] = rng.NormFloat64()
		squares += direction[i] * direction[i]
	}
	radius := b.Eps * math.Pow(rng.Float64(), 1/float64(len(dst)))
	for i, v := range direction {
		dst[i] = float32(v * radius / math.Max(math.Sqrt(squares), smallestNorm))
	}
}

func (PGD) takes() []string {
	return []string{"step size", "steps", "restarts", "start", "loss", "best", "target", "EOT"}
}
