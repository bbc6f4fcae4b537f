package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml"
	"cure/cureml/backend"
	"cure/cureml/nn"
	"cure/cureml/optim"
)

// trainFlags are the flags of `cure train`; those that were not typed leave the method's recipe alone.
type trainFlags struct {
	method, arch, data, out, init string
	width, epochs, batch          int
	seed                          uint64
	resume                        bool
	backend                       string
	face                          string
	lr, weightDecay               float64
	schedule                      string
	beta, alpha, gamma, pct       float64
	emaRate, emaDecay             float64
	emaBN                         string
	warmup                        int
	eps, step                     string
	steps                         int
	norm                          string
	validation                    float64
	evalImages, evalEvery         int
	augment                       bool
}

func newTrain() *cobra.Command {
	var f trainFlags
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train a network in a run folder that can be resumed",
		Long: `Train a network. A run is a folder: config.json, metrics.jsonl, a checkpoint and, at the end, final.safetensors
with PyTorch's names and layouts. Killed at any moment, the same command with --resume goes on to the same bits.

Methods: ` + strings.Join(cureml.MethodNames(), ", ") + `.
Architectures: ` + nn.Names + `.`,
		Example: `  cure train --method trades --arch resnet18 --width 16 --data mini --epochs 1 --batch 128 --seed 0 --out runs/trades`,
		Args:    usageArgs(cobra.NoArgs),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.method, "method", "", "training method")
	fs.StringVar(&f.arch, "arch", "resnet18", "architecture")
	fs.IntVar(&f.width, "width", 0, "base width (0: as published)")
	fs.StringVar(&f.data, "data", "mini", "mini, or a file or folder with CIFAR-10, CIFAR-100 or SVHN")
	fs.IntVar(&f.epochs, "epochs", 0, "epochs")
	fs.IntVar(&f.batch, "batch", 0, "images a step")
	fs.Uint64Var(&f.seed, "seed", 0, "root of all random numbers")
	fs.StringVar(&f.out, "out", "", "run folder")
	fs.StringVar(&f.init, "init", "", "weights to start from (safetensors, .pt, .pth)")
	fs.BoolVar(&f.resume, "resume", false, "go on with the run in --out")
	fs.StringVar(&f.backend, "backend", "", "xla, cuda, go or xla:/path/to/plugin.so (default: what is there)")
	fs.StringVar(&f.face, "face", "", "cure: paper, released or rgp_soft")
	fs.Float64Var(&f.lr, "lr", 0, "highest learning rate")
	fs.StringVar(&f.schedule, "schedule", "", "constant, cosine, onecycle, or step:FACTOR:EPOCH,EPOCH,...")
	fs.Float64Var(&f.weightDecay, "weight-decay", 0, "coupled weight decay")
	fs.Float64Var(&f.beta, "beta", 0, "TRADES: weight of the KL term")
	fs.Float64Var(&f.alpha, "alpha", 0, "CURE: weight of the natural gradient in the score")
	fs.Float64Var(&f.gamma, "gamma", 0, "CURE: weight of the consistency loss")
	fs.Float64Var(&f.pct, "percentile", 0, "CURE: share of each tensor that is conserved, 0 to 1")
	fs.Float64Var(&f.emaRate, "ema-rate", 0, "CURE: probability of a revision step")
	fs.Float64Var(&f.emaDecay, "ema-decay", 0, "CURE: decay of the revision model")
	fs.StringVar(&f.emaBN, "ema-bn", "", "CURE: statistics of the revision model: own, copied or averaged")
	fs.IntVar(&f.warmup, "warmup-epochs", 0, "CURE: natural epochs first (CURE-Eff)")
	fs.StringVar(&f.norm, "norm", "", "norm of the attack: linf or l2")
	fs.StringVar(&f.eps, "eps", "", "budget of the attack in [0,1] pixels, such as 8/255")
	fs.StringVar(&f.step, "step-size", "", "step of the attack in [0,1] pixels")
	fs.IntVar(&f.steps, "steps", 0, "steps of the attack")
	fs.Float64Var(&f.validation, "validation", 0, "share of the training images held out to select the best checkpoint")
	fs.IntVar(&f.evalImages, "eval-images", 0, "images of an evaluation between epochs")
	fs.IntVar(&f.evalEvery, "eval-every", 0, "epochs between evaluations, 0 for none")
	fs.BoolVar(&f.augment, "augment", true, "crop and flip the training images")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runTrain(cmd, f) }
	return cmd
}

// config is the method's recipe with the flags that were typed.
func (f trainFlags) config(typed *pflag.FlagSet) (c cureml.Config, err error) {
	if f.method == "" {
		return c, fmt.Errorf("--method is missing: accepted are %s", strings.Join(cureml.MethodNames(), ", "))
	}
	if f.out == "" {
		return c, fmt.Errorf("--out is missing: the run folder to write")
	}
	c = cureml.Defaults(f.method)
	if c.Arch, err = nn.Parse(f.arch, f.width, 10); err != nil {
		return c, err
	}
	c.Data, c.Init, c.Seed = f.data, f.init, f.seed
	number := func(flag string, to *float64, v float64) {
		if typed.Changed(flag) {
			*to = v
		}
	}
	count := func(flag string, to *int, v int) {
		if typed.Changed(flag) {
			*to = v
		}
	}
	word := func(flag string, to *string, v string) {
		if typed.Changed(flag) {
			*to = v
		}
	}
	pixels := func(flag string, to *float64, v string) {
		if err == nil && typed.Changed(flag) {
			*to, err = parsePixels(flag, v)
		}
	}
	count("epochs", &c.Epochs, f.epochs)
	count("batch", &c.Batch, f.batch)
	number("lr", &c.Schedule.Max, f.lr)
	number("weight-decay", &c.SGD.WeightDecay, f.weightDecay)
	number("beta", &c.Trades.Beta, f.beta)
	number("alpha", &c.Cure.Alpha, f.alpha)
	number("gamma", &c.Cure.Gamma, f.gamma)
	number("percentile", &c.Cure.Percentile, f.pct)
	number("ema-rate", &c.Cure.EMARate, f.emaRate)
	number("ema-decay", &c.Cure.EMADecay, f.emaDecay)
	number("validation", &c.Validation, f.validation)
	word("face", &c.Cure.Face, f.face)
	word("ema-bn", &c.Cure.EMABN, f.emaBN)
	word("norm", &c.Attack.Norm, f.norm)
	count("warmup-epochs", &c.Cure.WarmupEpochs, f.warmup)
	count("steps", &c.Attack.Steps, f.steps)
	count("eval-images", &c.EvalImages, f.evalImages)
	count("eval-every", &c.EvalEvery, f.evalEvery)
	pixels("eps", &c.Attack.Eps, f.eps)
	pixels("step-size", &c.Attack.StepSize, f.step)
	c.Augment = f.augment
	if err == nil && typed.Changed("schedule") {
		c.Schedule, err = optim.ParseSchedule(f.schedule, c.Schedule.Max)
	}
	if err == nil {
		err = c.Validate()
	}
	return c, err
}

func runTrain(cmd *cobra.Command, f trainFlags) error {
	c, err := f.config(cmd.Flags())
	if err != nil {
		return usageError{err}
	}
	sets, err := openSets(f.data)
	if err != nil {
		return err
	}
	c.Arch.Classes = len(sets.Train.Classes)
	b, err := backend.Open(backend.Options{Name: f.backend, Log: os.Stderr, Deterministic: true})
	if err != nil {
		return err
	}
	s, err := cureml.Train(cmd.Context(), b, c, sets, f.out, f.resume, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d steps in %.1f minutes; weights in %s\n", c.Method, s.Steps, s.Seconds/60, s.Final)
	return nil
}
