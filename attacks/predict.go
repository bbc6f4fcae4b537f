package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// Predict gives a model's prediction for each of images [N, H, W, C], float32 in [0, 1] one after the other: the lowest
// class of the largest logit, or -1 where a logit is NaN, which is no prediction. batch is the number of images a program
// takes at a time; 0 means DefaultBatch. What a random model predicts is its most frequent class in Model.Forwards passes.
//
// The error names the first invalid input, or what failed in the backend; if ctx ends, it wraps ctx.Err().
func Predict(ctx context.Context, model Model, images []float32, batch int) ([]int, error) {
	if err := checkModel(model); err != nil {
		return nil, err
	}
	d := model.pixels()
	switch {
	case len(images) == 0:
		return nil, fmt.Errorf("attacks: no images to classify")
	case len(images)%d != 0:
		return nil, fmt.Errorf("attacks: %d pixel values, want a multiple of %d: images of %v", len(images), d, model.Image)
	case batch < 0:
		return nil, fmt.Errorf("attacks: batch size %d, want at least 1", batch)
	case batch == 0:
		batch = DefaultBatch
	}
	for k, v := range images {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("attacks: pixel value %g of image %d, want from 0 to 1", v, k/d)
		}
	}
	e, err := newEngine(model, min(batch, len(images)/d))
	if err != nil {
		return nil, fmt.Errorf("attacks: %w", err)
	}
	defer e.finalize()
	classes, err := e.predict(ctx, images)
	if err != nil {
		return nil, fmt.Errorf("attacks: %w", err)
	}
	return classes, nil
}

// predict is Predict in the batches of the engine.
func (e *engine) predict(ctx context.Context, images []float32) ([]int, error) {
	var classes []int
	for part := range slices.Chunk(images, e.size*e.model.pixels()) {
		rows := make([]float32, e.size*e.model.pixels())
		copy(rows, part)
		n, first := len(part)/e.model.pixels(), len(classes)
		restore := e.reseed(n, func(row int) *rand.Rand { return stream(0, "predict\x00"+keysOfVerdict, first+row, 0) })
		votes, err := e.poll(ctx, rows, n)
		restore()
		if err != nil {
			return nil, err
		}
		for _, of := range votes {
			most := 0
			for class, count := range of {
				if count > of[most] {
					most = class
				}
			}
			classes = append(classes, most-1)
		}
	}
	return classes, nil
}

// poll counts, for each of n images in the first rows, how many passes predict no class, class 0, class 1, ...
func (e *engine) poll(ctx context.Context, rows []float32, n int) ([][]int, error) {
	votes := make([][]int, n)
	for row := range votes {
		votes[row] = make([]int, 1+e.model.Classes)
	}
	for range e.model.forwards() {
		input := e.upload(rows)
		out, err := e.callNetwork(ctx, e.forward, input)
		if err != nil {
			return nil, err
		}
		logits, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, fmt.Errorf("reading logits: %w", err)
		}
		for row := range votes {
			votes[row][1+predicted(logits[row*e.model.Classes:(row+1)*e.model.Classes])]++
		}
		if err := free(input, out[0]); err != nil {
			return nil, err
		}
	}
	return votes, nil
}

// predicted is the class of one image's logits.
func predicted(logits []float32) int {
	best := 0
	for k, z := range logits {
		if z != z {
			return -1
		}
		if z > logits[best] {
			best = k
		}
	}
	return best
}
