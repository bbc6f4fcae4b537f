package cureml

import (
	"fmt"
	"math"
	"strings"

	"cure/cureml/nn"
	"cure/data"
)

// CureConfig holds CURE's own parameters (arXiv 2401.14948, table 9).
type CureConfig struct {
	Face       string  `json:"face"`       // paper, released or rgp_soft
	Percentile float64 `json:"percentile"` // p, the share of each tensor that is conserved, in [0, 1]
	Alpha      float64 `json:"alpha"`      // α
	Gamma      float64 `json:"gamma"`      // γ
	Beta       float64 `json:"beta"`       // β of face rgp_soft
	EMADecay   float64 `json:"ema_decay"`  // d
	EMARate    float64 `json:"ema_rate"`   // r, probability of an update per step
	// EMAWarm uses the decay min(1 - 1/(t+1), d) at step t, counted from 1, as the released code does.
	EMAWarm bool `json:"ema_warm"`
	// EMABN says where the revision model's statistics come from: own (mode T, its own running statistics, as released),
	// copied (the student's, mode E) or averaged (like weights, mode E).
	EMABN string `json:"ema_bn"`
	// MaskClassifier lets face paper conserve entries of the classifier too.
	MaskClassifier bool `json:"mask_classifier"`
	// WarmupEpochs trains naturally first (CURE-Eff); the revision model is a true copy made at the switch.
	WarmupEpochs int `json:"warmup_epochs"`
}

// tuneCure is the recipe of the paper's ResNet-18 on CIFAR-10, but for the rise of d, which is the released code's; see [CURE].
func tuneCure(c *Config) {
	exactEighths(c)
	c.Cure = CureConfig{Face: "paper", Percentile: 0.3, Alpha: 0.1, Gamma: 1, Beta: 5,
		EMADecay: 0.999, EMARate: 0.2, EMAWarm: true, EMABN: "own"}
}

// warmup is the number of natural epochs before CURE. CURE-Eff needs no network trained before but begins with natural
// epochs: unless the config says how many, two fifths of all, as in the released train_warmup.py (80 of 200). That code
// makes the revision model an alias of the student at every epoch, which switches revision off; here it is a true copy,
// made once at the switch.
func (c Config) warmup() int {
	if c.Method == "cure-eff" && c.Cure.WarmupEpochs == 0 {
		return max(1, c.Epochs*2/5)
	}
	return c.Cure.WarmupEpochs
}

func checkCure(all Config) error {
	c := all.Cure
	if c.face() == nil {
		return fmt.Errorf("cureml: cure.face %q: accepted are paper, released, rgp_soft", c.Face)
	}
	if c.Face == "rgp_soft" && strings.HasSuffix(all.Arch.Name, "-swish") {
		return fmt.Errorf("cureml: cure.face %q: it conserves weights by names (conv1) that a %s does not have", c.Face, all.Arch.Name)
	}
	switch c.EMABN {
	case "own", "copied", "averaged":
	default:
		return fmt.Errorf("cureml: cure.ema_bn %q: accepted are own, copied, averaged", c.EMABN)
	}
	if warmup := all.warmup(); warmup < 0 || warmup >= all.Epochs {
		return fmt.Errorf("cureml: cure.warmup_epochs %d: want 0 or more, and fewer than the %d epochs", warmup, all.Epochs)
	}
	return first(weight("cure.gamma", c.Gamma), weight("cure.beta", c.Beta), share("cure.percentile", c.Percentile),
		share("cure.alpha", c.Alpha), share("cure.ema_decay", c.EMADecay), share("cure.ema_rate", c.EMARate))
}

func (c CureConfig) face() cureFace {
	return map[string]cureFace{"paper": curePaper, "released": cureReleased, "rgp_soft": cureReleasedSoft}[c.Face]
}

// revisionMode is the batch-norm mode of the revision model.
func (c CureConfig) revisionMode() nn.Mode {
	if c.EMABN == "own" {
		return nn.Train
	}
	return nn.Eval
}

// decayAt is the decay d of the revision model's update at a step counted from 0: 1, that is none, with probability 1 - r.
func (c CureConfig) decayAt(seed uint64, step int) float64 {
	if step < 0 || data.Stream(seed, "ema", uint64(step)).Float64() >= c.EMARate {
		return 1
	}
	if c.EMAWarm {
		return math.Min(1-1/float64(step+2), c.EMADecay)
	}
	return c.EMADecay
}
