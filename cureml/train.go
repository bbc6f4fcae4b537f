package cureml

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/gomlx/compute"

	"cure/cureml/nn"
	"cure/data"
)

// Sets are the images of a run. Test is only measured, never used to select anything. Validation selects the best
// checkpoint; Train holds it out of the training images where the config asks for one. Extra is mixed into the batches
// as the config says.
type Sets struct{ Train, Validation, Test, Extra *data.Set }

// split holds the validation images out, and checks that a batch of training images is left, of classes that the network
// has.
func (c Config) split(s Sets) (Sets, error) {
	if err := c.checkImages(s.Train); err != nil {
		return s, err
	}
	if c.Validation > 0 {
		var err error
		if s.Train, s.Validation, err = s.Train.HoldOut(c.Validation, c.Seed); err != nil {
			return s, err
		}
	}
	if n := s.Train.Len(); n < c.Batch {
		return s, fmt.Errorf("cureml: %d training images are less than one batch of %d", n, c.Batch)
	}
	return s, c.Extra.check(s)
}

// checkImages is an error where a network of the config cannot be trained on the set.
func (c Config) checkImages(s *data.Set) error {
	if s == nil {
		return errors.New("cureml: the run was given no training images (Sets.Train)")
	}
	if len(s.Classes) != c.Arch.Classes {
		return fmt.Errorf("cureml: arch.classes %d: %s has %d classes", c.Arch.Classes, s.Name, len(s.Classes))
	}
	for i, y := range s.Labels {
		if y < 0 || int(y) >= c.Arch.Classes {
			return fmt.Errorf("cureml: label %d of training image %d: want 0 to %d", y, i, c.Arch.Classes-1)
		}
	}
	return nil
}

// Summary is how a run ended.
type Summary struct {
	Dir     string
	Steps   int
	Seconds float64
	Final   string // the weights, in PyTorch's names and layouts
	Ended   string // why the run ended before its last epoch, "" where it did not
}

// ErrInterrupted is the cause of an error that a cancelled context ends a run with; the run can be resumed.
var ErrInterrupted = errors.New("interrupted")

// Train runs cfg in the folder dir. With resume set, a run that stopped there goes on from its checkpoint, with losses,
// accuracies and weights bit-identical to a run that was never stopped; an empty folder starts one. progress gets lines
// or, where it is a terminal, a progress bar; nil is quiet.
//
// Cancelling ctx saves a checkpoint and returns ErrInterrupted. A loss that is NaN or infinite ends the run with an error
// that names the step and the last good checkpoint.
func Train(ctx context.Context, backend compute.Backend, cfg Config, sets Sets, dir string, resume bool, progress io.Writer) (*Summary, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.checkDevices(backend); err != nil {
		return nil, err
	}
	start, err := startState(&cfg, dir, progress)
	if err != nil {
		return nil, err
	}
	if sets, err = cfg.split(sets); err != nil {
		return nil, err
	}
	if err := cfg.checkTeachers(); err != nil {
		return nil, err
	}
	folder, err := openFolder(dir, cfg, resume)
	if err != nil {
		return nil, err
	}
	defer folder.close()
	r, err := newRun(backend, cfg, start, sets, folder, progress)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return r.train(ctx)
}

// run is a training run in flight.
type run struct {
	cfg      Config
	folder   *folder
	phases   []runPhase
	memory   *Memory
	batcher  *batcher
	eval     *evaluation
	guard    *guard // nil where the config asks for none
	at       progress
	saved    int // step of the last checkpoint, 0 for none
	perEpoch int
	clock    time.Time // up to when at.Seconds counts
	show     *display
	// afterStep, if set, is called between steps.
	afterStep func(step int)
}

// runPhase is a phase with its programs.
type runPhase struct {
	phase
	*programs
}

func newRun(backend compute.Backend, cfg Config, start *nn.State, sets Sets, f *folder, out io.Writer) (*run, error) {
	method, err := NewMethod(cfg)
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, folder: f, perEpoch: stepsPerEpoch(sets.Train.Len(), cfg.Batch)}
	r.at = progress{Tracked: start.Tracked, Best: -1}
	var warnings []string
	if r.memory, warnings, err = newMemory(start, cfg, method); err != nil {
		return nil, err
	}
	for _, w := range warnings {
		if out != nil {
			fmt.Fprintln(out, "warning:", w)
		}
	}
	if _, err := os.Stat(filepath.Join(f.dir, checkpointFile)); err == nil {
		if r.at, err = loadCheckpoint(f.dir, r.memory); err != nil {
			return nil, err
		}
		r.saved = r.at.Step
	}
	if err := f.openMetrics(r.at.Metrics); err != nil {
		return nil, err
	}
	phases, err := cfg.phases(method)
	if err != nil {
		return nil, err
	}
	for _, ph := range phases {
		p, err := newPrograms(backend, cfg, ph.method, r.memory)
		if err != nil {
			return nil, err
		}
		p.start = ph.since * r.perEpoch
		r.phases = append(r.phases, runPhase{ph, p})
	}
	r.batcher = newBatcher(cfg, sets, method)
	if err := r.batcher.reside(backend); err != nil {
		return nil, err
	}
	if r.eval, err = newEvaluation(backend, cfg, r.memory, sets); err != nil {
		return nil, err
	}
	if cfg.Guard.Drop > 0 {
		r.guard = newGuard(backend, cfg, sets)
	}
	r.show = newDisplay(out, cfg, r.perEpoch)
	return r, nil
}

func (r *run) total() int { return r.cfg.Epochs * r.perEpoch }

// train is the loop over steps.
func (r *run) train(ctx context.Context) (*Summary, error) {
	stopBatches, cancel := context.WithCancel(ctx)
	defer cancel()
	r.clock = time.Now()
	if err := r.endOfEpoch(ctx); err != nil && ctx.Err() == nil { // a run that stopped between an epoch and its evaluation
		return nil, err
	}
	last := r.total()
	if r.at.Guard.Ended != "" {
		last = r.at.Step
	}
	for b := range r.batcher.stream(stopBatches, r.at.Step, last) {
		err := r.step(b)
		b.free()
		if err != nil {
			return nil, err
		}
		if r.afterStep != nil {
			r.afterStep(r.at.Step)
		}
		r.passTime()
		epochEnd := r.at.Step%r.perEpoch == 0
		if epochEnd || r.at.Step%r.cfg.LogEvery == 0 {
			if err := r.log(); err != nil {
				return nil, err
			}
		}
		if epochEnd {
			if err := r.endOfEpoch(ctx); err != nil && ctx.Err() == nil {
				return nil, err
			}
		}
		if ctx.Err() != nil || r.at.Guard.Ended != "" {
			break
		}
		if epochEnd || r.at.Step%r.cfg.CheckpointEvery == 0 {
			if err := r.save(); err != nil {
				return nil, err
			}
		}
	}
	if ctx.Err() != nil {
		return nil, r.interrupted()
	}
	return r.finish()
}

func (r *run) close() {
	for _, p := range r.phases {
		p.finalize()
	}
	r.batcher.resident.free()
	r.memory.Free()
	if r.eval != nil {
		r.eval.close()
	}
	r.guard.close()
}

// passTime counts the time since the last call as the run's.
func (r *run) passTime() {
	now := time.Now()
	r.at.Seconds += now.Sub(r.clock).Seconds()
	r.clock = now
}

// phase is what the next step belongs to.
func (r *run) phase() (now runPhase) {
	for _, p := range r.phases {
		if r.at.Step >= p.from*r.perEpoch {
			now = p
		}
	}
	return now
}

// step runs one training step.
func (r *run) step(b *batch) error {
	if err := r.keepEpoch(); err != nil {
		return err
	}
	phase := r.phase()
	if r.at.Step == phase.from*r.perEpoch {
		for _, role := range phase.copies {
			if err := r.memory.copyNetwork(role, student); err != nil {
				return err
			}
		}
	}
	if err := r.batcher.place(b); err != nil {
		return err
	}
	at := Progress{Step: r.at.Step, Total: r.total(), PerEpoch: r.perEpoch}
	numbers, err := phase.run(b, at)
	if err != nil {
		return err
	}
	r.at.Step++
	r.at.Tracked += phase.tracked()
	if loss := float64(numbers[0]); math.IsNaN(loss) || math.IsInf(loss, 0) {
		return r.diverged(loss)
	}
	r.at.Means.add(phase.logged, numbers)
	r.show.step(r.at.Step, phase.logged, numbers)
	return nil
}

func (r *run) diverged(loss float64) error {
	good := "there is no checkpoint yet"
	if r.saved > 0 {
		good = fmt.Sprintf("the last good checkpoint is %s, of step %d", filepath.Join(r.folder.dir, checkpointFile), r.saved)
	}
	return fmt.Errorf("cureml: the loss is %v at step %d (epoch %d); %s", loss, r.at.Step, (r.at.Step-1)/r.perEpoch+1, good)
}

func (r *run) log() error {
	line := r.at.Means.take()
	if line == nil {
		return nil
	}
	line["kind"], line["step"], line["epoch"] = "train", r.at.Step, float64(r.at.Step)/float64(r.perEpoch)
	line["lr"] = r.cfg.Schedule.At(r.at.Step-1, r.total(), r.perEpoch)
	line["seconds"] = r.at.Seconds
	r.show.line(line)
	return r.folder.write(line)
}

// endOfEpoch does what is due where an epoch has just ended, unless it was done.
func (r *run) endOfEpoch(ctx context.Context) error {
	if err := r.evaluate(ctx); err != nil {
		return err
	}
	if err := r.watch(ctx); err != nil {
		return err
	}
	return r.snapshot()
}

// evaluate measures test and validation images.
func (r *run) evaluate(ctx context.Context) error {
	epoch := r.at.Step / r.perEpoch
	due := r.cfg.EvalEvery > 0 && (epoch%r.cfg.EvalEvery == 0 || epoch == r.cfg.Epochs)
	if r.at.Step%r.perEpoch != 0 || epoch == r.at.Evaluated || !due {
		return nil
	}
	line, err := r.eval.measure(ctx, r.memory)
	if err != nil {
		return err
	}
	r.at.Evaluated = epoch
	if line == nil {
		return nil
	}
	if v, ok := line["val_robust"].(float64); ok && v > r.at.Best {
		r.at.Best = v
		if err := r.weights(r.eval.role, bestFile); err != nil {
			return err
		}
	}
	r.passTime()
	line["kind"], line["step"], line["epoch"], line["seconds"] = "eval", r.at.Step, epoch, r.at.Seconds
	r.show.line(line)
	return r.folder.write(line)
}

// weights writes the network of a role as a PyTorch state dict.
func (r *run) weights(role, name string) error {
	s, err := r.memory.state(role, r.at.Tracked)
	if err != nil {
		return err
	}
	return s.Save(filepath.Join(r.folder.dir, name))
}

func (r *run) save() (err error) {
	if r.at.Metrics, err = r.folder.size(); err != nil {
		return err
	}
	if err := saveCheckpoint(r.folder.dir, r.memory, r.at); err != nil {
		return err
	}
	r.saved = r.at.Step
	return nil
}

func (r *run) interrupted() error {
	if err := r.save(); err != nil {
		return err
	}
	return fmt.Errorf("cureml: %w after step %d of %d; %s keeps all of it: the same command with --resume goes on from there",
		ErrInterrupted, r.at.Step, r.total(), r.folder.dir)
}

func (r *run) finish() (*Summary, error) {
	if err := r.weights(student, finalFile); err != nil {
		return nil, err
	}
	for _, n := range r.memory.roles[1:] {
		if n.Kind == Frozen {
			continue
		}
		if err := r.weights(n.Role, n.Role+weightsSuffix); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(filepath.Join(r.folder.dir, lastEpochFolder)); err != nil {
		return nil, fmt.Errorf("cureml: %w", err)
	}
	return &Summary{Dir: r.folder.dir, Steps: r.at.Step, Seconds: r.at.Seconds,
		Final: filepath.Join(r.folder.dir, finalFile), Ended: r.at.Guard.Ended}, nil
}
