package attacks

import (
	"math"
	"strings"
)

// helpful is the difference of robust accuracies from which on a black-box attack casts doubt on those by gradients.
const helpful = .002

// DiagnoseReport looks for signs in the results of attacks, and of the stages of ensembles, that they could have broken
// more: FlagScores, FlagTransfer, FlagRestarts, FlagNonFinite and FlagZeroGradient. list is what was evaluated.
func DiagnoseReport(r *Report, list []Attack) []Flag {
	p := &diagnosis{}
	groups := map[Ball][]*Result{}
	var balls []Ball
	for _, a := range list {
		result := r.result(a.Name)
		if a.Method == nil || result == nil {
			continue
		}
		ball := a.Method.Budget()
		if s, ok := a.Method.(Ensemble); ok {
			p.compare(a.Name+": ", r.Clean.Accuracy, result.Stages)
			for k, stage := range result.Stages {
				p.single(a.Name+": ", r, stage, s.Stages[k].Method)
			}
		} else {
			p.single("", r, result, a.Method)
		}
		if groups[ball] == nil {
			balls = append(balls, ball)
		}
		groups[ball] = append(groups[ball], result)
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

// byScores and byTransfer are how the names of attacks begin that take no gradients of the model.
var (
	byScores   = []string{"square", "spsa"}
	byTransfer = []string{"transfer"}
)

func beginsWith(name string, list []string) bool {
	for _, start := range list {
		if strings.HasPrefix(strings.ToLower(name), start) {
			return true
		}
	}
	return false
}

// compare holds black-box attacks against the others in the same ball.
func (p *diagnosis) compare(where string, clean float64, results []*Result) {
	least, white := clean, 0
	for _, r := range results {
		if !beginsWith(r.Name, byScores) && !beginsWith(r.Name, byTransfer) {
			least, white = math.Min(least, r.RobustAccuracy), white+1
		}
	}
	if white == 0 {
		return // there is nothing to compare with
	}
	for _, r := range results {
		gain := least - r.RobustAccuracy - 1e-9 // differences of shares are not exact
		if beginsWith(r.Name, byScores) {
			p.raise(FlagScores, SeverityWarning, gain, helpful,
				"%s%s leaves a robust accuracy of %.4g, attacks by gradients %.4g: gradients may be masked", where, r.Name, r.RobustAccuracy, least)
		}
		if beginsWith(r.Name, byTransfer) {
			p.raise(FlagTransfer, SeverityWarning, gain, helpful,
				"%s%s leaves a robust accuracy of %.4g, attacks on the model itself %.4g: gradients may be masked", where, r.Name, r.RobustAccuracy, least)
		}
	}
}

// single looks at the result of one attack.
func (p *diagnosis) single(where string, r *Report, result *Result, method Method) {
	n, attacked := float64(r.N), r.Clean.Flags.count()
	p.raise(FlagNonFinite, SeverityError, float64(result.NaN)/n, 0,
		"%s%s: %d of %d attacked images gave a NaN logit or a NaN or infinite loss or gradient", where, result.Name, result.NaN, attacked)
	p.raise(FlagZeroGradient, SeverityWarning, float64(result.ZeroGrad)/n, 0,
		"%s%s: %d of %d attacked images had a gradient of exactly zero while classified correctly: it may be masked", where, result.Name, result.ZeroGrad, attacked)
	if later := laterRuns(result, method); later > 0 {
		p.raise(FlagRestarts, SeverityWarning, float64(later)/n, math.Max(.01, 1/n)+1e-9,
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
