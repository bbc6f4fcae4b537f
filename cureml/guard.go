package cureml

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// GuardConfig watches any method for catastrophic overfitting (Wong, Rice and Kolter, ICLR 2020, section 5.4; option
// --early-stop of locuslab/fast_adversarial's train_fgsm.py). At the end of each epoch, the student's accuracy under PGD
// of the training budget is measured on the first batch of that epoch as it was trained on, in mode E, from a uniform
// start, in steps of eps/4. Where it is lower than after the epoch before by more than Drop, all networks and cells go
// back to the end of that epoch, and the run ends.
//
// The released code measures in mode T and counts an image as robust whatever its clean prediction.
type GuardConfig struct {
	Drop  float64 `json:"drop"`            // share of the images, 0.2 is usual; 0 switches it off
	Steps int     `json:"steps,omitempty"` // of PGD; 0 means 5
}

func (g GuardConfig) validate() error {
	if g.Steps < 0 || g.Steps > 10000 {
		return fmt.Errorf("cureml: guard.steps %d: want 1 to 10000, or 0 for 5", g.Steps)
	}
	return share("guard.drop", g.Drop)
}

// guarded is what a checkpoint knows of the guard.
type guarded struct {
	Epoch  int     `json:"epoch"`  // the last that was measured, and
	Robust float64 `json:"robust"` // its accuracy
	// Ended says why the run ended before its last epoch.
	Ended string `json:"ended,omitempty"`
}

// lastEpochFolder holds a checkpoint of the end of the last epoch, inside a run folder that is guarded.
const lastEpochFolder = "last-epoch"

// guard measures a run.
type guard struct {
	attack    attacks.Attack
	steps     int
	backend   compute.Backend
	batches   *batcher
	evaluator *attacks.Evaluator // compiled at the first measurement
	// measure is accuracy on the first batch of an epoch; tests replace it.
	measure func(ctx context.Context, r *run, epoch int) (float64, error)
}

func newGuard(backend compute.Backend, cfg Config, sets Sets) *guard {
	pgd := cfg.Attack.pgd("ce", attacks.Uniform)
	pgd.Start, pgd.Steps, pgd.StepSize = attacks.Uniform, cfg.Guard.Steps, pgd.Ball.Eps/4
	if pgd.Steps == 0 {
		pgd.Steps = 5
	}
	g := &guard{backend: backend, attack: attacks.Attack{Name: "guard", Method: pgd}, steps: pgd.Steps, batches: newBatcher(cfg, sets, Method{})}
	g.measure = g.robust
	return g
}

func (g *guard) robust(ctx context.Context, r *run, epoch int) (float64, error) {
	list := r.memory.roles[0].list
	values := make([]*tensors.Tensor, len(list))
	for i, t := range list {
		values[i] = r.memory.values[studentRole+t.Name]
	}
	images, labels := g.batches.host((epoch - 1) * r.perEpoch)
	if g.evaluator == nil {
		var err error
		g.evaluator, err = attacks.NewEvaluator(Model(g.backend, r.cfg.Arch, list, values), min(len(labels), attacks.DefaultBatch))
		if err != nil {
			return 0, err
		}
	}
	seed := data.Stream(r.cfg.Seed, "guard", uint64(epoch)).Int64()
	report, err := g.evaluator.Evaluate(ctx, values, images, labels, []attacks.Attack{g.attack}, attacks.Options{Seed: seed})
	if err != nil {
		return 0, err
	}
	return report.RobustAccuracy, nil
}

func (g *guard) close() {
	if g != nil && g.evaluator != nil {
		g.evaluator.Close()
	}
}

// keepEpoch keeps the state at the end of an epoch, before the first step of the next.
func (r *run) keepEpoch() error {
	if r.guard == nil || r.at.Step%r.perEpoch != 0 {
		return nil
	}
	dir := filepath.Join(r.folder.dir, lastEpochFolder)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	return saveCheckpoint(dir, r.memory, r.at)
}

// watch measures the epoch that has just ended, where that was not done, and ends the run where it has collapsed.
func (r *run) watch(ctx context.Context) error {
	epoch := r.at.Step / r.perEpoch
	if r.guard == nil || r.at.Step == 0 || r.at.Step%r.perEpoch != 0 || epoch == r.at.Guard.Epoch || r.at.Guard.Ended != "" {
		return nil
	}
	robust, err := r.guard.measure(ctx, r, epoch)
	if err != nil {
		return err
	}
	r.passTime()
	line := map[string]any{"kind": "guard", "step": r.at.Step, "epoch": epoch, "guard_robust": robust, "seconds": r.at.Seconds}
	before := r.at.Guard.Robust
	r.at.Guard.Epoch, r.at.Guard.Robust = epoch, robust
	if before-robust <= r.cfg.Guard.Drop { // before epoch 1 it is 0
		r.show.line(line)
		return r.folder.write(line)
	}
	why := fmt.Sprintf("the guard ended the run: accuracy under PGD-%d on a training batch fell from %.1f%% after epoch %d to %.1f%% after epoch %d, more than guard.drop %g; weights are those of epoch %d",
		r.guard.steps, 100*before, epoch-1, 100*robust, epoch, r.cfg.Guard.Drop, epoch-1)
	line["ended"], line["restored_epoch"] = why, epoch-1
	if err := r.folder.write(line); err != nil {
		return err
	}
	r.show.say(why)
	return r.goBack(why)
}

// goBack puts the state at the end of the last epoch into memory and saves it as the run's last.
func (r *run) goBack(why string) error {
	kept, err := loadCheckpoint(filepath.Join(r.folder.dir, lastEpochFolder), r.memory)
	if err != nil {
		return err
	}
	kept.Seconds, kept.Best, kept.Guard = r.at.Seconds, r.at.Best, r.at.Guard
	kept.Guard.Ended = why
	r.at = kept
	return r.save()
}
