package cureml

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"

	"cure/data"
)

// Stepper runs the training steps of a config one by one, without a run folder, logs or evaluations: what a benchmark
// times. A step is that of [Train]: its batch was prepared ahead, then come the attack, if the method has one, and the
// update.
type Stepper struct {
	cfg      Config
	programs *programs
	perEpoch int
	done     int
	batcher  *batcher
	batches  <-chan *batch
	cancel   context.CancelFunc
}

// NewStepper puts the start weights of cfg on the device. Nothing is compiled before the first step. set must hold at
// least one batch of images; a natural warm-up in cfg is left out.
func NewStepper(backend compute.Backend, cfg Config, set *data.Set) (*Stepper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.checkDevices(backend); err != nil {
		return nil, err
	}
	if err := cfg.checkImages(set); err != nil {
		return nil, err
	}
	if set.Len() < cfg.Batch {
		return nil, fmt.Errorf("cureml: %d images are less than one batch of %d", set.Len(), cfg.Batch)
	}
	sets := Sets{Train: set}
	if err := cfg.Extra.check(sets); err != nil {
		return nil, err
	}
	method, err := NewMethod(cfg)
	if err != nil {
		return nil, err
	}
	start, err := startState(&cfg, "", nil)
	if err != nil {
		return nil, err
	}
	memory, _, err := newMemory(start, cfg, method)
	if err != nil {
		return nil, err
	}
	p, err := newPrograms(backend, cfg, method, memory)
	if err != nil {
		memory.Free()
		return nil, err
	}
	s := &Stepper{cfg: cfg, programs: p, perEpoch: stepsPerEpoch(set.Len(), cfg.Batch)}
	s.batcher = newBatcher(cfg, sets, method)
	if err := s.batcher.reside(backend); err != nil {
		p.finalize()
		memory.Free()
		return nil, err
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.batches = s.batcher.stream(ctx, 0, math.MaxInt)
	return s, nil
}

// Step trains on the next batch and returns the loss before the update. The first call compiles.
func (s *Stepper) Step() (loss float64, err error) {
	b := <-s.batches
	defer b.free()
	if err := s.batcher.place(b); err != nil {
		return 0, err
	}
	total := s.cfg.Epochs * s.perEpoch
	numbers, err := s.programs.run(b, Progress{Step: s.done % total, Total: total, PerEpoch: s.perEpoch})
	if err != nil {
		return 0, err
	}
	s.done++
	return float64(numbers[0]), nil
}

// Free releases the device buffers, the compiled programs and the goroutine that prepares batches.
func (s *Stepper) Free() {
	s.cancel()
	for b := range s.batches {
		b.free()
	}
	s.programs.finalize()
	s.batcher.resident.free()
	s.programs.memory.Free()
}
