package nn

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"cure/cureml/weights"
)

// Published constants of the -swish forms, as in RobustBench's architectures/dm_wide_resnet.py. Checkpoints trained with
// other ones, such as 0.5 for SVHN, carry them in their buffers or need [Arch.Mean] and [Arch.Std].
var (
	cifar10Mean, cifar10Std   = []float64{0.4914, 0.4822, 0.4465}, []float64{0.2471, 0.2435, 0.2616}
	cifar100Mean, cifar100Std = []float64{0.5071, 0.4865, 0.4409}, []float64{0.2673, 0.2564, 0.2762}
)

// normalisation is what images are shifted and divided by, nil for nothing.
func (a Arch) normalisation() (mean, std []float64) {
	switch {
	case len(a.Mean) == 3:
		return a.Mean, a.Std
	case a.swish() && a.Classes == 100:
		return cifar100Mean, cifar100Std
	case a.swish():
		return cifar10Mean, cifar10Std
	}
	return nil, nil
}

// normalBuffers are the names under which checkpoints keep the constants of an input normalisation: buffers of the
// network itself or of a layer before it.
var normalBuffers = [][2]string{{"mean", "std"}, {"mu", "sigma"}, {"normalize.mean", "normalize.std"}, {"0.mean", "0.std"}}

// takeNormalisation splits the constants of an input normalisation off d; mean is nil if it has none.
func takeNormalisation(d *weights.Dict) (rest *weights.Dict, mean, std []float64, err error) {
	for _, pair := range normalBuffers {
		m, okM := d.Get(pair[0])
		s, okS := d.Get(pair[1])
		if !okM || !okS || m.Len() != 3 || s.Len() != 3 {
			continue
		}
		if mean, err = decimals(m); err == nil {
			std, err = decimals(s)
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("nn: tensors %s and %s: %w", pair[0], pair[1], err)
		}
		return without(d, pair[:]), mean, std, nil
	}
	return d, nil, nil, nil
}

// decimals returns the float32 values of t as the shortest decimals that round to them (0.4914, not 0.49140000343).
func decimals(t weights.Tensor) ([]float64, error) {
	v, err := t.Float32()
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(v))
	for i, x := range v {
		if out[i], err = strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// adopt gives a the constants of a file, which must not contradict those that a already has.
func (a *Arch) adopt(mean, std []float64) error {
	if len(a.Mean) == 0 {
		a.Mean, a.Std = mean, std
		return nil
	}
	same := func(x, y float64) bool { return math.Abs(x-y) <= 1e-6*math.Abs(y) }
	if !slices.EqualFunc(a.Mean, mean, same) || !slices.EqualFunc(a.Std, std, same) {
		return fmt.Errorf("nn: the file normalises with mean %v and std %v, asked for were %v and %v", mean, std, a.Mean, a.Std)
	}
	return nil
}

// normalTensors are the buffers mean and std [3, 1, 1] of a -swish form.
func (a Arch) normalTensors() (mean, std weights.Tensor) {
	m, s := a.normalisation()
	buffer := func(v []float64) weights.Tensor {
		return weights.Float32s([]int{3, 1, 1}, []float32{float32(v[0]), float32(v[1]), float32(v[2])})
	}
	return buffer(m), buffer(s)
}

func without(d *weights.Dict, names []string) *weights.Dict {
	rest := &weights.Dict{Meta: d.Meta}
	for _, name := range d.Names {
		if !slices.Contains(names, name) {
			rest.Set(name, d.Tensors[name])
		}
	}
	return rest
}
