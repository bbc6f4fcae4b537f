package benchmark

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/recipes"
)

// Part is one evaluation of a card: what attacks one network of a run, and on how many of the first test images.
type Part struct {
	Checkpoint string `json:"checkpoint"` // best or last
	Attacks    string `json:"attacks"`    // as attacks.ParseList has it
	Images     int    `json:"images"`
}

// Parts are the evaluations of a row's card.
func (b *Benchmark) Parts(row recipes.Row, arch nn.Arch, seed uint64) ([]Part, error) {
	j, err := b.job(row, arch, seed)
	if err != nil {
		return nil, err
	}
	if _, err := b.images(); err != nil {
		return nil, err
	}
	return b.parts(j), nil
}

// parts needs the images.
func (b *Benchmark) parts(j job) (list []Part) {
	n := b.sets.Test.Len()
	for _, name := range j.checkpoints() {
		list = append(list, Part{name, strings.Join(attackNames, ","), n})
		if name == "last" && b.AutoAttack != 0 {
			first := n
			if b.AutoAttack > 0 {
				first = min(b.AutoAttack, n)
			}
			list = append(list, Part{name, b.autoattack(), first})
		}
	}
	return list
}

// autoattack is what AutoAttack is called.
func (b *Benchmark) autoattack() string {
	if b.ensemble != "" {
		return b.ensemble
	}
	return "autoattack"
}

// checkpoints are those that are measured.
func (j job) checkpoints() []string {
	if j.row.LastOnly || j.config.Validation == 0 {
		return []string{"last"}
	}
	return []string{"best", "last"}
}

// load reads a checkpoint of the run in dir.
func (j job) load(dir, name string) (*cureml.Saved, error) {
	network := cureml.Best
	if name == "last" {
		network = cureml.Student
		if j.config.Average.Decay > 0 {
			network = cureml.Averaged
		}
	}
	return cureml.LoadRun(dir, network)
}

// Shard attacks the test images from to to-1 for an evaluation of a row whose run is finished. Its verdicts are those that
// these images have in the whole, of which attacks.Merge makes one report. Killed, it goes on from its state file.
func (b *Benchmark) Shard(ctx context.Context, row recipes.Row, arch nn.Arch, seed uint64, part Part, from, to int) (r *attacks.Report, err error) {
	defer b.close()
	j, err := b.job(row, arch, seed)
	if err != nil {
		return nil, err
	}
	net, err := j.load(b.run(j.name), part.Checkpoint)
	if err != nil {
		return nil, err
	}
	weights, err := fileSum(net.Path)
	if err != nil {
		return nil, err
	}
	sets, err := b.images()
	if err != nil {
		return nil, err
	}
	if from < 0 || from >= to || to > sets.Test.Len() {
		return nil, fmt.Errorf("benchmark: images %d:%d: want a:b with 0 <= a < b <= %d", from, to, sets.Test.Len())
	}
	r, err = b.attackImages(ctx, j.name, weights, net, part, from, to)
	if err != nil {
		return nil, err
	}
	r.Arch, r.Weights, r.Data, r.Records = arch.Name, weights, sets.Test.Name, [2]int{from, to}
	return r, nil
}

// Weights is the SHA-256 of the file with a checkpoint of a run that is finished.
func (b *Benchmark) Weights(row recipes.Row, arch nn.Arch, seed uint64, checkpoint string) (string, error) {
	j, err := b.job(row, arch, seed)
	if err != nil {
		return "", err
	}
	net, err := j.load(b.run(j.name), checkpoint)
	if err != nil {
		return "", err
	}
	return fileSum(net.Path)
}

// attackImages carries out the attacks of a part on the test images from to to-1 of a network, or goes on with them.
func (b *Benchmark) attackImages(ctx context.Context, name, weights string, net *cureml.Saved, part Part, from, to int) (*attacks.Report, error) {
	list, err := attacks.ParseList(part.Attacks)
	if err != nil {
		return nil, err
	}
	sets, err := b.images()
	if err != nil {
		return nil, err
	}
	set, err := sets.Test.Slice(from, to)
	if err != nil {
		return nil, err
	}
	device, err := b.backend()
	if err != nil {
		return nil, err
	}
	model := cureml.HostModel(device, net.State)
	defer func() {
		for _, w := range model.Weights {
			_ = w.FinalizeAll() // there is nothing to do about a buffer that does not go
		}
	}()
	rows := b.Rows
	if rows == 0 {
		rows = attacks.DefaultBatch
	}
	rows = min(rows, sets.Test.Len()) // of all, whatever part of them this is: programs are the same, and so is their rounding
	key := fmt.Sprintf("%+v", net.Arch)
	if b.evaluators[key] == nil {
		e, err := attacks.NewEvaluator(model, rows)
		if err != nil {
			return nil, err
		}
		b.evaluators = with(b.evaluators, key, e)
	}
	file := fmt.Sprintf("%s-%s-%d-%.12s", part.Checkpoint, list[0].Name, rows, weights)
	if from > 0 || to < part.Images {
		file += fmt.Sprintf("-%d-%d", from, to)
	}
	state := filepath.Join(b.state(name), file)
	if err := os.MkdirAll(filepath.Dir(state), 0o755); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	opt := attacks.Options{Seed: evaluationSeed, State: state, Progress: b.Progress, Index: make([]int, set.Len())}
	for i := range opt.Index { // random numbers go by image
		opt.Index[i] = from + i
	}
	return b.evaluators[key].Evaluate(ctx, model.Weights, set.Images, set.Labels, list, opt)
}
