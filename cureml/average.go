package cureml

import (
	"fmt"
	"math"
)

// AverageConfig asks for an average of the student's weights beside any method (Izmailov et al. 2018; Gowal et al. 2020):
//
//	θ_avg <- d·θ_avg + (1-d)·θ  after every step,   d = min(Decay, (1+t)/(10+t)),
//
// t counting the steps since epoch Start, before which the average is the student itself. Its running statistics are the
// student's, as in the code of Gowal et al. Evaluations between epochs and the best checkpoint are then the average's.
type AverageConfig struct {
	Decay float64 `json:"decay"` // 0 switches it off; 0.995 and 0.999 are usual
	Start int     `json:"start"` // epoch
}

// Averaged is the role of the weight average, and the name of its network in a run folder.
const Averaged = "average"

func (a AverageConfig) network() Network {
	return Network{Role: Averaged, Kind: Average, Stats: "copied", Decay: func(p Progress) float64 {
		t := float64(p.Step - a.Start*p.PerEpoch)
		if t < 0 {
			return 0
		}
		return math.Min(a.Decay, (1+t)/(10+t))
	}}
}

func (a AverageConfig) validate(epochs int) error {
	if !(a.Decay >= 0 && a.Decay < 1) {
		return fmt.Errorf("cureml: average.decay %v: want a value in [0, 1), 0 for no average", a.Decay)
	}
	if a.Start < 0 || a.Start > 0 && a.Start >= epochs {
		return fmt.Errorf("cureml: average.start %d: want an epoch, 0 or more, and fewer than the %d epochs", a.Start, epochs)
	}
	return nil
}
