package cureml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"

	"cure/attacks"
	"cure/cureml/mesh"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// Config says everything about a run; it is saved in full with it. [Defaults] fills in a method's recipe.
type Config struct {
	Method string  `json:"method"`
	Arch   nn.Arch `json:"arch"`
	// Data is what the images were read from: EmbeddedData, or a file or folder.
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
	At         AtConfig       `json:"at,omitzero"`
	Trades     TradesConfig   `json:"trades,omitzero"`
	Mart       MartConfig     `json:"mart,omitzero"`
	Fat        FatConfig      `json:"fat,omitzero"`
	ST         STConfig       `json:"st,omitzero"`
	Cure       CureConfig     `json:"cure,omitzero"`
	Act        ActConfig      `json:"act,omitzero"`
	Ard        ArdConfig      `json:"ard,omitzero"`
	Akd2       Akd2Config     `json:"akd2,omitzero"`
	Iad        IadConfig      `json:"iad,omitzero"`
	Hat        HatConfig      `json:"hat,omitzero"`
	Lbgat      LbgatConfig    `json:"lbgat,omitzero"`
	Las        LasConfig      `json:"las,omitzero"`
	Score      ScoreConfig    `json:"score,omitzero"`
	Dafa       DafaConfig     `json:"dafa,omitzero"`
	Adr        AdrConfig      `json:"adr,omitzero"`
	Teacher    TeacherConfig  `json:"teacher,omitzero"`
	// Layerwise trains some blocks and freezes the others.
	Layerwise LayerwiseConfig `json:"layerwise,omitzero"`
	Average   AverageConfig   `json:"average,omitzero"`
	AWP       AWPConfig       `json:"awp,omitzero"`
	RWP       RWPConfig       `json:"rwp,omitzero"`
	Extra     ExtraConfig     `json:"extra,omitzero"`
	Free      FreeConfig      `json:"free,omitzero"`
	Guard     GuardConfig     `json:"guard,omitzero"`
	// Compute is the type of the convolutions' arithmetic in training, float32 (also if empty) or bfloat16: the convolution of
	// pixels, weights, batch norm, losses and gradients of weights stay float32, and evaluations compute in float32 always.
	Compute string `json:"compute,omitempty"`
	// DataOnDevice says where batches are gathered and augmented: on, from images that lie on the device as uint8, or off, on
	// the host. Both give the same bits, and a run may go on the other way. Empty is on for devices with a memory of their
	// own, if the images take at most 4 GiB, and off on CPUs, where the host is quicker.
	DataOnDevice string `json:"data_on_device,omitempty"`
	// Devices is how many devices share a batch, 0 and 1 being one; Batch must be a multiple. Batch norm and losses are over
	// the whole batch, so the numbers are those of one device but for rounding.
	Devices int `json:"devices,omitempty"`
	// LogEvery and CheckpointEvery are in steps; both also happen at the end of an epoch.
	LogEvery        int `json:"log_every"`
	CheckpointEvery int `json:"checkpoint_every"`
	// SaveEvery is the save frequency, in epochs: how often the networks are kept as weights files in the folder snapshots of
	// the run, at the start and at the end too. 0 keeps none.
	SaveEvery int `json:"save_every,omitempty"`
	// EvalEvery is in epochs, EvalImages how many images such an evaluation takes at most; 0 switches it off.
	EvalEvery  int `json:"eval_every"`
	EvalImages int `json:"eval_images"`
	// EvalTrainImages is how many of the training images, counted from the first and not augmented, are measured in the
	// same way: what the network knows by heart. 0 means none.
	EvalTrainImages int `json:"eval_train_images,omitempty"`
}

// AttackConfig is the attack of training: an eps-ball, eps and step size in [0,1] pixels.
type AttackConfig struct {
	Norm     string  `json:"norm"` // linf, l2 or l1
	Eps      float64 `json:"eps"`
	StepSize float64 `json:"step_size"`
	Steps    int     `json:"steps"`
	// BN is the student's batch-norm mode while it is attacked, E, T or T0; empty is the method's own.
	BN string `json:"bn,omitempty"`
	// From is the start: none, uniform, uniform-unclipped or normal; empty is the method's own.
	From string `json:"start,omitempty"`
}

// TeacherConfig names the frozen networks that some methods learn from: run folders, weights files or zoo:NAME.
type TeacherConfig struct {
	Robust  string `json:"robust,omitempty"`
	Natural string `json:"natural,omitempty"`
}

// network is a frozen teacher under its role.
func (t TeacherConfig) network(role string) Network {
	return Network{Role: role, Kind: Frozen, From: map[string]string{RobustTeacher: t.Robust, NaturalTeacher: t.Natural}[role]}
}

// Roles of frozen networks.
const (
	RobustTeacher  = "robust_teacher"
	NaturalTeacher = "natural_teacher"
)

// EmbeddedData is the reference of the images inside the program, package data/mini.
const EmbeddedData = "mini"

// Defaults is the recipe of a method for a small machine: one-cycle SGD, batch 128, and the method's own parameters as
// published.
func Defaults(method string) Config {
	c := Config{
		Method: method, Data: EmbeddedData, Epochs: 10, Batch: 128, Augment: true,
		Schedule: optim.OneCycle(0.2, 0.3),
		SGD:      optim.SGD{Momentum: 0.9, WeightDecay: 5e-4, Nesterov: true},
		Attack:   AttackConfig{Norm: "linf", Eps: 0.031, StepSize: 0.007, Steps: 10},
		LogEvery: 20, CheckpointEvery: 200, EvalEvery: 1, EvalImages: 256,
	}
	if r, err := recipeOf(method); err == nil && r.tune != nil {
		r.tune(&c)
	}
	return c
}

// Validate names the first value that is out of range, and what is accepted.
func (c Config) Validate() error {
	method, err := recipeOf(c.Method)
	if err != nil {
		return err
	}
	count := func(name string, v, low int) error {
		if v < low || v > 1<<30 {
			return fmt.Errorf("cureml: %s %d: want %d to %d", name, v, low, 1<<30)
		}
		return nil
	}
	if err := first(
		c.Arch.Validate(), c.Schedule.Validate(), c.SGD.Validate(), c.Attack.Validate(), c.Average.validate(c.Epochs), c.Layerwise.validate(c),
		count("epochs", c.Epochs, 1), count("batch", c.Batch, 1), count("log_every", c.LogEvery, 1),
		count("checkpoint_every", c.CheckpointEvery, 1), count("save_every", c.SaveEvery, 0), count("eval_every", c.EvalEvery, 0),
		count("eval_images", c.EvalImages, 0), count("eval_train_images", c.EvalTrainImages, 0), count("devices", c.Devices, 0),
	); err != nil {
		return err
	}
	if _, err := c.compute(); err != nil {
		return err
	}
	if !slices.Contains([]string{"", "on", "off"}, c.DataOnDevice) {
		return fmt.Errorf("cureml: data_on_device %q: accepted are on, off, or empty for on where the device has a memory of its own", c.DataOnDevice)
	}
	if c.Batch > 1<<16 {
		return fmt.Errorf("cureml: batch %d: want at most 65536", c.Batch)
	}
	if c.Batch%max(1, c.Devices) != 0 {
		return fmt.Errorf("cureml: batch %d: want a multiple of the %d devices", c.Batch, c.Devices)
	}
	if !(c.Validation >= 0 && c.Validation < 1) {
		return fmt.Errorf("cureml: validation %v: want a share in [0, 1)", c.Validation)
	}
	if method.check != nil {
		if err := method.check(c); err != nil {
			return err
		}
	}
	return first(c.AWP.validate(c.Epochs), c.RWP.validate(c), c.Extra.validate(c.Batch), c.Guard.validate())
}

// first is the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// share is an error unless v is a part of a whole.
func share(name string, v float64) error {
	if !(v >= 0 && v <= 1) {
		return fmt.Errorf("cureml: %s %v: want a value in [0, 1]", name, v)
	}
	return nil
}

// weight is an error unless v can be the factor of a loss.
func weight(name string, v float64) error {
	if !(v >= 0) || math.IsInf(v, 0) {
		return fmt.Errorf("cureml: %s %v: want 0 or more", name, v)
	}
	return nil
}

// compute is the type of the convolutions' arithmetic.
func (c Config) compute() (dtypes.DType, error) {
	switch c.Compute {
	case "", "float32":
		return dtypes.Float32, nil
	case "bfloat16":
		return dtypes.BFloat16, nil
	}
	return dtypes.InvalidDType, fmt.Errorf("cureml: compute %q: accepted are float32, bfloat16", c.Compute)
}

// checkDevices is an error unless backend has as many devices as the config says.
func (c Config) checkDevices(backend compute.Backend) error {
	if has := mesh.Devices(backend); has != max(1, c.Devices) {
		return fmt.Errorf("cureml: devices %d: the backend was opened with %d (backend.Options.Devices)", max(1, c.Devices), has)
	}
	return nil
}

// rate is the learning rate of a step.
func (c Config) rate(p Progress) float64 { return c.Schedule.At(p.Step, p.Total, p.PerEpoch) }

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
	case !slices.Contains([]string{"", "E", "T", "T0"}, a.BN):
		return fmt.Errorf("cureml: attack.bn %q: accepted are E (running statistics), T (the batch's, running ones move), T0 (the batch's)", a.BN)
	case a.From != "" && startNamed(a.From) < 0:
		return fmt.Errorf("cureml: attack.start %q: accepted are none, uniform, uniform-unclipped, normal", a.From)
	}
	return nil
}

// mode is the student's batch norm during the attack, the method's own unless the config says otherwise.
func (a AttackConfig) mode(own nn.Mode) nn.Mode {
	for _, m := range []nn.Mode{nn.Eval, nn.Train, nn.TrainFrozen} {
		if m.String() == a.BN {
			return m
		}
	}
	return own
}

// startNamed is the start of a name, -1 for none of them.
func startNamed(name string) attacks.Start {
	for s := attacks.None; s <= attacks.Normal; s++ {
		if s.String() == name {
			return s
		}
	}
	return -1
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
	if a.From != "" {
		start = startNamed(a.From)
	}
	return attacks.PGD{Ball: attacks.Ball{Norm: norm, Eps: a.Eps}, Steps: a.Steps, StepSize: a.StepSize, Start: start, Loss: loss}
}

// ParseConfig reads a config; unknown keys are errors.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	if err := decodeStrict(b, &c); err != nil {
		return c, fmt.Errorf("cureml: config: %w", err)
	}
	return c, c.Validate()
}

// decodeStrict is json.Unmarshal with unknown keys as errors.
func decodeStrict(b []byte, c *Config) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(c)
}
