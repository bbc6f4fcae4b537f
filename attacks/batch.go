package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// batch is the images that an attack works on at a time: live rows first, then padding that repeats the first row.
type batch struct {
	images []int     // positions in the evaluation of the live rows
	x      []float32 // the clean images, padding included
	adv    []float32 // what the attack returns, of the same layout
	marks  []int32   // of the live rows
	claims []int     // of the live rows: the steps after which a search claimed a success, else 0; nil without claims
	random func(row int) *rand.Rand

	clean, labels, natural *tensors.Tensor // images, labels and clean logits as inputs of programs
	target                 *tensors.Tensor // what a targeted attack aims at, as unit vectors [B, C]; else nil
}

// about is what programs get beside images and labels: the target, or the clean logits.
func (b *batch) about() *tensors.Tensor {
	if b.target != nil {
		return b.target
	}
	return b.natural
}

// free releases what the batch holds on the device.
func (b *batch) free() error {
	return free(b.clean, b.labels, b.natural, b.target)
}

// pass is one forward and backward pass.
type pass struct {
	grad, losses, marks *tensors.Tensor
}

// ascend computes the gradient of the goal at adv.
func (e *engine) ascend(ctx context.Context, t goal, b *batch, adv *tensors.Tensor) (pass, error) {
	out, err := e.callNetwork(ctx, e.gradient[t], adv, b.labels, b.about())
	if err != nil {
		return pass{}, err
	}
	e.forwards += int64(len(b.images))
	e.backwards += int64(len(b.images))
	return pass{out[0], out[1], out[2]}, nil
}

// scores runs the network forward.
func (e *engine) scores(ctx context.Context, b *batch, images *tensors.Tensor) (*tensors.Tensor, error) {
	out, err := e.callNetwork(ctx, e.forward, images)
	if err != nil {
		return nil, err
	}
	e.forwards += int64(len(b.images))
	return out[0], nil
}

// judgeScores gives losses and marks of logits, on the device.
func (e *engine) judgeScores(ctx context.Context, t goal, b *batch, logits *tensors.Tensor) (pass, error) {
	out, err := e.call(ctx, e.judge[t], logits, b.labels, b.about())
	if err != nil {
		return pass{}, err
	}
	return pass{losses: out[0], marks: out[1]}, nil
}

// assess is judgeScores brought to the host.
func (e *engine) assess(ctx context.Context, t goal, b *batch, logits *tensors.Tensor) (losses []float32, marks []int32, err error) {
	judged, err := e.judgeScores(ctx, t, b, logits)
	if err != nil {
		return nil, nil, err
	}
	if losses, err = tensors.CopyFlatData[float32](judged.losses); err != nil {
		return nil, nil, fmt.Errorf("reading losses: %w", err)
	}
	if marks, err = tensors.CopyFlatData[int32](judged.marks); err != nil {
		return nil, nil, fmt.Errorf("reading marks: %w", err)
	}
	return losses, marks, free(judged.losses, judged.marks)
}

// upload makes the images of one batch an input of programs.
func (e *engine) upload(images []float32) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(images, e.imageShape().Dimensions...)
}

// donate hands tensors over to a program that replaces them.
func (e *engine) donate(list ...*tensors.Tensor) ([]any, error) {
	given := make([]any, len(list))
	for i, t := range list {
		var err error
		if given[i], err = DonateTensorBuffer(t, e.model.Backend, 0); err != nil {
			return nil, fmt.Errorf("donating a buffer: %w", err)
		}
	}
	return given, nil
}

// collect or-s the marks of a pass into the batch and frees what the pass left.
func (b *batch) collect(done pass) error {
	err := tensors.ConstFlatData(done.marks, func(flat []int32) {
		for row := range b.marks {
			b.marks[row] |= flat[row] &^ markTarget // which only a verified image has
		}
	})
	if err != nil {
		return fmt.Errorf("reading marks: %w", err)
	}
	return free(done.losses, done.marks)
}

// free releases tensors, on the device too, without waiting for the garbage collector.
func free(list ...*tensors.Tensor) error {
	for _, t := range list {
		if t == nil {
			continue
		}
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("freeing a buffer: %w", err)
		}
	}
	return nil
}
