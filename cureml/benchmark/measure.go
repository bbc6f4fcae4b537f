package benchmark

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/bench"
	"cure/cureml/recipes"
	"cure/cureml/study"
)

// attackNames are the attacks on both checkpoints, as package attacks calls them.
var attackNames = []string{"pgd20", "cw20"}

// evaluationSeed is the root of the random numbers of all attacks.
const evaluationSeed = 0

func (b *Benchmark) evaluation() Evaluation {
	return Evaluation{Attacks: attackNames, AutoAttack: b.AutoAttack, Seed: evaluationSeed}
}

// measure trains what is missing and makes the card. A panic, which only a defect can cause, is the row's failure.
func (b *Benchmark) measure(ctx context.Context, j job) (card *Card, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	if j.err != nil {
		return nil, j.err
	}
	dir, err := b.Train(ctx, j.row, j.arch, j.seed)
	if err != nil {
		return nil, err
	}
	card, err = b.newCard(j)
	if err != nil {
		return nil, err
	}
	if err := card.training(dir); err != nil {
		return nil, err
	}
	for _, name := range j.checkpoints() {
		if err := b.checkpoint(ctx, card, j, dir, name); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(b.state(j.name)); err != nil { // the card has all of it
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	_ = os.Remove(filepath.Join(b.Dir, "state")) // stays where other rows are in work
	return card, nil
}

func (b *Benchmark) newCard(j job) (*Card, error) {
	c := j.config
	card := &Card{
		Name: j.name, Row: j.row.Name, Title: j.row.Title, Command: b.command(j), Train: recipes.Command(c, b.run(j.name)), Commit: commit(),
		Preset: b.Preset.Name, Seed: j.seed, Method: c.Method, Arch: c.Arch.Name, Width: c.Arch.Width, Epochs: c.Epochs, Batch: c.Batch,
		Machine: bench.Machine(), Evaluation: b.evaluation(), Warnings: []string{}, Config: c,
	}
	sets, err := b.images()
	if err != nil {
		return nil, err
	}
	train := sets.Train
	if c.Validation > 0 {
		held := sets.Test
		if train, held, err = train.HoldOut(c.Validation, c.Seed); err != nil {
			return nil, err
		}
		card.ValidationImages = held.Len()
	}
	card.Data, card.TrainImages = train.Name, train.Len()
	card.Evaluation.Data, card.Evaluation.N = sets.Test.Name, sets.Test.Len()
	return card, nil
}

// failure is the card of a row that could not be measured.
func (b *Benchmark) failure(j job, cause error) *Card {
	c := j.config
	return &Card{
		Name: j.name, Row: j.row.Name, Title: j.row.Title, Failed: oneLine(cause), Command: b.command(j), Train: recipes.Command(c, b.run(j.name)),
		Commit: commit(), Preset: b.Preset.Name, Seed: j.seed, Method: c.Method, Arch: c.Arch.Name, Width: c.Arch.Width, Epochs: c.Epochs,
		Batch: c.Batch, Machine: bench.Machine(), Evaluation: b.evaluation(), Warnings: []string{}, Config: c,
	}
}

// command is the command line that makes one card.
func (b *Benchmark) command(j job) string {
	text := fmt.Sprintf("cure benchmark --preset %s --methods %s --arch %s --width %d --seeds %d", b.Preset.Name, j.row.Name, j.arch.Name, j.arch.Width, j.seed)
	for _, p := range recipes.Presets() {
		if p.Name != b.Preset.Name {
			continue
		}
		if p.Data != b.Data {
			text += " --data " + b.Data
		}
		if p.AutoAttack != b.AutoAttack {
			text += fmt.Sprintf(" --autoattack %d", b.AutoAttack)
		}
	}
	if b.Epochs > 0 {
		text += fmt.Sprintf(" --epochs %d", b.Epochs)
	}
	return text + " --out " + b.Dir
}

// training adds what metrics.jsonl says.
func (c *Card) training(dir string) error {
	m, err := study.ReadMetrics(dir)
	if err != nil {
		return err
	}
	seconds, _ := m.Last("seconds")
	c.Minutes = seconds / 60
	if origin, err := readOrigin(dir); err != nil {
		return err
	} else if origin != nil {
		c.Machine, c.Commit = origin.Machine, origin.Commit
	}
	if _, loss := m.Series("epoch", "loss"); len(loss) > 0 {
		c.Loss = [2]float64{loss[0], loss[len(loss)-1]}
	}
	epochs, clean := m.Series("epoch", "val_clean")
	_, robust := m.Series("epoch", "val_robust")
	for i, epoch := range epochs {
		c.History = append(c.History, Moment{int(epoch), clean[i], robust[i]})
	}
	return nil
}

// epochOf is the epoch that a checkpoint is of, counted from 1: of the best one the first with the highest robust accuracy.
func (c *Card) epochOf(checkpoint string) int {
	if checkpoint == "last" || len(c.History) == 0 {
		return c.Epochs
	}
	best := slices.MaxFunc(c.History, func(a, b Moment) int { return cmp.Compare(a.Robust, b.Robust) })
	return best.Epoch
}

// checkpoint measures one network of the run in dir.
func (b *Benchmark) checkpoint(ctx context.Context, card *Card, j job, dir, name string) error {
	net, err := j.load(dir, name)
	if err != nil {
		return err
	}
	p := &Checkpoint{Name: name, Epoch: card.epochOf(name)}
	if p.Weights, err = fileSum(net.Path); err != nil {
		return err
	}
	b.logf("%s: attacking the %s checkpoint", j.name, name)
	for _, part := range b.parts(j) {
		switch {
		case part.Checkpoint != name:
			continue
		case part.Attacks == b.autoattack():
			r, err := b.attack(ctx, card, j.name, p, net, part)
			if err != nil {
				return err
			}
			p.AutoAttack = &r.RobustAccuracy
			continue
		}
		if best := card.Checkpoint("best"); best != nil && best.Weights == p.Weights {
			p.Natural, p.PGD20, p.CW20 = best.Natural, best.PGD20, best.CW20
			continue
		}
		r, err := b.attack(ctx, card, j.name, p, net, part)
		if err != nil {
			return err
		}
		p.Natural, p.PGD20, p.CW20 = r.Clean.Accuracy, r.Attacks[0].RobustAccuracy, r.Attacks[1].RobustAccuracy
	}
	p.NRR = attacks.NRR(p.Natural, p.CW20)
	card.Checkpoints = append(card.Checkpoints, p)
	return nil
}

// attack carries out attacks on a network, or goes on with them, or has the report of those that were carried out elsewhere.
func (b *Benchmark) attack(ctx context.Context, card *Card, name string, p *Checkpoint, net *cureml.Saved, part Part) (r *attacks.Report, err error) {
	if b.Reports != nil {
		r, err = b.Reports(name, part, p.Weights)
	} else {
		r, err = b.attackImages(ctx, name, p.Weights, net, part, 0, part.Images)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range r.Attacks {
		card.Evaluation.Minutes += a.Seconds / 60
	}
	for _, w := range append(net.Warnings, r.Warnings...) {
		card.Warnings = append(card.Warnings, p.Name+": "+w)
	}
	net.Warnings = nil
	return r, nil
}

// state is the folder of evaluations in work.
func (b *Benchmark) state(name string) string { return filepath.Join(b.Dir, "state", name) }

func fileSum(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("benchmark: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
