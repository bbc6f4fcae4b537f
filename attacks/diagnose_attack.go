package attacks

import (
	"context"
	"math"
)

// diagnosticEOT is how many passes the attacks of a diagnosis average over a random model.
const diagnosticEOT = 5

// attackChecks are the attacks of a diagnosis, by name.
func (p *diagnosis) attackChecks() []Attack {
	pgd := func(name, loss string, ball Ball, steps int) Attack {
		return Attack{Name: name, Method: PGD{
			Ball: ball, Steps: steps, StepSize: min(2.5*ball.Eps/float64(steps), 1), Start: Uniform, Loss: loss, Best: true, EOT: diagnosticEOT,
		}}
	}
	ball := p.opt.Ball
	scaled := func(factor float64) Ball {
		b := Ball{ball.Norm, factor * ball.Eps}
		if b.Norm == Linf {
			b.Eps = min(b.Eps, 1)
		}
		return b
	}
	other := "dlr"
	if p.classes < 3 {
		other = "cw"
	}
	fgsm := PGD{Ball: ball, Steps: 1, StepSize: min(ball.Eps, 1), Loss: "ce", EOT: diagnosticEOT}
	unbounded := PGD{Ball: Ball{Linf, 1}, Steps: 30, StepSize: .1, Start: Uniform, Loss: "ce", Best: true, Restarts: 2, EOT: diagnosticEOT}
	return []Attack{
		{Name: "no budget", Method: PGD{Ball: scaled(0), Steps: 1, StepSize: .1, Loss: "ce"}},
		{Name: "fgsm", Method: fgsm},
		pgd("pgd", "ce", ball, 20),
		pgd("pgd, another loss", other, ball, 20),
		pgd("pgd, few steps", "ce", ball, 5),
		pgd("pgd, half eps", "ce", scaled(.5), 20),
		pgd("pgd, double eps", "ce", scaled(2), 20),
		{Name: "unbounded", Method: unbounded},
		{Name: "square", Method: SquareAttack{Ball: ball, Queries: 100}},
	}
}

// attacks runs them.
func (p *diagnosis) attacks(ctx context.Context) error {
	v := &evaluation{engine: p.engine, images: p.images, labels: p.labels, opt: p.evaluation.opt}
	report, err := v.carryOut(ctx, p.attackChecks())
	if err == nil {
		p.compareAttacks(report)
	}
	return err
}

// compareAttacks looks at what the attacks of attackChecks broke.
func (p *diagnosis) compareAttacks(report *Report) {
	of := map[string]*Result{}
	for _, r := range report.Attacks {
		of[r.Name] = r
	}
	share := func(count int) float64 { return float64(count) / float64(p.n) }
	// onlyBy counts the images that an attack broke and none of the others did.
	onlyBy := func(name string, others ...string) (count int) {
		for i, robust := range of[name].RobustFlags {
			left := report.Clean.Flags[i] && !robust
			for _, other := range others {
				left = left && of[other].RobustFlags[i]
			}
			if left {
				count++
			}
		}
		return count
	}
	rise := func(weak, strong string) float64 { return of[strong].RobustAccuracy - of[weak].RobustAccuracy }
	few := math.Max(.02, 1/float64(p.n)) + inexact

	p.raise(FlagNoBudget, SeverityError, share(onlyBy("no budget")), 0,
		"an attack with eps 0 changed the verdict on %d of %d images", onlyBy("no budget"), p.n)
	p.raise(FlagUnbounded, SeverityWarning, of["unbounded"].RobustAccuracy, 0,
		"PGD with eps 1, which may return any image, leaves a robust accuracy of %g: it does not work on this model", of["unbounded"].RobustAccuracy)
	p.raise(FlagEps, SeverityWarning, math.Max(rise("pgd, half eps", "pgd"), rise("pgd", "pgd, double eps")), few,
		"PGD leaves a robust accuracy of %.3g at half of eps, %.3g at eps and %.3g at twice eps: it should fall",
		of["pgd, half eps"].RobustAccuracy, of["pgd"].RobustAccuracy, of["pgd, double eps"].RobustAccuracy)
	p.raise(FlagSteps, SeverityWarning, rise("pgd, few steps", "pgd"), few,
		"PGD leaves a robust accuracy of %.3g after 5 steps and %.3g after 20: it should fall", of["pgd, few steps"].RobustAccuracy, of["pgd"].RobustAccuracy)
	p.raise(FlagOneStep, SeverityWarning, share(onlyBy("fgsm", "pgd")), few,
		"FGSM broke %d of %d images that PGD did not", onlyBy("fgsm", "pgd"), p.n)
	blind := onlyBy("square", "fgsm", "pgd", "pgd, another loss", "pgd, few steps")
	p.raise(FlagBlackBox, SeverityWarning, share(blind), helpful,
		"Square, which sees scores alone, broke %d of %d images in 100 queries that no attack by gradients did", blind, p.n)
}
