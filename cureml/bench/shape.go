package bench

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/nn"
	"cure/data"
)

// Shape is a convolution: square images of so many channels, a kernel, a stride.
type Shape struct {
	Side, In, Out, Kernel, Stride int
}

// String is such as "32x32 16->32 3x3 /2".
func (s Shape) String() string {
	text := fmt.Sprintf("%dx%d %d->%d %dx%d", s.Side, s.Side, s.In, s.Out, s.Kernel, s.Kernel)
	if s.Stride > 1 {
		text += fmt.Sprintf(" /%d", s.Stride)
	}
	return text
}

// GFLOP is the arithmetic of one pass over a batch: two operations for each product.
func (s Shape) GFLOP(batch int) float64 {
	side := s.Side / s.Stride
	return 2e-9 * float64(batch*side*side*s.Kernel*s.Kernel*s.In*s.Out)
}

// convolutions are the three passes over one: its values, and its gradients by images and by kernel.
var convolutions = []string{"conv-forward", "conv-dx", "conv-dw"}

// Shapes are the three passes over each of the 3x3 convolutions of a ResNet-18 of a width, each a group with its peers.
func Shapes(width, batch int, backend string, peers []string) (groups [][]Job, err error) {
	if width < 1 || width > 1024 || batch < 1 || batch > mostImages {
		return nil, fmt.Errorf("bench: width %d, batch %d: want 1 to 1024 and 1 to %d", width, batch, mostImages)
	}
	shapes := []Shape{{32, 3, width, 3, 1}}
	for stage, side := 0, 32; stage < 4; stage, side = stage+1, side/2 {
		if stage > 0 {
			shapes = append(shapes, Shape{2 * side, width << (stage - 1), width << stage, 3, 2})
		}
		shapes = append(shapes, Shape{side, width << stage, width << stage, 3, 1})
	}
	for _, s := range shapes {
		for _, name := range convolutions {
			j := Job{Name: name, Arch: "resnet18", Width: width, Batch: batch, Backend: backend, Shape: s}
			others, err := peersOf(j, peers)
			if err != nil {
				return nil, err
			}
			groups = append(groups, append([]Job{j}, others...))
		}
	}
	return groups, nil
}

// openConvolution is one of the three passes over random numbers.
func openConvolution(b compute.Backend, j Job) (task, error) {
	s, rng := j.Shape, data.Stream(0, "bench")
	random := func(dims ...int) *tensors.Tensor {
		n := 1
		for _, d := range dims {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
	x, w := random(j.Batch, s.Side, s.Side, s.In), random(s.Kernel, s.Kernel, s.In, s.Out)
	dy := random(j.Batch, s.Side/s.Stride, s.Side/s.Stride, s.Out)
	exec, err := NewExec(b, func(x, w, dy *Node) *Node {
		y := nn.Conv(x, w, s.Stride)
		switch j.Name {
		case "conv-dx":
			return Gradient(ReduceAllSum(Mul(y, dy)), x)[0]
		case "conv-dw":
			return Gradient(ReduceAllSum(Mul(y, dy)), w)[0]
		}
		return y
	})
	if err != nil {
		return task{}, err
	}
	return task{j.Batch, func() error {
		out, err := exec.Exec1(x, w, dy)
		if err != nil {
			return err
		}
		return wait(out)
	}, exec.Finalize}, nil
}
