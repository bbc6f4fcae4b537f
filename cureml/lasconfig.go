package cureml

import (
	"fmt"
	"math"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// LasConfig holds LAS-AT's own parameters. Where a default is not in the paper's text it is the released code's, with the
// options of its README.
type LasConfig struct {
	Face string `json:"face"` // paper or released, see [Las]
	// Eps and StepSize are what the strategy network chooses from, in 1/255; Steps are numbers of attack steps.
	Eps      Span `json:"eps"`
	Steps    Span `json:"steps"`
	StepSize Span `json:"step_size"`
	// Beta is the β of LAS-TRADES, chosen for each image too.
	Beta Span `json:"beta,omitzero"`
	// Target is the probability of the true class in the smoothed labels of LAS-AT, in [0, 1].
	Target float64 `json:"target,omitzero"`
	// Interval is how many steps of the student there are for each of the strategy network.
	Interval int `json:"interval"`
	// RobustWeight and CleanWeight are the factors of the rewards R2 and R3; R1 is clipped to [0, Clip].
	RobustWeight float64 `json:"robust_weight"`
	CleanWeight  float64 `json:"clean_weight"`
	Clip         float64 `json:"clip"`
	// Restarts is how often the attack behind R2 starts anew. Its budget is that of Attack.
	Restarts int `json:"restarts"`
	// Rate is the strategy network's highest learning rate, SGD its optimizer, ClipNorm the largest norm of its gradient.
	Rate     float64   `json:"rate"`
	SGD      optim.SGD `json:"sgd"`
	ClipNorm float64   `json:"clip_norm"`
	// Width is the strategy network's base width; 0 is 64, the published one, times what the student has of its own
	// published width.
	Width int `json:"width,omitempty"`
}

// Span is the whole numbers from Low to High, both included.
type Span struct {
	Low  int `json:"low"`
	High int `json:"high"`
}

func (s Span) size() int { return s.High - s.Low + 1 }

func tuneLas(c *Config) {
	exactEighths(c)
	c.Las = LasConfig{Face: "paper", Eps: Span{3, 15}, Steps: Span{3, 14}, StepSize: Span{1, 5}, Target: 0.7, Interval: 20,
		RobustWeight: 4, CleanWeight: 2, Clip: 10, Restarts: 2, Rate: 1e-4, ClipNorm: 1}
	if c.Method == lasTrades {
		c.Las = LasConfig{Face: "paper", Eps: Span{5, 9}, Steps: Span{7, 14}, StepSize: Span{2, 4}, Beta: Span{5, 9}, Interval: 1,
			RobustWeight: 8, CleanWeight: 4, Clip: 20, Restarts: 2, Rate: 1e-4, ClipNorm: 1,
			SGD: optim.SGD{Momentum: 0.9, WeightDecay: 5e-4}}
	}
}

func checkLas(all Config) error {
	c := all.Las
	if norm, err := all.Attack.norm(); err == nil && norm != attacks.Linf {
		return fmt.Errorf("cureml: attack.norm %s: %s chooses budgets in linf alone", all.Attack.Norm, all.Method)
	}
	if c.Face != "paper" && c.Face != "released" {
		return fmt.Errorf("cureml: las.face %q: accepted are paper, released", c.Face)
	}
	spans := []struct {
		name string
		Span
		most int
	}{{"las.eps", c.Eps, 255}, {"las.steps", c.Steps, 1000}, {"las.step_size", c.StepSize, 255}, {"las.beta", c.Beta, 1000}}
	if all.Method != lasTrades {
		if c.Beta != (Span{}) {
			return fmt.Errorf("cureml: las.beta %d to %d: only las-trades has it", c.Beta.Low, c.Beta.High)
		}
		spans = spans[:3]
	}
	for _, s := range spans {
		if s.Low < 1 || s.High < s.Low || s.High > s.most {
			return fmt.Errorf("cureml: %s from %d to %d: want low and high between 1 and %d, low first", s.name, s.Low, s.High, s.most)
		}
	}
	switch {
	case c.Interval < 1:
		return fmt.Errorf("cureml: las.interval %d: want 1 or more steps", c.Interval)
	case c.Restarts < 1 || c.Restarts > 100:
		return fmt.Errorf("cureml: las.restarts %d: want 1 to 100", c.Restarts)
	case !(c.ClipNorm > 0) || math.IsInf(c.ClipNorm, 0):
		return fmt.Errorf("cureml: las.clip_norm %v: want a norm above 0", c.ClipNorm)
	case c.Width < 0 || c.Width > 1024:
		return fmt.Errorf("cureml: las.width %d: want a base width up to 1024, 0 for the student's share of 64", c.Width)
	}
	return first(share("las.target", c.Target), weight("las.robust_weight", c.RobustWeight),
		weight("las.clean_weight", c.CleanWeight), weight("las.clip", c.Clip), weight("las.rate", c.Rate), c.SGD.Validate())
}

// arch is the strategy network's: a ResNet-18 with a logit for every option of every head.
func (l las) arch() nn.Arch {
	a := nn.Arch{Name: "resnet18", Width: l.Las.Width}
	if published, err := nn.Parse(l.Arch.Name, 0, 2); a.Width == 0 && err == nil {
		a.Width = max(1, 64*l.Arch.Width/published.Width)
	}
	for _, head := range l.heads {
		a.Classes += head.size()
	}
	return a
}

// strategyRate is the strategy network's learning rate, which falls as the student's does. The released LAS-AT means that
// too, but counts its milestones in steps of the student and takes them in steps of the strategy network: its rate is
// constant.
func (l las) strategyRate(p Progress) float64 {
	if l.released() && !l.trades() {
		return l.Las.Rate
	}
	return l.Las.Rate * l.rate(p) / l.Schedule.Max
}
