package attacks

import "fmt"

// OfficialPasses is what the official code (github.com/fra31/auto-attack) spends on an AutoAttack ensemble that comes to
// the verdicts of r: forward plus backward passes over one image, summed over images. In it an image stays to the end of
// a run once it is broken, and every iteration of FAB makes a forward pass of its own for the prediction:
//
//	clean image                   1 for each image
//	APGD, N steps                 2 (N + 1) for each run on an image
//	targeted APGD, N steps        2 (N + 1) + 1 for each run (target), up to the one that breaks the image
//	FAB and targeted FAB          3 N, and (2 + K - 1) N for K classes where it is not targeted
//	Square                        its queries, up to the one that breaks the image
//
// Passes that only check what an attack returned are left out, while Result counts them here.
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
		switch m := stage.Method.(type) {
		case APGD:
			each := 2 * int64(m.passes())
			if m.Targets > 0 {
				each++
			}
			total += runs * each * int64(max(m.EOT, 1))
		case FAB:
			each := int64(3)
			if m.Targets == 0 {
				each = int64(2 + classes - 1)
			}
			total += runs * each * int64(m.Steps)
		case SquareAttack:
			total += result.Forwards - attacked*int64(m.runs()) // without their verification
		default:
			return 0, fmt.Errorf("attacks: %s: %s is no stage of AutoAttack", a.Name, stage.Name)
		}
		robust = result.RobustFlags
	}
	return total, nil
}
