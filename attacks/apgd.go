package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// APGD is projected gradient ascent with momentum that chooses its step size by its progress (Croce and Hein 2020,
// algorithm 1; in L1 Croce and Hein 2021, algorithm 1). It begins at a random point at distance eps (in L1: a normal
// point, projected), with steps of 2 eps (L1: eps), and returns to the best point whenever it shortens the steps.
//
// Random starts, Targets and Restarts make runs; each works on the images that no earlier run has broken, and leaves an
// image at its first misclassified iterate. What the search returns for the others is the iterate of the highest loss.
// It leaves an image of a random model where at least 3 of 4 of at least 4 passes are wrong: with fewer passes (EOT) a
// run goes to its end.
type APGD struct {
	Ball     Ball
	Steps    int     // gradient steps of a run; the start is one more pass
	Restarts int     // runs from fresh starts (of each target); 0 means 1
	Loss     string  // what is maximised: "ce" or "dlr"; looked at only without Targets
	Targets  int     // maximise TargetedDLR for this many wrong classes, the likeliest of the clean image first; 0 means untargeted
	Rho      float64 // share of a period's steps that must raise the loss; 0 means 0.75
	EOT      int     // passes averaged for each gradient of a random model; 0 means 1
	Shrink   bool    // L1: pass through balls of 3 eps and 2 eps (30% of the steps each) first, as AutoAttack does

	// Reference counts the first period's rises as the reference code does: it compares the first loss with zero instead
	// of with the loss at the start. Under EOT it takes loss and prediction from the last pass instead of from all.
	Reference bool
}

// rho is the share of steps with a rise.
func (a APGD) rho() float64 {
	if a.Rho == 0 {
		return .75
	}
	return a.Rho
}

// Budget is the ball.
func (a APGD) Budget() Ball { return a.Ball }

func (a APGD) takes() []string {
	if a.Targets > 0 {
		return []string{"steps", "restarts", "EOT"}
	}
	return []string{"steps", "restarts", "loss", "EOT"}
}

func (a APGD) with(ball Ball, o Override) Method {
	a.Ball = ball
	a.Shrink = a.Shrink && ball.Norm == L1
	set(&a.Steps, o.Steps)
	set(&a.Restarts, o.Restarts)
	set(&a.EOT, o.EOT)
	if o.Loss != "" && a.Targets == 0 {
		a.Loss = o.Loss
	}
	return a
}

// Validate says what is wrong with the settings for a model of so many classes.
func (a APGD) Validate(classes int) error {
	if err := a.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case a.Steps < 1:
		return fmt.Errorf("steps %d: want at least 1", a.Steps)
	case a.Restarts < 0:
		return fmt.Errorf("restarts %d: want at least 1", a.Restarts)
	case a.Targets < 0:
		return fmt.Errorf("targets %d: want at least 0", a.Targets)
	case a.Targets > 0 && classes < 4:
		return fmt.Errorf("targeted DLR: %d classes, want at least 4", classes)
	case a.Targets > classes-1:
		return fmt.Errorf("targets %d: want at most %d, the wrong classes", a.Targets, classes-1)
	case a.Targets == 0 && a.Loss != "ce" && a.Loss != "dlr":
		return fmt.Errorf("loss %q: want ce or dlr", a.Loss)
	case a.Targets == 0 && a.Loss == "dlr" && classes < 3:
		return fmt.Errorf("loss dlr: %d classes, want at least 3", classes)
	case !(a.Rho >= 0 && a.Rho <= 1):
		return fmt.Errorf("rho %g: want from 0 to 1", a.Rho)
	case a.EOT < 0 || a.EOT > mostEOT:
		return fmt.Errorf("EOT %d: want from 1 to %d", a.EOT, mostEOT)
	case a.Shrink && a.Ball.Norm != L1:
		return fmt.Errorf("shrinking balls for %s: want l1", a.Ball.Norm)
	case a.Shrink && a.Steps < 4:
		return fmt.Errorf("steps %d: want at least 4 for shrinking balls", a.Steps)
	}
	return nil
}

func (a APGD) runs() int { return max(a.Targets, 1) * max(a.Restarts, 1) }

func (a APGD) passes() int { return len(a.course()) }

// goal is what reports average. Losses of different targets have no common scale.
func (a APGD) goal() goal {
	if a.Targets > 0 {
		return goal{loss: "dlr"}
	}
	return goal{loss: a.Loss}
}

func (a APGD) expectation() expectation { return expectation{a.EOT, a.Reference} }

// ascended is the goal that the search maximises.
func (a APGD) ascended() goal {
	if a.Targets > 0 {
		return goal{loss: lossTargeted}
	}
	return a.goal()
}

// target is the likeliest class of the clean image after the label in the first Restarts runs, then the next, ...
func (a APGD) target(run int, clean []float32) int {
	if a.Targets == 0 {
		return -1
	}
	return ranked(clean)[1+run/max(a.Restarts, 1)]
}

// ranked are the classes in falling order of their logits; the lower class first among equals.
func ranked(logits []float32) []int {
	order := make([]int, len(logits))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case logits[i] > logits[j]:
			return -1
		case logits[i] < logits[j]:
			return 1
		}
		return 0
	})
	return order
}

// start fills dst with the offset of the first iterate; in L1 it is yet to be projected.
func (a APGD) start(dst []float32, rng *rand.Rand) {
	var largest, squares float64
	values := make([]float64, len(dst))
	for i := range values {
		if a.Ball.Norm == Linf {
			values[i] = 2*rng.Float64() - 1
		} else {
			values[i] = rng.NormFloat64()
		}
		largest = math.Max(largest, math.Abs(values[i]))
		squares += values[i] * values[i]
	}
	scale := 1.
	switch a.Ball.Norm {
	case Linf:
		scale = a.Ball.Eps / math.Max(largest, smallestNorm)
	case L2:
		scale = a.Ball.Eps / math.Max(math.Sqrt(squares), smallestNorm)
	}
	for i, v := range values {
		dst[i] = float32(v * scale)
	}
}

// moment is what a run does around one of its passes.
type moment struct {
	first  bool    // the pass is at the start of a stage
	window int     // steps since the last check, where the pass is followed by one
	zero   bool    // the loss before is taken to be zero (Reference)
	weight float64 // of the step against momentum in the move that follows
	radius float64 // of the stage, in units of eps
	next   float64 // radius of the next stage, where the pass is the last of its own; else 0
	counts bool    // a misclassified iterate is a success
}

// course is the schedule of a run, one moment a pass.
func (a APGD) course() []moment {
	stages, radii := []int{a.Steps}, []float64{1}
	if a.Shrink {
		part := int(math.Ceil(.3 * float64(a.Steps)))
		stages, radii = []int{part, part, a.Steps - 2*part}, []float64{3, 2, 1}
	}
	var course []moment
	for s, steps := range stages {
		checks := a.checks(steps)
		for i := range steps + 1 {
			m := moment{first: i == 0, window: checks[i], zero: i == 1 && a.Reference, weight: .75, radius: radii[s], counts: s == len(stages)-1}
			if i == 0 {
				m.weight = 1
			}
			if i == steps && s+1 < len(stages) {
				m.next = radii[s+1]
			}
			course = append(course, m)
		}
	}
	return course
}

// checks are the steps after which the step size is checked, with the number of steps since the last check: in Linf and
// L2 after 22% of the steps, then in periods that get 3% shorter each, down to 6%; in L1 every 4%.
func (a APGD) checks(steps int) map[int]int {
	percent := func(p int) int { return max(p*steps/100, 1) }
	checks := map[int]int{}
	if a.Ball.Norm == L1 {
		for i := percent(4); i <= steps; i += percent(4) {
			checks[i] = percent(4)
		}
		return checks
	}
	period := percent(22)
	for i := period; i <= steps; i += period {
		checks[i] = period
		period = max(period-percent(3), percent(6))
	}
	return checks
}
