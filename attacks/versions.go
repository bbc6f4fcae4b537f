package attacks

// The versions of AutoAttack (Croce and Hein 2020, section 6, and github.com/fra31/auto-attack, autoattack.py): every
// stage works on what the earlier ones have not broken. In L1 (Croce and Hein 2021) the standard version's APGD passes
// through larger balls, starts five times with cross-entropy, and aims at five classes. The plus version was made for
// Linf and L2: in L1 its code asks to check the settings, and runs those of the other norms, with no larger balls.

// standard is the version that RobustBench ranks by.
func standard(ball Ball) Ensemble {
	e := fast(ball)
	e.Stages = append(e.Stages, fabT(ball), square(ball))
	e.inBall = standard
	return e
}

// fast is the standard version without FAB and Square, which break few images of ordinary robust models at most of the
// cost.
func fast(ball Ball) Ensemble {
	ce := APGD{Ball: ball, Steps: 100, Restarts: 1, Loss: "ce"}
	targeted := APGD{Ball: ball, Steps: 100, Restarts: 1, Targets: 9}
	if ball.Norm == L1 {
		ce.Shrink, ce.Restarts = true, 5
		targeted.Shrink, targeted.Targets = true, 5
	}
	return Ensemble{[]Attack{{Name: "apgd-ce", Method: ce}, {Name: "apgd-t", Method: targeted}}, fast}
}

// plus is the version with more restarts and the untargeted attacks too.
func plus(ball Ball) Ensemble {
	return Ensemble{[]Attack{
		{Name: "apgd-ce", Method: APGD{Ball: ball, Steps: 100, Restarts: 5, Loss: "ce"}},
		{Name: "apgd-dlr", Method: APGD{Ball: ball, Steps: 100, Restarts: 5, Loss: "dlr"}},
		{Name: "fab", Method: FAB{Ball: ball, Steps: 100, Restarts: 5}},
		square(ball),
		{Name: "apgd-t", Method: APGD{Ball: ball, Steps: 100, Restarts: 1, Targets: 9}},
		fabT(ball),
	}, plus}
}

func fabT(ball Ball) Attack {
	return Attack{Name: "fab-t", Method: FAB{Ball: ball, Steps: 100, Restarts: 1, Targets: 9}}
}

func square(ball Ball) Attack {
	return Attack{Name: "square", Method: SquareAttack{Ball: ball, Queries: 5000, Restarts: 1}}
}

// ensemblePresets are the versions by name.
var ensemblePresets = []Attack{
	{Name: "autoattack", Method: standard(standardBall)},
	{Name: "autoattack-plus", Method: plus(standardBall)},
	{Name: "autoattack-rand", Method: randVersion(standardBall)},
	{Name: "autoattack-fast", Method: fast(standardBall)},
}
