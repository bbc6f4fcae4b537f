package bench

import (
	"context"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/optim"
	"cure/cureml/similarity"
	"cure/data"
	"cure/data/corrupt"
	"cure/data/mini"
)

// openMask is what CURE adds to two gradients: the prominence of all weights, its percentile in each tensor, and which
// entries are below. Normal random numbers stand for the gradients.
func openMask(b compute.Backend, j Job) (task, error) {
	arch, err := nn.Parse(j.Arch, j.Width, len(classes))
	if err != nil {
		return task{}, err
	}
	list, err := arch.Tensors()
	if err != nil {
		return task{}, err
	}
	cfg, rng := cureml.Defaults("cure").Cure, data.Stream(0, "bench")
	var gradients []any // natural and adversarial, tensor by tensor
	for _, t := range list {
		if !t.Kind.Trainable() || t.Kind == nn.LinearWeight || t.Kind == nn.LinearBias {
			continue
		}
		for range 2 {
			values := make([]float32, t.Size())
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
			gradients = append(gradients, tensors.FromFlatDataAndDimensions(values, t.Shape...))
		}
	}
	exec, err := NewExec(b, func(in []*Node) []*Node {
		var scores []*Node
		for i := 0; i < len(in); i += 2 {
			scores = append(scores, cfg.Prominence(in[i], in[i+1]))
		}
		masks := optim.Percentile(scores, cfg.Percentile)
		for i, s := range scores {
			masks[i] = LessThan(s, masks[i])
		}
		return masks
	})
	if err != nil {
		return task{}, err
	}
	return task{j.Batch, func() error {
		masks, err := exec.Exec(gradients...)
		if err != nil {
			return err
		}
		for _, m := range masks {
			if err := wait(m); err != nil {
				return err
			}
		}
		return nil
	}, exec.Finalize}, nil
}

// openBatches is the data pipeline alone, on one core as in training: a shuffled, augmented batch a turn.
func openBatches(_ compute.Backend, j Job) (task, error) {
	set := mini.Train()
	images, labels := make([]uint8, j.Batch*data.Height*data.Width*data.Channels), make([]int32, j.Batch)
	indices, pass := make([]int, j.Batch), 0
	return task{j.Batch, func() error {
		order := data.Order(set.Len(), 0, pass)
		for i := range indices {
			indices[i] = order[i%len(order)]
		}
		data.Batch(images, labels, set, indices, func(dst, src []uint8, index int) { data.Augment(dst, src, 0, pass, index) })
		pass++
		return nil
	}, func() {}}, nil
}

// openCorruptions makes all corruptions that count in all severities, on all cores.
func openCorruptions(_ compute.Backend, j Job) (task, error) {
	set, err := mini.Test().Slice(0, min(j.Batch, mini.Test().Len()))
	if err != nil {
		return task{}, err
	}
	list := corrupt.Benchmark()
	return task{set.Len() * len(list) * corrupt.Severities, func() error {
		for _, c := range list {
			for severity := 1; severity <= corrupt.Severities; severity++ {
				if _, err := corrupt.Images(context.Background(), set.Images, c.Name, severity, corrupt.Options{}); err != nil {
					return err
				}
			}
		}
		return nil
	}, func() {}}, nil
}

// openCKA is linear CKA, biased and unbiased, of all pairs of layers, their activations being there.
func openCKA(b compute.Backend, j Job) (task, error) {
	arch, err := nn.Parse(j.Arch, j.Width, len(classes))
	if err != nil {
		return task{}, err
	}
	state, err := nn.Init(arch, 0)
	if err != nil {
		return task{}, err
	}
	layers, err := similarity.Activations(b, state, pixels(j.Batch), min(j.Batch, 50), false)
	if err != nil {
		return task{}, err
	}
	grams, err := similarity.NewGrams(b)
	if err != nil {
		return task{}, err
	}
	return task{j.Batch, func() error {
		list := make([]*mat.SymDense, len(layers))
		for i, l := range layers {
			if list[i], err = grams.Linear(l.Values, j.Batch); err != nil {
				return err
			}
		}
		for _, k := range list {
			for _, l := range list {
				similarity.CKA(k, l)
				similarity.UnbiasedCKA(k, l)
			}
		}
		return nil
	}, grams.Close}, nil
}
