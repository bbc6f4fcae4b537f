package attacks

import (
	"fmt"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Target is the class that an attack on an image aims at. A targeted attack climbs towards it (loss "ce": down the cross
// entropy of the target; "cw": down max(max_{j != t} z_j - z_t + kappa, 0); "dlr": up TargetedDLR), and an image that is
// classified as its target counts in Result.TargetedSuccess and ends the attack on it. Robust flags keep their meaning:
// an image that lands in a class which is neither its label nor its target is no longer robust, but not a success.
type Target int

const (
	// Untargeted aims at no class: any wrong one will do.
	Untargeted Target = iota
	// Likeliest aims at the wrong class of the highest clean logit, the lowest such class.
	Likeliest
	// LeastLikely aims at the wrong class of the lowest clean logit (Kurakin et al. 2017), the lowest such class.
	LeastLikely
	// RandomClass aims at a wrong class, each with the same chance: one per image and seed, the same for all attacks, runs
	// and models.
	RandomClass
	// GivenClass aims at the classes in Options.Targets.
	GivenClass
)

var targetNames = []string{"none", "likeliest", "least-likely", "random", "given"}

// String is the name in reports and on the command line.
func (t Target) String() string {
	if t < 0 || int(t) >= len(targetNames) {
		return fmt.Sprintf("Target(%d)", int(t))
	}
	return targetNames[t]
}

// ParseTarget reads "none", "likeliest", "least-likely", "random" or "given", in any case.
func ParseTarget(text string) (Target, error) {
	for i, name := range targetNames {
		if strings.EqualFold(text, name) {
			return Target(i), nil
		}
	}
	return 0, fmt.Errorf("attacks: target %q: want one of %s", text, strings.Join(targetNames, ", "))
}

// validate says whether an attack with a loss can aim so.
func (t Target) validate(loss string, classes int) error {
	switch {
	case t < 0 || int(t) >= len(targetNames):
		return fmt.Errorf("target %s: want one of %s", t, strings.Join(targetNames, ", "))
	case t == Untargeted:
		return nil
	case loss == "kl":
		return fmt.Errorf("loss kl: it leads to no target: want ce, cw or dlr with target %s", t)
	case loss == "dlr" && classes < 4:
		return fmt.Errorf("targeted loss dlr: %d classes, want at least 4", classes)
	}
	return nil
}

// aimed is a method that can be made to aim at a class.
type aimed interface {
	Method
	aim() Target
}

// targetOf is what a method aims at.
func targetOf(m Method) Target {
	if a, ok := m.(aimed); ok {
		return a.aim()
	}
	return Untargeted
}

// checkTargets names the first thing that is wrong about given targets.
func checkTargets(classes int, labels []int32, list []Attack, targets []int32) error {
	if targets == nil {
		for _, a := range list {
			if a.Method != nil && targetOf(a.Method) == GivenClass {
				return fmt.Errorf("attacks: %s aims at given targets, but none are given", a.Name)
			}
		}
		return nil
	}
	if len(targets) != len(labels) {
		return fmt.Errorf("attacks: %d targets for %d images", len(targets), len(labels))
	}
	for i, target := range targets {
		if target < 0 || int(target) >= classes || target == labels[i] {
			return fmt.Errorf("attacks: target %d of image %d, want 0 to %d and not its label %d", target, i, classes-1, labels[i])
		}
	}
	return nil
}

// aimedSuffix is that of the losses which lead to a target. Their programs get it in place of the clean logits, as a unit
// vector.
const aimedSuffix = "-targeted"

// goalAt is the goal of a loss, with or without a target.
func goalAt(loss string, kappa float64, target Target) goal {
	t := goal{loss: loss}
	if loss == "cw" {
		t.kappa = kappa
	}
	if target != Untargeted {
		t.loss += aimedSuffix
	}
	return t
}

func (t goal) aimed() bool { return strings.HasSuffix(t.loss, aimedSuffix) }

// towards is the goal as a graph: higher values are nearer to the target, about being its unit vector.
func (t goal) towards(logits, y, about *Node) *Node {
	target := classOf(about)
	switch strings.TrimSuffix(t.loss, aimedSuffix) {
	case "ce":
		return Neg(CrossEntropy(logits, target))
	case "cw":
		return Neg(MaxScalar(AddScalar(Neg(Margin(logits, target)), t.kappa), 0))
	}
	return TargetedDLR(logits, y, target)
}

// classOf is the class [B] of unit vectors [B, C].
func classOf(about *Node) *Node { return Squeeze(argmax(about), -1) }

// mark adds markTarget where the logits are largest at the target.
func (t goal) mark(marks, logits, about *Node) *Node {
	if !t.aimed() {
		return marks
	}
	return Add(marks, MulScalar(ConvertDType(Correct(logits, classOf(about)), marks.DType()), markTarget))
}

// chooseTargets sets the targets of the trial's attack, if it has any.
func (t *trial) chooseTargets() {
	aim := targetOf(t.attack.Method)
	if aim == Untargeted {
		return
	}
	classes := t.model.Classes
	targets := make([]int32, len(t.labels))
	for i, y := range t.labels {
		switch aim {
		case GivenClass:
			targets[i] = t.opt.Targets[i]
		case RandomClass:
			k := int32(stream(t.opt.Seed, "target of an image", t.index(i), 0).IntN(classes - 1))
			if k >= y {
				k++
			}
			targets[i] = k
		default:
			targets[i] = wrongClass(y, t.natural[i*classes:(i+1)*classes], aim == LeastLikely)
		}
	}
	t.result.Targets = targets
}

// wrongClass is the first class but y of the highest logit, or of the lowest.
func wrongClass(y int32, logits []float32, lowest bool) int32 {
	best := int32(-1)
	for k, z := range logits {
		switch {
		case int32(k) == y:
		case best < 0, lowest && z < logits[best], !lowest && z > logits[best]:
			best = int32(k)
		}
	}
	return best
}

// batch is that of the evaluation, with the targets of a targeted attack.
func (t *trial) batch(rows []int) *batch {
	b := t.evaluation.batch(rows)
	if t.result.Targets == nil {
		return b
	}
	classes := t.model.Classes
	about := make([]float32, t.size*classes)
	for row := range t.size {
		i := rows[0]
		if row < len(rows) {
			i = rows[row]
		}
		about[row*classes+int(t.result.Targets[i])] = 1
	}
	b.target = tensors.FromFlatDataAndDimensions(about, t.scoreShape().Dimensions...)
	return b
}

// atTarget says whether an image that a run returned was classified as its target.
func (t *trial) atTarget(i int) bool { return t.marks[i]&markTarget != 0 }

// nearer says whether what a run of a targeted attack returned comes before what earlier runs did: an image at its target
// first, then a wrong one, then the one of the higher loss.
func (t *trial) nearer(r record, wrong bool) bool {
	robust := t.result.RobustFlags[r.image]
	return r.run == 0 || r.marks&markTarget != 0 || wrong && robust || wrong != robust && r.loss > t.result.Losses[r.image]
}

// countTargets sums up a targeted attack.
func (t *trial) countTargets() {
	if t.result.Targets == nil {
		return
	}
	reached := 0
	for i := range t.labels {
		if t.atTarget(i) {
			reached++
		}
	}
	t.result.TargetedSuccess = &reached
}
