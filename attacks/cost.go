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
// Left out are the code's safety checks (7 passes over the first batch). Result.Forwards and Backwards count all passes of
// an evaluation here, verification included, except those over the clean images, of which there is one each.
//
// weights are passes back to the weights, which are not among passes: FAB of the official code goes back by
// Tensor.backward, which computes the gradient by every parameter as well as that by the image, at about the price of
// another pass: one for each of its gradients. The other attacks there, and all of those here, go back to the image alone.
func OfficialPasses(classes int, a Attack, r *Result, clean Flags) (passes, weights int64, err error) {
	e, ok := a.Method.(Ensemble)
	if !ok || len(r.Stages) != len(e.Stages) {
		return 0, 0, fmt.Errorf("attacks: %s: no ensemble with a result for each stage", a.Name)
	}
	passes = int64(len(clean))
	robust := clean
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
		passes += 2 * attacked
		switch m := stage.Method.(type) {
		case APGD:
			passes += runs * 2 * int64(m.passes()*max(m.EOT, 1))
			if m.Targets > 0 {
				passes += runs
			}
		case FAB:
			gradients, around := classes, 2
			if m.Targets > 0 {
				gradients, around = 1, 3
			}
			passes += runs * int64((2+gradients)*m.passes()+around)
			weights += runs * int64(gradients*m.passes())
		case SquareAttack:
			passes += result.Forwards + result.Skipped // which have one verification for each run
		default:
			return 0, 0, fmt.Errorf("attacks: %s: %s is no stage of AutoAttack", a.Name, stage.Name)
		}
		robust = result.RobustFlags
	}
	return passes, weights, nil
}
