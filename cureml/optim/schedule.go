package optim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Schedule maps training progress to a learning rate. Rates are set from the host before every step, so changing one
// never compiles a program again.
type Schedule struct {
	// Kind is constant, step, cosine, onecycle or triangular.
	Kind string `json:"kind"`
	// Max is the highest rate.
	Max float64 `json:"max"`
	// Milestones (kind step) are 1-based epochs from which on the rate is multiplied once more, by Factor or, where there
	// are Factors, by the milestone's own.
	Milestones []int     `json:"milestones,omitempty"`
	Factor     float64   `json:"factor,omitempty"`
	Factors    []float64 `json:"factors,omitempty"`
	// Rise (kinds onecycle and triangular) is the share of training spent going up. With onecycle the rate starts at
	// Max/StartDiv and ends at Max/StartDiv/EndDiv, both legs half cosines, as in PyTorch's OneCycleLR.
	Rise     float64 `json:"rise,omitempty"`
	StartDiv float64 `json:"start_div,omitempty"`
	EndDiv   float64 `json:"end_div,omitempty"`
}

// OneCycle is PyTorch's OneCycleLR with its defaults but for the share of rising steps.
func OneCycle(max, rise float64) Schedule {
	return Schedule{Kind: "onecycle", Max: max, Rise: rise, StartDiv: 25, EndDiv: 1e4}
}

// Triangular rises from 0 to max over the first half of training and falls back to 0 over the second, both linearly: one
// period of PyTorch's CyclicLR, as fast adversarial training uses it (Wong et al., 2020). The first step has rate 0.
func Triangular(max float64) Schedule { return Schedule{Kind: "triangular", Max: max, Rise: 0.5} }

// Step multiplies the rate by factor from each milestone epoch (1-based) on.
func Step(max, factor float64, milestones ...int) Schedule {
	return Schedule{Kind: "step", Max: max, Factor: factor, Milestones: milestones}
}

// Cosine falls from max to 0 along half a cosine.
func Cosine(max float64) Schedule { return Schedule{Kind: "cosine", Max: max} }

// Validate names the first value outside its range.
func (s Schedule) Validate() error {
	if !(s.Max > 0 && s.Max <= 100) {
		return fmt.Errorf("optim: learning rate %v: want a value in (0, 100]", s.Max)
	}
	switch s.Kind {
	case "constant", "cosine":
	case "step":
		return s.validateSteps()
	case "onecycle":
		if !(s.Rise > 0 && s.Rise < 1) || !(s.StartDiv >= 1) || !(s.EndDiv >= 1) {
			return fmt.Errorf("optim: one-cycle schedule with rise %v, start_div %v, end_div %v: want rise in (0, 1) and divisors of 1 or more", s.Rise, s.StartDiv, s.EndDiv)
		}
	case "triangular":
		if !(s.Rise > 0 && s.Rise < 1) {
			return fmt.Errorf("optim: triangular schedule with rise %v: want a value in (0, 1)", s.Rise)
		}
	default:
		return fmt.Errorf("optim: unknown schedule %q: accepted are constant, step, cosine, onecycle, triangular", s.Kind)
	}
	return nil
}

func (s Schedule) validateSteps() error {
	if len(s.Factors) == 0 {
		if !(s.Factor > 0 && s.Factor <= 1) {
			return fmt.Errorf("optim: step schedule with factor %v: want a value in (0, 1]", s.Factor)
		}
		return nil
	}
	if len(s.Factors) != len(s.Milestones) {
		return fmt.Errorf("optim: step schedule with %d factors for %d milestones: want one each", len(s.Factors), len(s.Milestones))
	}
	for _, f := range s.Factors {
		if !(f > 0 && f <= 100) {
			return fmt.Errorf("optim: step schedule with factor %v: want a value in (0, 100]", f)
		}
	}
	return nil
}

// factor is that of milestone i.
func (s Schedule) factor(i int) float64 {
	if len(s.Factors) > 0 {
		return s.Factors[i]
	}
	return s.Factor
}

// At is the rate of step number step (0-based) of total, with perEpoch steps an epoch.
func (s Schedule) At(step, total, perEpoch int) float64 {
	switch s.Kind {
	case "step":
		lr := s.Max
		for i, m := range s.Milestones {
			if step/perEpoch+1 >= m {
				lr *= s.factor(i)
			}
		}
		return lr
	case "cosine":
		return s.Max / 2 * (1 + math.Cos(math.Pi*float64(step)/float64(max(total, 1))))
	case "onecycle":
		start := s.Max / s.StartDiv
		peak, last := s.Rise*float64(total)-1, float64(total-1)
		at := float64(step)
		if at <= peak {
			return anneal(start, s.Max, at/math.Max(peak, 1e-9))
		}
		return anneal(s.Max, start/s.EndDiv, (at-peak)/math.Max(last-peak, 1e-9))
	case "triangular":
		peak, end := s.Rise*float64(total), float64(total)
		if at := float64(step); at > peak {
			return s.Max * (end - at) / (end - peak)
		}
		return s.Max * float64(step) / math.Max(peak, 1e-9)
	}
	return s.Max
}

// anneal goes from a to b along half a cosine as t goes from 0 to 1.
func anneal(a, b, t float64) float64 { return b + (a-b)/2*(1+math.Cos(math.Pi*math.Min(t, 1))) }

// ParseSchedule reads constant, cosine, onecycle, triangular or step:FACTOR:EPOCH,EPOCH,... with the highest rate max.
func ParseSchedule(text string, max float64) (Schedule, error) {
	fields := strings.Split(text, ":")
	switch fields[0] {
	case "constant":
		return Schedule{Kind: "constant", Max: max}, nil
	case "cosine":
		return Cosine(max), nil
	case "onecycle":
		return OneCycle(max, 0.3), nil
	case "triangular":
		return Triangular(max), nil
	}
	if fields[0] != "step" || len(fields) != 3 {
		return Schedule{}, fmt.Errorf("optim: schedule %q: accepted are constant, cosine, onecycle, triangular, step:FACTOR:EPOCH,EPOCH,...", text)
	}
	factor, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return Schedule{}, fmt.Errorf("optim: schedule %q: factor %q is no number", text, fields[1])
	}
	var milestones []int
	for _, m := range strings.Split(fields[2], ",") {
		epoch, err := strconv.Atoi(m)
		if err != nil || epoch < 1 {
			return Schedule{}, fmt.Errorf("optim: schedule %q: milestone %q, want an epoch of 1 or more", text, m)
		}
		milestones = append(milestones, epoch)
	}
	return Step(max, factor, milestones...), nil
}
