package attacks

// randVersion is the version "rand" of AutoAttack (fra31/auto-attack, autoattack.py), for models that draw random numbers
// when they predict: APGD on cross entropy, then on DLR, one run of 100 steps each, every gradient the mean of 20
// passes. In L1 the balls do not shrink, other than in the standard version.
func randVersion(ball Ball) Ensemble {
	stage := func(loss string) Attack {
		return Attack{Name: "apgd-" + loss, Method: APGD{Ball: ball, Steps: 100, Restarts: 1, Loss: loss, EOT: 20}}
	}
	return Ensemble{[]Attack{stage("ce"), stage("dlr")}, randVersion}
}
