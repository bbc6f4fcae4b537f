package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/data"
)

// evalFlags are the flags of `cure eval`; those that were not typed leave the presets of the attacks alone.
type evalFlags struct {
	network     networkFlags
	images      imageFlags
	attacks     attackFlags
	seed        int64
	batch, rows int
	devices     int
	json, card  string
	state, save string
	diagnose    string
	backend     string
}

func newEval() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Attack a network and report its natural and robust accuracy",
		Long: `Attack a network and report its natural and robust accuracy. An image counts as robust where it and all its
adversarial images are classified correctly.

Attacks are presets, and the flags that are given override them. pgd20 and cw20 are the attacks of the TRADES, MART and
CURE papers: eps 0.031, step size 0.003, uniform start. Sizes are in pixels of [0, 1]: 8/255, not 8.

Weights are a file (safetensors, .pt, .pth, with PyTorch's names) together with --arch and --width, or a run folder of
'cure train', which knows its network. Attacks joined by + work one after the other on what the earlier ones have not
broken, as AutoAttack's do: apgd-ce+apgd-t+square.

Verdicts depend on the weights, the images, the attacks, the seed and --rows, not on --batch or on the order of the
images. With --state, an evaluation that was stopped goes on where it was.

` + wrap("Attacks: "+strings.Join(attacks.Presets(), ", ")+".") + "\n" + wrap("Architectures: "+nn.Names+".") + "\n" + `Data: ` + dataHelp + ".",
		Example: `  cure train --method natural --width 4 --epochs 1 --eval-every 0 --resume --out runs/example
  cure eval --weights runs/example --records 0:64 --attack natural,fgsm,pgd20 --eps 8/255 --steps 5 --json example.json
  cure eval --arch resnet18 --width 4 --weights runs/example/final.safetensors --data mini --split test --records 64:96 --attack cw20 --batch 32`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	f.network.add(fs)
	fs.StringVar(&f.network.weights, "weights", "", "file with weights, run folder, or zoo:NAME for a shipped network")
	f.images.add(fs)
	f.attacks.add(fs)
	fs.Int64Var(&f.seed, "seed", 0, "root of all random numbers")
	fs.IntVar(&f.batch, "batch", attacks.DefaultBatch, "images at a time, at most --rows; no verdict depends on it")
	fs.IntVar(&f.rows, "rows", attacks.DefaultBatch, "rows of the compiled programs; more suit a GPU")
	fs.IntVar(&f.devices, "devices", 1, "devices that share the rows")
	fs.StringVar(&f.json, "json", "", "file for the report with one verdict per image")
	fs.StringVar(&f.card, "card", "", "file for a model card in the fields of RobustBench: JSON, or Markdown where it ends in .md")
	fs.StringVar(&f.state, "state", "", "file that keeps what is found and that a repeated command goes on from")
	fs.StringVar(&f.diagnose, "diagnose", "quick", "look for masked gradients first: quick (a few passes over 32 images), full (with attacks), off")
	fs.StringVar(&f.save, "save", "", "adversarial images: an .npz file, or a folder for PNG pictures")
	fs.StringVar(&f.backend, "backend", "", backendHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runEval(cmd, f) }
	return cmd
}

func runEval(cmd *cobra.Command, f evalFlags) error {
	list, err := f.attacks.parse(cmd.Flags())
	if err != nil {
		return err
	}
	if err := f.checkOutputs(); err != nil {
		return err
	}
	if err := f.network.check("--weights", cmd.Flags()); err != nil {
		return err
	}
	part, a, err := f.images.load()
	if err != nil {
		return err
	}
	net, err := f.network.load(len(part.Classes))
	if err != nil {
		return err
	}
	for _, w := range net.Warnings {
		fmt.Fprintln(os.Stderr, "warning:", w)
	}
	device, err := openDevices(f.backend, f.devices)
	if err != nil {
		return err
	}
	show := newProgress(os.Stderr)
	report, err := evaluate(cmd.Context(), device, net.State, part, a, list, f.diagnose, attacks.Options{
		Batch: f.rows, Live: f.batch, Seed: f.seed, State: f.state, KeepAdv: f.save != "", Progress: show.attack,
	})
	show.end()
	if err != nil {
		return err
	}
	for _, w := range report.Warnings {
		fmt.Fprintln(os.Stderr, "warning:", w)
	}
	report.Arch, report.Weights, report.Data, report.Records = net.Arch.Name, net.Path, f.images.data, [2]int{a, a + part.Len()}
	report.Warnings = append(append([]string{}, net.Warnings...), report.Warnings...) // never nil: null in JSON
	if f.json != "" {
		if err := writeJSON(f.json, report); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	if f.card != "" {
		if err := writeCard(f.card, report, net, part); err != nil {
			return fmt.Errorf("--card: %w", err)
		}
	}
	if f.save != "" {
		if err := saveImages(f.save, report, part, a); err != nil {
			return fmt.Errorf("--save: %w", err)
		}
	}
	printReport(cmd.OutOrStdout(), report, net.Arch, part, list)
	return nil
}

// checkOutputs finds what is wrong with numbers of rows and names of files.
func (f evalFlags) checkOutputs() error {
	if f.batch < 1 {
		return usage("--batch %d: want at least 1", f.batch)
	}
	if f.rows < 1 {
		return usage("--rows %d: want at least 1", f.rows)
	}
	if f.devices < 1 || f.rows%f.devices != 0 {
		return usage("--devices %d: want a number that divides --rows %d", f.devices, f.rows)
	}
	if !slices.Contains([]string{"quick", "full", "off"}, f.diagnose) {
		return usage("--diagnose %q: accepted are quick, full, off", f.diagnose)
	}
	if err := differentOutputs([][2]string{{"json", f.json}, {"card", f.card}, {"state", f.state}, {"save", f.save}}); err != nil {
		return err
	}
	for flag, path := range map[string]string{"json": f.json, "card": f.card, "state": f.state} {
		if err := checkOutput(flag, path); err != nil {
			return err
		}
	}
	return checkImages(f.save)
}

// evaluate attacks the network on part, whose first record has the number first in its split. Random numbers go by
// record, so that a part gets the verdicts it has within the whole.
func evaluate(ctx context.Context, device compute.Backend, net *nn.State, part *data.Set, first int, list []attacks.Attack, diagnose string, opt attacks.Options) (*attacks.Report, error) {
	opt.Index = make([]int, part.Len())
	for i := range opt.Index {
		opt.Index[i] = first + i
	}
	ev, err := attacks.NewEvaluator(cureml.HostModel(device, net), min(opt.Batch, part.Len()))
	if err != nil {
		return nil, err
	}
	defer ev.Close()
	var flags []attacks.Flag
	if attacked := slices.ContainsFunc(list, func(a attacks.Attack) bool { return a.Method != nil }); attacked && diagnose != "off" {
		how := attacks.DiagnoseOptionsFor(list, opt)
		how.Quick = diagnose == "quick"
		if flags, err = ev.Diagnose(ctx, part.Images, part.Labels, how); err != nil {
			return nil, err
		}
	}
	report, err := ev.Evaluate(ctx, nil, part.Images, part.Labels, list, opt)
	if err != nil {
		return nil, err
	}
	report.Raise(flags...)
	return report, nil
}
