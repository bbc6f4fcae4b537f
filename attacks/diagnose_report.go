package attacks

import "math"

// helpful is the difference of robust accuracies from which on a black-box attack casts doubt on those by gradients.
const helpful = .002

// inexact is more than the rounding of differences of shares.
const inexact = 1e-9

// DiagnoseReport looks for signs in the results of attacks, and of the stages of ensembles, that they could have broken
// more: FlagScores, FlagRestarts, FlagRefuted, FlagNonFinite and FlagZeroGradient. list is what was evaluated.
func DiagnoseReport(r *Report, list []Attack) []Flag {
	p := &diagnosis{}
	groups := map[Ball][]outcomeBy{}
	var balls []Ball
	for _, a := range list {
		result := r.result(a.Name)
		if a.Method == nil || result == nil {
			continue
		}
		ball := a.Method.Budget()
		if s, ok := a.Method.(Ensemble); ok {
			var stages []outcomeBy
			for k, stage := range result.Stages {
				p.single(a.Name+": ", r, stage, s.Stages[k].Method)
				stages = append(stages, outcomeBy{stage, s.Stages[k].Method})
			}
			p.compare(a.Name+": ", r.Clean.Accuracy, stages)
		} else {
			p.single("", r, result, a.Method)
		}
		if groups[ball] == nil {
			balls = append(balls, ball)
		}
		groups[ball] = append(groups[ball], outcomeBy{result, a.Method})
	}
	for _, ball := range balls {
		p.compare("", r.Clean.Accuracy, groups[ball])
	}
	return p.flags
}

// result is that of an attack, or nil.
func (r *Report) result(name string) *Result {
	for _, result := range r.Attacks {
		if result.Name == name {
			return result
		}
	}
	return nil
}

// outcomeBy is the result of a method.
type outcomeBy struct {
	*Result
	method Method
}

// byScores says whether an attack sees scores alone.
func (j outcomeBy) byScores() bool {
	switch j.method.(type) {
	case SquareAttack, *SquareAttack, SPSA, *SPSA:
		return true
	}
	return false
}

// compare holds attacks by scores against the others in the same ball.
func (p *diagnosis) compare(where string, clean float64, results []outcomeBy) {
	least, white := clean, 0
	for _, r := range results {
		if !r.byScores() {
			least, white = math.Min(least, r.RobustAccuracy), white+1
		}
	}
	for _, r := range results {
		if r.byScores() && white > 0 {
			p.raise(FlagScores, SeverityWarning, least-r.RobustAccuracy-inexact, helpful,
				"%s%s leaves a robust accuracy of %.4g, attacks by gradients %.4g: gradients may be masked", where, r.Name, r.RobustAccuracy, least)
		}
	}
}

// DiagnoseTransfer raises FlagTransfer for models that images made on another model fool more often than their own.
func DiagnoseTransfer(m *Matrix) []Flag {
	p := &diagnosis{}
	for _, r := range m.Attacks {
		for s, source := range m.Models {
			for t, target := range m.Models {
				own, foreign := r.Accuracy[t][t], r.Accuracy[s][t]
				p.raise(FlagTransfer, SeverityWarning, own-foreign-inexact, helpful,
					"%s: images made on %s leave %s an accuracy of %.4g, its own attack, which missed %d of them, %.4g: its gradients may be masked",
					r.Name, source, target, foreign, r.missed(s, t), own)
			}
		}
	}
	return p.flags
}

// missed counts the images that only those made on source s break on target t.
func (r *Transferred) missed(s, t int) (count int) {
	for i, robust := range r.Flags[t][t] {
		if robust && !r.Flags[s][t][i] {
			count++
		}
	}
	return count
}

// single looks at the result of one attack.
func (p *diagnosis) single(where string, r *Report, result *Result, method Method) {
	n, attacked := float64(r.N), r.Clean.Flags.count()
	p.raise(FlagNonFinite, SeverityError, float64(result.NaN)/n, 0,
		"%s%s: %d of %d attacked images gave a NaN logit or a NaN or infinite loss or gradient", where, result.Name, result.NaN, attacked)
	p.raise(FlagZeroGradient, SeverityWarning, float64(result.ZeroGrad)/n, 0,
		"%s%s: %d of %d attacked images had a gradient of exactly zero while classified correctly: it may be masked", where, result.Name, result.ZeroGrad, attacked)
	p.raise(FlagRefuted, SeverityWarning, float64(result.Refuted)/n, .01,
		"%s%s: the verification refuted %d successes that the search had claimed", where, result.Name, result.Refuted)
	if later := laterRuns(result, method); later > 0 {
		p.raise(FlagRestarts, SeverityWarning, float64(later)/n, math.Max(.01, 1/n)+inexact,
			"%s%s: restarts broke %d of %d images that the first run had not: more of them may break more", where, result.Name, later, r.N)
	}
}

// laterRuns counts the images that restarts broke.
func laterRuns(result *Result, method Method) (count int) {
	switch m := method.(type) {
	case PGD:
	case APGD:
		if m.Targets > 0 {
			return 0 // runs have different targets
		}
	default:
		return 0
	}
	for _, run := range result.BrokenIn {
		if run > 0 {
			count++
		}
	}
	return count
}
