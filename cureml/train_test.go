package cureml

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// childFolder makes the test binary train in a folder, for tests that kill it.
const childFolder = "CURE_TEST_TRAIN_IN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		t := &testing.T{}
		_, err := Train(context.Background(), mltest.GoBackend(t), smallConfig("cure"), smallSets(t), dir, true, nil)
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// trainSmall runs a small config to its end and returns the folder.
func trainSmall(t *testing.T, c Config, dir string, resume bool) {
	t.Helper()
	if _, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), dir, resume, nil); err != nil {
		t.Fatal(err)
	}
}

// outcome is what two runs must share to the bit: metrics without time fields, and all weights written.
func outcome(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	text, err := os.ReadFile(filepath.Join(dir, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v in %q", dir, err, line)
		}
		delete(m, "seconds")
		again, _ := json.Marshal(m)
		b.Write(append(again, '\n'))
	}
	for _, name := range []string{finalFile, Revision + weightsSuffix, NaturalPartner + weightsSuffix, EMATeacher + weightsSuffix} {
		if v, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			b.Write(v)
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestTrain runs every method to its end and looks at what the folder holds.
func TestTrain(t *testing.T) {
	teacher := smallTeacher(t)
	for _, method := range MethodNames() {
		dir := filepath.Join(t.TempDir(), method)
		c := smallConfig(method)
		c.Teacher = TeacherConfig{Robust: teacher, Natural: teacher}
		trainSmall(t, c, dir, false)
		s, warnings, err := nn.LoadFile(c.Arch, filepath.Join(dir, finalFile))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", method, err, warnings)
		}
		start, err := nn.Init(c.Arch, c.Seed)
		if err != nil {
			t.Fatal(err)
		}
		if s.Values["conv1.weight"][0] == start.Values["conv1.weight"][0] {
			t.Errorf("%s: the stem did not move", method)
		}
		passes := map[string]int64{
			"natural": 6, "at": 6, "trades": 12, "cure": 12, "cure-eff": 9,
			"act": 6, "lbgat": 12, "hat": 18, "mart": 12, "fat": 6, "fat-trades": 12, "fat-mart": 12, "st-at": 12,
			"las-at": 6, "las-trades": 12, "dafa": 12, "score-trades": 12, "score-generated": 12,
			"akd2": 18, "ard": 24, "iad-1": 24, "iad-2": 24, "score": 18, "adr": 18, "adr-trades": 24, // attacked in mode T
			"fast-at": 18, "free-at": 48, // with two steps in mode T, and eight replays
		}[method]
		if s.Tracked != passes {
			t.Errorf("%s: num_batches_tracked %d, want %d", method, s.Tracked, passes)
		}
		text, _ := os.ReadFile(filepath.Join(dir, metricsFile))
		// 6 steps in 2 epochs, logged every 2 and at both ends of an epoch; 2 evaluations.
		if train, eval := strings.Count(string(text), `"kind":"train"`), strings.Count(string(text), `"kind":"eval"`); train != 4 || eval != 2 {
			t.Errorf("%s: %d training lines and %d evaluations, want 4 and 2", method, train, eval)
		}
	}
}

// TestInterrupted: a run that is cancelled and resumed, at any step, ends in the same bits.
func TestInterrupted(t *testing.T) {
	c := smallConfig("cure")
	c.Cure.WarmupEpochs = 1 // CURE-Eff: the switch must survive too
	resumes(t, c, 1, 3, 4)
}

// stopped trains into dir until a step, at which the run is cancelled, and returns what that ends with.
func stopped(t *testing.T, c Config, dir string, stop int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	folder, err := openFolder(dir, c, false)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	r, err := newRun(mltest.GoBackend(t), c, smallStart(t, c), smallSets(t), folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.afterStep = func(step int) {
		if step == stop {
			cancel()
		}
	}
	_, err = r.train(ctx)
	return err
}

// resumes compares runs that are cancelled after one of the steps, and then resumed, with one that is not.
func resumes(t *testing.T, c Config, stops ...int) {
	t.Helper()
	whole := filepath.Join(t.TempDir(), "whole")
	trainSmall(t, c, whole, false)
	want := outcome(t, whole)
	for _, stop := range stops {
		dir := filepath.Join(t.TempDir(), "stopped")
		err := stopped(t, c, dir, stop)
		if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "--resume") {
			t.Fatalf("stopped after step %d: got %v, want ErrInterrupted and how to resume", stop, err)
		}
		trainSmall(t, c, dir, true)
		if outcome(t, dir) != want {
			t.Errorf("stopped after step %d, the resumed run differs from an uninterrupted one", stop)
		}
	}
}

// TestKilled kills a training process with SIGKILL, once while it begins and each time that it has saved a checkpoint, and
// resumes it.
func TestKilled(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	c := smallConfig("cure")
	trainSmall(t, c, whole, false)
	want := outcome(t, whole)
	dir := filepath.Join(t.TempDir(), "killed")
	var last time.Time
	for kill := range 4 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFolder+"="+dir)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- child.Wait() }()
		for saved := false; !saved; {
			select {
			case err := <-ended:
				t.Fatalf("the run ended before kill %d: %v", kill, err)
			case <-time.After(5 * time.Millisecond):
			}
			file := checkpointFile
			if kill == 0 {
				file = configFile
			}
			info, err := os.Stat(filepath.Join(dir, file))
			saved = err == nil && (kill == 0 || info.ModTime().After(last))
			if saved && kill > 0 {
				last = info.ModTime()
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
	trainSmall(t, c, dir, true)
	if outcome(t, dir) != want {
		t.Error("a run killed four times differs from an uninterrupted one")
	}
}

func TestFolderRefusals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	c := smallConfig("natural")
	held, err := openFolder(dir, c, false)
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, c Config, resume bool, want string) {
		t.Helper()
		f, err := openFolder(dir, c, resume)
		if err == nil {
			f.close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", what, err, want)
		}
	}
	refuse("a second process", c, true, "in use by another process")
	held.close()
	refuse("a second run", c, false, "holds a run already")
	changed := c
	changed.Batch = 4
	refuse("another config", changed, true, "batch 8 -> 4")
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte(`{"method":"natural","colour":1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	refuse("an unknown key", c, true, "colour")
}

// TestDiverges: a loss that is not finite ends the run, names the step and the last good checkpoint, and keeps that.
func TestDiverges(t *testing.T) {
	c := smallConfig("natural")
	c.CheckpointEvery, c.EvalEvery = 1, 0
	dir := filepath.Join(t.TempDir(), "run")
	folder, err := openFolder(dir, c, false)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	r, err := newRun(mltest.GoBackend(t), c, smallStart(t, c), smallSets(t), folder, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r.afterStep = func(step int) {
		if step == 2 {
			if err := r.memory.set("student/"+"linear.bias", []float32{float32(math.NaN()), 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = r.train(t.Context())
	if err == nil || !strings.Contains(err.Error(), "NaN at step 3") || !strings.Contains(err.Error(), "of step 2") {
		t.Fatalf("got %v, want an error with the step and the checkpoint", err)
	}
}

// TestCorruptCheckpoint: a damaged checkpoint gives one line, and the run folder stays as it was.
func TestCorruptCheckpoint(t *testing.T) {
	c := smallConfig("natural")
	dir := filepath.Join(t.TempDir(), "run")
	trainSmall(t, c, dir, false)
	path := filepath.Join(dir, checkpointFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := smallConfig("cure")
	otherDir := filepath.Join(t.TempDir(), "cure")
	trainSmall(t, other, otherDir, false)
	foreign, err := os.ReadFile(filepath.Join(otherDir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, bytes := range map[string][]byte{"truncated": good[:len(good)/2], "empty": {}, "of another method": foreign} {
		if err := os.WriteFile(path, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), dir, true, nil)
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), checkpointFile) {
			t.Errorf("%s checkpoint: got %v, want one line that names it", what, err)
		}
	}
}

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
