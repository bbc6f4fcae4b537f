package nn

import (
	"math"
	"strings"

	"cure/data"
)

// Init draws start values: PyTorch's defaults for the ResNets (convolutions, linear weights and biases uniform in
// ±1/sqrt(fan in)), and those of the TRADES repository for WideResNets of both forms (convolutions normal with deviation
// sqrt(2/(k²·out)), linear bias 0). Norms start at scale 1, offset 0, mean 0, variance 1. Each tensor has its own stream
// of random numbers (seed, name), the same on every backend.
func Init(a Arch, seed uint64) (*State, error) {
	list, err := a.Tensors()
	if err != nil {
		return nil, err
	}
	s := &State{Arch: a, Values: make(map[string][]float32, len(list)), Tensors: list}
	wide := strings.HasPrefix(a.Name, "wrn-")
	for _, t := range list {
		v := make([]float32, t.Size())
		rng := data.Stream(seed, "init/"+t.Name)
		uniform := func(fanIn int) {
			bound := 1 / math.Sqrt(float64(fanIn))
			for i := range v {
				v[i] = float32((2*rng.Float64() - 1) * bound)
			}
		}
		switch {
		case t.Kind == ConvWeight && wide:
			std := math.Sqrt(2 / float64(t.Shape[0]*t.Shape[1]*t.Shape[3]))
			for i := range v {
				v[i] = float32(rng.NormFloat64() * std)
			}
		case t.Kind == ConvWeight:
			uniform(t.Shape[0] * t.Shape[1] * t.Shape[2])
		case t.Kind == LinearWeight:
			uniform(t.Shape[0])
		case t.Kind == LinearBias && !wide:
			uniform(t.FanIn)
		case t.Kind == NormWeight || t.Kind == RunningVar:
			for i := range v {
				v[i] = 1
			}
		}
		s.Values[t.Name] = v
	}
	return s, nil
}
