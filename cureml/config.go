package cureml

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// Config says everything about a run; it is saved in full with it. [Defaults] fills in a method's recipe.
type Config struct {
	Method string  `json:"method"`
	Arch   nn.Arch `json:"arch"`
	// Data is what the images were read from: "mini", or a file or folder.
	Data string `json:"data"`
	// Init is a checkpoint to start from, "" for random weights.
	Init   string `json:"init,omitempty"`
	Epochs int    `json:"epochs"`
	Batch  int    `json:"batch"`
	Seed   uint64 `json:"seed"`
	// Augment crops and flips the training images.
	Augment bool `json:"augment"`
	// Validation is the share of training images held out to select the best checkpoint; 0 selects none.
	Validation float64        `json:"validation"`
	Schedule   optim.Schedule `json:"schedule"`
	SGD        optim.SGD      `json:"sgd"`
	Attack     AttackConfig   `json:"attack"`
	Trades     TradesConfig   `json:"trades"`
	Cure       CureConfig     `json:"cure"`
	// LogEvery and CheckpointEvery are in steps; both also happen at the end of an epoch.
	LogEvery        int `json:"log_every"`
	CheckpointEvery int `json:"checkpoint_every"`
	// EvalEvery is in epochs, EvalImages how many images such an evaluation takes at most; 0 switches it off.
	EvalEvery  int `json:"eval_every"`
	EvalImages int `json:"eval_images"`
}

// AttackConfig is the attack of training: an eps-ball, eps and step size in [0,1] pixels.
type AttackConfig struct {
	Norm     string  `json:"norm"` // linf, l2 or l1
	Eps      float64 `json:"eps"`
	StepSize float64 `json:"step_size"`
	Steps    int     `json:"steps"`
}

// TradesConfig holds TRADES' own parameters.
type TradesConfig struct {
	Beta float64 `json:"beta"`
	// ReleasedBN forwards the clean batch a second time, after the adversarial one, as trades.py does; only running
	// statistics can tell.
	ReleasedBN bool `json:"released_bn"`
}

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

// Defaults is the recipe of a method for a small machine: one-cycle SGD, batch 128, and the method's own parameters as
// published.
func Defaults(method string) Config {
	c := Config{
		Method: method, Data: "mini", Epochs: 10, Batch: 128, Augment: true,
		Schedule: optim.OneCycle(0.2, 0.3),
		SGD:      optim.SGD{Momentum: 0.9, WeightDecay: 5e-4, Nesterov: true},
		Attack:   AttackConfig{Norm: "linf", Eps: 0.031, StepSize: 0.007, Steps: 10},
		Trades:   TradesConfig{Beta: 6},
		Cure: CureConfig{Face: "paper", Percentile: 0.3, Alpha: 0.1, Gamma: 1, Beta: 5,
			EMADecay: 0.999, EMARate: 0.2, EMAWarm: true, EMABN: "own"},
		LogEvery: 20, CheckpointEvery: 200, EvalEvery: 1, EvalImages: 256,
	}
	if method == "at" {
		c.Attack.Eps, c.Attack.StepSize = 8.0/255, 2.0/255
	}
	return c
}

// Validate names the first value that is out of range, and what is accepted.
func (c Config) Validate() error {
	if _, err := NewMethod(c); err != nil {
		return err
	}
	count := func(name string, v, low int) error {
		if v < low || v > 1<<30 {
			return fmt.Errorf("cureml: %s %d: want %d or more", name, v, low)
		}
		return nil
	}
	share := func(name string, v float64) error {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("cureml: %s %v: want a value in [0, 1]", name, v)
		}
		return nil
	}
	if err := errors.Join(
		c.Arch.Validate(), c.Schedule.Validate(), c.SGD.Validate(), c.Attack.Validate(), c.Cure.validate(share),
		count("epochs", c.Epochs, 1), count("batch", c.Batch, 1), count("log_every", c.LogEvery, 1),
		count("checkpoint_every", c.CheckpointEvery, 1), count("eval_every", c.EvalEvery, 0), count("eval_images", c.EvalImages, 0),
		count("cure.warmup_epochs", c.Cure.WarmupEpochs, 0),
	); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return errors.New(first)
	}
	if c.Batch > 1<<16 {
		return fmt.Errorf("cureml: batch %d: want at most 65536", c.Batch)
	}
	if !(c.Validation >= 0 && c.Validation < 1) {
		return fmt.Errorf("cureml: validation %v: want a share in [0, 1)", c.Validation)
	}
	if !(c.Trades.Beta >= 0) || math.IsInf(c.Trades.Beta, 0) {
		return fmt.Errorf("cureml: trades.beta %v: want 0 or more", c.Trades.Beta)
	}
	return nil
}

// Validate names the first value out of range.
func (a AttackConfig) Validate() error {
	norm, err := a.norm()
	switch {
	case err != nil:
		return err
	case !(a.Eps >= 0) || math.IsInf(a.Eps, 0) || norm == attacks.Linf && a.Eps > 1:
		return fmt.Errorf("cureml: attack.eps %v: want [0,1] pixel units, such as 8/255 = 0.0314", a.Eps)
	case !(a.StepSize >= 0) || math.IsInf(a.StepSize, 0):
		return fmt.Errorf("cureml: attack.step_size %v: want 0 or more, in [0,1] pixel units", a.StepSize)
	case a.Steps < 1 || a.Steps > 10000:
		return fmt.Errorf("cureml: attack.steps %d: want 1 to 10000", a.Steps)
	}
	return nil
}

func (a AttackConfig) norm() (attacks.Norm, error) {
	switch strings.ToLower(a.Norm) {
	case "linf":
		return attacks.Linf, nil
	case "l2":
		return attacks.L2, nil
	case "l1":
		return attacks.L1, nil
	}
	return 0, fmt.Errorf("cureml: attack.norm %q: accepted are linf, l2, l1", a.Norm)
}

// pgd is the attack with the loss and start that a method asks for; a must be valid.
func (a AttackConfig) pgd(loss string, start attacks.Start) attacks.PGD {
	norm, _ := a.norm()
	return attacks.PGD{Ball: attacks.Ball{Norm: norm, Eps: a.Eps}, Steps: a.Steps, StepSize: a.StepSize, Start: start, Loss: loss}
}

func (c CureConfig) validate(share func(string, float64) error) error {
	if c.face() == nil {
		return fmt.Errorf("cureml: cure.face %q: accepted are paper, released, rgp_soft", c.Face)
	}
	switch c.EMABN {
	case "own", "copied", "averaged":
	default:
		return fmt.Errorf("cureml: cure.ema_bn %q: accepted are own, copied, averaged", c.EMABN)
	}
	if !(c.Gamma >= 0) || !(c.Beta >= 0) || math.IsInf(c.Gamma, 0) || math.IsInf(c.Beta, 0) {
		return fmt.Errorf("cureml: cure.gamma %v, cure.beta %v: want 0 or more", c.Gamma, c.Beta)
	}
	return errors.Join(share("cure.percentile", c.Percentile), share("cure.alpha", c.Alpha),
		share("cure.ema_decay", c.EMADecay), share("cure.ema_rate", c.EMARate))
}

func (c CureConfig) face() func(CureConfig, *Update, cureTerms) Outcome {
	return map[string]func(CureConfig, *Update, cureTerms) Outcome{
		"paper": curePaper, "released": cureReleased, "rgp_soft": cureReleasedSoft,
	}[c.Face]
}

// revisionMode is the batch-norm mode of the revision model.
func (c CureConfig) revisionMode() nn.Mode {
	if c.EMABN == "own" {
		return nn.Train
	}
	return nn.Eval
}

// ParseConfig reads a config; unknown keys are errors.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("cureml: config: %w", err)
	}
	return c, c.Validate()
}
