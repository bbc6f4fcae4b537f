package cureml

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestConfigValidation(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"unknown method":     func(c *Config) { c.Method = "magic" },
		"unknown arch":       func(c *Config) { c.Arch.Name = "vgg" },
		"epochs 0":           func(c *Config) { c.Epochs = 0 },
		"batch -1":           func(c *Config) { c.Batch = -1 },
		"[0,1] pixel units":  func(c *Config) { c.Attack.Eps = 8 },
		"attack.step_size":   func(c *Config) { c.Attack.StepSize = math.NaN() },
		"attack.norm":        func(c *Config) { c.Attack.Norm = "l7" },
		"cure.face":          func(c *Config) { c.Cure.Face = "poster" },
		"cure.percentile 30": func(c *Config) { c.Cure.Percentile = 30 },
		"cure.ema_bn":        func(c *Config) { c.Cure.EMABN = "none" },
		"compute \"half\"":   func(c *Config) { c.Compute = "half" },
		"learning rate 0":    func(c *Config) { c.Schedule.Max = 0 },
		"momentum 2":         func(c *Config) { c.SGD.Momentum = 2 },
		"validation 1":       func(c *Config) { c.Validation = 1 },
		"ard.alpha 2":        func(c *Config) { *c = smallConfig("ard"); c.Ard.Alpha = 2 },
		"ard.temperature 0":  func(c *Config) { *c = smallConfig("iad-1"); c.Ard.Temperature = 0 },
		"iad.beta -1":        func(c *Config) { *c = smallConfig("iad-2"); c.Iad.Beta = -1 },
		"iad.begin 60":       func(c *Config) { *c = smallConfig("iad-1"); c.Iad.Begin = 60 },
		"akd2.natural 1.1":   func(c *Config) { *c = smallConfig("akd2"); c.Akd2.Natural = 0.5 },
		"akd2.temperature":   func(c *Config) { *c = smallConfig("iad-2"); c.Akd2.Temperature = math.Inf(1) },
		"act.alpha_robust":   func(c *Config) { *c = smallConfig("act"); c.Act.AlphaRobust = 1.5 },
		"act.temperature":    func(c *Config) { *c = smallConfig("act"); c.Act.Temperature = math.NaN() },
		"act.natural: nn":    func(c *Config) { *c = smallConfig("act"); c.Act.Natural.Arch = "vgg" },
		"lbgat.beta -1":      func(c *Config) { *c = smallConfig("lbgat"); c.Lbgat.Beta = -1 },
		"lbgat.natural: nn":  func(c *Config) { *c = smallConfig("lbgat"); c.Lbgat.Natural.Width = -1 },
		"hat.h -2":           func(c *Config) { *c = smallConfig("hat"); c.Hat.H = -2 },
		"hat.gamma NaN":      func(c *Config) { *c = smallConfig("hat"); c.Hat.Gamma = math.NaN() },
		"trades.beta":        func(c *Config) { c.Trades.Beta = math.Inf(1) },
		"awp.gamma -1":       func(c *Config) { c.AWP.Gamma = -1 },
		"awp.start 2":        func(c *Config) { c.AWP = AWPConfig{Gamma: 0.01, Start: 2} },
		"rwp.gamma NaN":      func(c *Config) { c.RWP.Gamma = math.NaN() },
		"rwp.start -1":       func(c *Config) { c.RWP = RWPConfig{Gamma: 0.01, Start: -1} },
		"rwp.rounds -1":      func(c *Config) { c.RWP = RWPConfig{Gamma: 0.01, Rounds: -1} },
		"rwp.threshold NaN":  func(c *Config) { c.RWP = RWPConfig{Gamma: 0.01, Threshold: math.NaN()} },
		"want one of them":   func(c *Config) { c.RWP.Gamma, c.AWP.Gamma = 0.01, 0.01 },
		"makes no adversar":  func(c *Config) { c.Method, c.RWP.Gamma = "natural", 0.01 },
		"guard.drop 20":      func(c *Config) { c.Guard.Drop = 20 },
		"guard.steps -5":     func(c *Config) { c.Guard.Steps = -5 },
		"free.replays 0":     func(c *Config) { *c = smallConfig("free-at"); c.Free.Replays = 0 },
		"knows linf only":    func(c *Config) { *c = smallConfig("free-at"); c.Attack.Norm = "l2" },
		"want both empty":    func(c *Config) { *c = smallConfig("free-at"); c.Attack.BN = "E" },
		"average.decay 1":    func(c *Config) { c.Average.Decay = 1 },
		"average.start -1":   func(c *Config) { c.Average.Start = -1 },
		"average.start 2":    func(c *Config) { c.Average = AverageConfig{Decay: 0.9, Start: 2} },
		"has no block 4":     func(c *Config) { c.Arch.Name, c.Layerwise.Train = "wrn-10-1", "14" },
		"want init":          func(c *Config) { c.Layerwise = LayerwiseConfig{Train: "3", Reinit: true} },
		"fat has the modes":  func(c *Config) { *c = smallConfig("fat"); c.At.Face = "madry" },
		"fast-at has the":    func(c *Config) { *c = smallConfig("fast-at"); c.At.Face = "rice" },
		"names (conv1)":      func(c *Config) { c.Arch.Name, c.Cure.Face = "wrn-10-1-swish", "rgp_soft" },
		"mart.beta -1":       func(c *Config) { *c = smallConfig("fat-mart"); c.Mart.Beta = -1 },
		"fat.tau -1":         func(c *Config) { *c = smallConfig("fat-trades"); c.Fat.Tau = -1 },
		"fat.raise 50":       func(c *Config) { *c = smallConfig("fat"); c.Fat.Raise = []float64{50, 90} },
		"rising shares":      func(c *Config) { *c = smallConfig("fat"); c.Fat.Raise = []float64{.9, .5} },
		"fat.omega NaN":      func(c *Config) { *c = smallConfig("fat-mart"); c.Fat.Omega = math.NaN() },
		"st.beta":            func(c *Config) { *c = smallConfig("st-at"); c.ST.Beta = -6 },
		"must start apart":   func(c *Config) { *c = smallConfig("st-at"); c.Attack.From = "none" },
		"attack.start uniform: want normal": func(c *Config) {
			*c = smallConfig("st-at")
			c.Attack.From, c.Attack.Norm = "uniform", "l2"
		},
		"las.face":           func(c *Config) { c.Las.Face = "code" },
		"las.eps from 3":     func(c *Config) { c.Las.Eps = Span{3, 256} },
		"las.steps from 0":   func(c *Config) { c.Las.Steps.Low = 0 },
		"las.step_size from": func(c *Config) { c.Las.StepSize = Span{5, 1} },
		"las.beta from 0":    func(c *Config) { c.Las.Beta = Span{} },
		"las.target 1.5":     func(c *Config) { c.Las.Target = 1.5 },
		"las.interval 0":     func(c *Config) { c.Las.Interval = 0 },
		"las.restarts 0":     func(c *Config) { c.Las.Restarts = 0 },
		"las.clip_norm 0":    func(c *Config) { c.Las.ClipNorm = 0 },
		"las.width -1":       func(c *Config) { c.Las.Width = -1 },
		"las.rate":           func(c *Config) { c.Las.Rate = math.NaN() },
		"las.clean_weight":   func(c *Config) { c.Las.CleanWeight = -1 },
		"chooses budgets":    func(c *Config) { c.Method, c.Attack.Norm = lasTrades, "l2" },
		"las.beta 5 to 6":    func(c *Config) { c.Method = "las-at" },

		"at.face":                  func(c *Config) { *c = smallConfig("at"); c.At.Face = "poster" },
		"at.smoothing":             func(c *Config) { *c = smallConfig("at"); c.At.Smoothing = 2 },
		"score.divergence":         func(c *Config) { *c = smallConfig("score"); c.Score.Divergence = "l2" },
		"score.clip 1":             func(c *Config) { *c = smallConfig("score-generated"); c.Score.Clip = 1 },
		"score.lambda":             func(c *Config) { *c = smallConfig("score-trades"); c.Score.Lambda = math.NaN() },
		"score.smoothing":          func(c *Config) { *c = smallConfig("score"); c.Score.Smoothing = -.1 },
		"dafa.warmup_epochs 2":     func(c *Config) { *c = smallConfig("dafa"); c.Dafa.WarmupEpochs = 2 },
		"dafa.warmup_epochs -1":    func(c *Config) { *c = smallConfig("dafa"); c.Dafa.WarmupEpochs = -1 },
		"dafa.lambda":              func(c *Config) { *c = smallConfig("dafa"); c.Dafa.Lambda = -1 },
		"dafa.beta":                func(c *Config) { *c = smallConfig("dafa"); c.Dafa.Beta = math.Inf(1) },
		"adr.temperature_low 0":    func(c *Config) { *c = smallConfig("adr"); c.Adr.TemperatureLow = 0 },
		"adr.interpolation_high 2": func(c *Config) { *c = smallConfig("adr"); c.Adr.InterpolationHigh = 2 },
		"adr.decay":                func(c *Config) { *c = smallConfig("adr"); c.Adr.Decay = math.NaN() },
		"adr.beta":                 func(c *Config) { *c = smallConfig("adr-trades"); c.Adr.Beta = -1 },
	} {
		c := smallConfig("cure")
		if strings.HasPrefix(want, "trades") {
			c = smallConfig("trades")
		}
		if strings.HasPrefix(want, "las.") {
			c = smallConfig("las-trades")
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with %q", err, want)
		}
	}
	for _, method := range MethodNames() {
		c := smallConfig(method)
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig(text)
		if err != nil || len(differences(c, again)) > 0 {
			t.Errorf("%s: config does not survive JSON: %v %v", method, err, differences(c, again))
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	good, _ := json.Marshal(smallConfig("cure"))
	for _, seed := range []string{string(good), `{}`, `{"method":"cure","arch":{"name":"wrn-1000-64"}}`, `{"epochs":1e99}`, `[`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			return
		}
		if _, err := NewMethod(c); err != nil {
			t.Errorf("accepted a config of no method: %v", err)
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseConfig(written); err != nil || len(differences(c, again)) > 0 {
			t.Errorf("a config does not survive JSON: %v %v", err, differences(c, again))
		}
	})
}
