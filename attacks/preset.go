package attacks

import (
	"fmt"
	"slices"
	"strings"
)

// presets are the attacks by name. Iterated ones return the final iterate of one run unless noted, as the evaluation
// codes they stand for do.
//
// Papers call many attacks "PGD-20"; the ones in use have a name each: pgd20 and pgd20-trades (TRADES, MART with
// ResNet-18, ACT and CURE), pgd20-mart-wrn (MART with WRN), pgd20-fat (FAT's training script), pgd20-awp (AWP, IAD,
// ST-AT in training) and pgd20-nostart (the tables in FAT's README and the TRADES paper).
//
// fgsm-rs is the attack of fast adversarial training (Wong et al. 2020): one step of 1.25 eps from a uniform start.
// pgd20-targeted aims at random classes, as robustness under targeted attacks is commonly given; pgd20-least-likely at the
// hardest. The eps 12 of pgd20-l1 is that of AutoAttack in L1.
var presets = []preset{
	{name: "natural"},
	{name: "fgsm", eps: 8. / 255, ofEps: 1, steps: 1, start: None},
	{name: "fgsm-rs", eps: 8. / 255, ofEps: 1.25, steps: 1, start: Uniform},
	{name: "bim", eps: 8. / 255, step: 2. / 255, steps: 10, start: None},
	{name: "pgd10", eps: 8. / 255, step: 2. / 255, steps: 10, start: Uniform},
	{name: "pgd20", eps: .031, step: .003, steps: 20, start: UniformUnclipped},
	{name: "pgd20-trades", eps: .031, step: .003, steps: 20, start: UniformUnclipped},
	{name: "pgd20-mart-wrn", eps: .031, ofEps: .1, steps: 20, start: UniformUnclipped},
	{name: "pgd20-fat", eps: .031, ofEps: .25, steps: 20, start: Uniform},
	{name: "pgd20-awp", eps: 8. / 255, step: 2. / 255, steps: 20, start: Uniform},
	{name: "pgd20-nostart", eps: .031, step: .003, steps: 20, start: None},
	{name: "pgd50", eps: 8. / 255, step: 2. / 255, steps: 50, start: Uniform},
	{name: "pgd50-10", eps: 8. / 255, step: 2. / 255, steps: 50, start: Uniform, restarts: 10, best: true},
	{name: "pgd100", eps: 8. / 255, step: 2. / 255, steps: 100, start: Uniform},
	{name: "cw20", eps: .031, step: .003, steps: 20, start: UniformUnclipped, loss: "cw"},
	{name: "pgd-cw", eps: .031, step: .003, steps: 20, start: UniformUnclipped, loss: "cw"},
	{name: "cw100", eps: 8. / 255, step: 2. / 255, steps: 100, start: Uniform, loss: "cw"},
	{name: "pgd20-dlr", eps: 8. / 255, step: 2. / 255, steps: 20, start: Uniform, loss: "dlr"},
	{name: "pgd20-targeted", eps: 8. / 255, step: 2. / 255, steps: 20, start: Uniform, target: RandomClass},
	{name: "pgd20-least-likely", eps: 8. / 255, step: 2. / 255, steps: 20, start: Uniform, target: LeastLikely},
	{name: "pgd20-l2", norm: L2, eps: .5, ofEps: 2.5 / 20, steps: 20, start: Uniform},
	{name: "pgd20-l1", norm: L1, eps: 12, ofEps: 2.5 / 20, steps: 20, start: Uniform},
}

// others are the attacks by name that are no PGD.
var others = slices.Concat(gradientPresets, squarePresets, spsaPresets, fabPresets, minimumPresets, deepfoolPresets, carliniPresets, bisectionPresets, ensemblePresets)

var gradientPresets = []Attack{
	{Name: "rfgsm", Method: RFGSM{Ball: standardBall, Alpha: 4. / 255, Loss: "ce", Kappa: literatureKappa}},
	{Name: "mi-fgsm", Method: Momentum{Ball: standardBall, Steps: 10, StepSize: 2. / 255, Decay: 1, Loss: "ce", Kappa: literatureKappa}},
	{Name: "ni-fgsm", Method: Momentum{Ball: standardBall, Steps: 10, StepSize: 2. / 255, Decay: 1, Nesterov: true, Loss: "ce", Kappa: literatureKappa}},
	{Name: "apgd-ce", Method: APGD{Ball: standardBall, Steps: 100, Restarts: 1, Loss: "ce"}},
	{Name: "apgd-dlr", Method: APGD{Ball: standardBall, Steps: 100, Restarts: 1, Loss: "dlr"}},
	{Name: "apgd-t", Method: APGD{Ball: standardBall, Steps: 100, Restarts: 1, Targets: 9}},
}

// standardBall is the one that RobustBench ranks CIFAR-10 models in.
var standardBall = Ball{Linf, 8. / 255}

// preset is a PGD in short: loss "ce" and one run unless said otherwise; the step size is step, or ofEps times eps.
type preset struct {
	name        string
	norm        Norm
	eps         float64
	step, ofEps float64
	steps       int
	start       Start
	restarts    int
	loss        string
	best        bool
	target      Target
}

// literatureKappa is the margin that makes the hinge of "cw" presets inactive, as in the codes they stand for.
const literatureKappa = 50

// Presets lists the names that Preset accepts.
func Presets() []string {
	var names []string
	for _, p := range presets {
		names = append(names, p.name)
	}
	for _, a := range others {
		names = append(names, a.Name)
	}
	return names
}

// Preset returns the attack of a name; the error for an unknown one lists those that exist. Names joined by + are an
// ensemble, each of whose attacks works on what the earlier ones have not broken: "apgd-ce+apgd-t+square".
func Preset(name string) (Attack, error) {
	if parts := strings.Split(name, "+"); len(parts) > 1 {
		return joined(parts)
	}
	for _, p := range presets {
		if p.name == strings.ToLower(name) {
			return p.attack(), nil
		}
	}
	for _, a := range others {
		if a.Name == strings.ToLower(name) {
			return a, nil
		}
	}
	return Attack{}, fmt.Errorf("attacks: unknown attack %q: want one of %s", name, strings.Join(Presets(), ", "))
}

// joined is the ensemble of some presets.
func joined(names []string) (Attack, error) {
	var e Ensemble
	var parts []string
	for _, name := range names {
		stage, err := Preset(strings.TrimSpace(name))
		if err != nil {
			return Attack{}, err
		}
		e.Stages, parts = append(e.Stages, stage), append(parts, stage.Name)
	}
	if err := e.checkStages(); err != nil {
		return Attack{}, fmt.Errorf("attacks: %s: %w", strings.Join(parts, "+"), err)
	}
	return Attack{Name: strings.Join(parts, "+"), Method: e}, nil
}

func (p preset) attack() Attack {
	if p.steps == 0 {
		return Attack{Name: p.name}
	}
	method := PGD{
		Ball: Ball{p.norm, p.eps}, Steps: p.steps, StepSize: p.step, Start: p.start,
		Restarts: max(p.restarts, 1), Loss: "ce", Kappa: literatureKappa, Best: p.best, Target: p.target,
	}
	if p.ofEps != 0 {
		method.StepSize = p.ofEps * p.eps
	}
	if p.loss != "" {
		method.Loss = p.loss
	}
	return Attack{Name: p.name, Method: method, relativeStep: p.ofEps, oneStep: p.steps == 1}
}
