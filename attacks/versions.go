package attacks

// The versions of AutoAttack (Croce and Hein 2020, section 6, and github.com/fra31/auto-attack, autoattack.py): every
// stage works on what the earlier ones have not broken. In L1 (Croce and Hein 2021) APGD passes through larger balls,
// starts five times with cross-entropy, and aims at five classes.

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

// ensemblePresets are the versions by name.
var ensemblePresets = []Attack{{Name: "autoattack-fast", Method: fast(standardBall)}}
