package attacks

import "fmt"

// OfficialPasses is what the official code (github.com/fra31/auto-attack, a392200) spends on an AutoAttack ensemble that
// comes to the verdicts of r: forward plus backward passes over one image, summed over images. In it an image stays to the
// end of a run once it is broken, and every iteration of FAB makes a forward pass of its own for the prediction. For N
// steps and K classes, per image:
//
//	clean image        1
//	each stage         2 for each image that enters it: the prediction it begins with, and one of what it returned
//	APGD               2 (N + 1) for each run
//	targeted APGD      2 (N + 1) + 1 for each run (target): the logits that say which class is aimed at
//	FAB                (K + 2) N + 2 for each run: a gradient for each class, and the predictions before and after the run
//	targeted FAB       3 N + 3 for each run: as FAB, with one gradient, and the logits that say which class is aimed at
//	Square             1 for each run, and its queries, 1 + 5000 or up to the one that breaks the image
//
// Runs go up to the one that breaks the image. With EOT every pass of APGD counts as often as it is repeated. So an image
// that stays robust costs 204 + 1829 + 2729 + 5004 in the standard version, and 1.
//
// Left out are the code's safety checks (7 passes over the first batch), and that FAB's backward passes compute gradients
// by the weights too, which takes about as long as those by the image. Result.Forwards and Backwards count all passes of
// an evaluation here, verification included, except those over the clean images, of which there is one each.
func OfficialPasses(classes int, a Attack, r *Result, clean Flags) (int64, error) {
	e, ok := a.Method.(Ensemble)
	if !ok || len(r.Stages) != len(e.Stages) {
		return 0, fmt.Errorf("attacks: %s: no ensemble with a result for each stage", a.Name)
	}
	total, robust := int64(len(clean)), clean
	for s, stage := range e.Stages {
		result := r.Stages[s]
		var runs, attacked int64
		for i, was := range robust {
			switch {
			case !was:
			case result.BrokenIn[i] >= 0:
				runs, attacked = runs+int64(result.BrokenIn[i])+1, attacked+1
			default:
				runs, attacked = runs+int64(stage.Method.runs()), attacked+1
			}
		}
		total += 2 * attacked
		switch m := stage.Method.(type) {
		case APGD:
			total += runs * 2 * int64(m.passes()*max(m.EOT, 1))
			if m.Targets > 0 {
				total += runs
			}
		case FAB:
			each, around := classes+2, 2
			if m.Targets > 0 {
				each, around = 3, 3
			}
			total += runs * int64(each*m.Steps+around)
		case SquareAttack:
			total += result.Forwards + result.Skipped // which have one verification for each run
		default:
			return 0, fmt.Errorf("attacks: %s: %s is no stage of AutoAttack", a.Name, stage.Name)
		}
		robust = result.RobustFlags
	}
	return total, nil
}
