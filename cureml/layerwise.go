package cureml

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cure/cureml/nn"
	"cure/data"
)

// LayerwiseConfig freezes parts of the student, for the study behind CURE (section 3 of arXiv 2401.14948): U-b trains the
// blocks b of a naturally trained network adversarially and leaves the others alone. A frozen tensor keeps its bits:
// neither gradient, momentum nor weight decay moves it.
type LayerwiseConfig struct {
	// Train names the blocks to train by their digits: 1 to 4 are the stages, 5 the classifier; 12345 trains all of them.
	// Empty switches the section off.
	Train string `json:"train"`
	// Reinit starts the trained blocks from random weights: convolutions Kaiming uniform (fan out, gain of ReLU), the
	// classifier N(0, 0.01) with bias 0, as utilities/reinit_util.py of the released code does; norms too with ReinitBN.
	Reinit   bool `json:"reinit,omitempty"`
	ReinitBN bool `json:"reinit_bn,omitempty"`
	// Stem trains the stem beside the blocks. The paper describes it as frozen; the released code never freezes it.
	Stem bool `json:"stem,omitempty"`
	// FrozenBN is what norms of frozen blocks do in training passes: moving (batch statistics; running ones move, as in the
	// released code) or fixed (running statistics, which keep their bits). Empty is fixed.
	FrozenBN string `json:"frozen_bn,omitempty"`
}

func (l LayerwiseConfig) validate(c Config) error {
	if l == (LayerwiseConfig{}) {
		return nil
	}
	if l.Train == "" || strings.Trim(l.Train, "12345") != "" {
		return fmt.Errorf("cureml: layerwise.train %q: want the digits of the blocks to train, 1 to 4 and 5 for the classifier, such as 23", l.Train)
	}
	blocks := ""
	all, err := c.Arch.Tensors()
	if err != nil {
		return err
	}
	for _, t := range all {
		if b := fmt.Sprint(c.Arch.Block(t.Name)); !strings.Contains(blocks, b) {
			blocks += b
		}
	}
	for _, b := range l.Train {
		if !strings.ContainsRune(blocks, b) {
			return fmt.Errorf("cureml: layerwise.train %q: a %s has no block %c", l.Train, c.Arch.Name, b)
		}
	}
	if l.Reinit && c.Init == "" {
		return fmt.Errorf("cureml: layerwise.reinit true: want init, the weights that the other blocks keep")
	}
	if !slices.Contains([]string{"", "moving", "fixed"}, l.FrozenBN) {
		return fmt.Errorf("cureml: layerwise.frozen_bn %q: accepted are fixed, moving", l.FrozenBN)
	}
	return nil
}

// frozen says whether a tensor of the student keeps its bits.
func (c Config) frozen(tensor string) bool {
	l := c.Layerwise
	if l.Train == "" {
		return false
	}
	block := c.Arch.Block(tensor)
	if block == nn.StemBlock {
		return !l.Stem
	}
	return !strings.Contains(l.Train, fmt.Sprint(block))
}

// trained names the student's tensors that training moves by gradients.
func (c Config) trained() []string { return slices.DeleteFunc(trainable(c.Arch), c.frozen) }

// fixedNorms picks the norms that training passes leave alone, nil for none.
func (c Config) fixedNorms() func(name string) bool {
	if c.Layerwise.Train == "" || c.Layerwise.FrozenBN == "moving" {
		return nil
	}
	return func(name string) bool { return c.frozen(name + ".weight") }
}

// reinit gives the trained blocks of s new weights.
func (c Config) reinit(s *nn.State) {
	l := c.Layerwise
	if !l.Reinit {
		return
	}
	for _, t := range s.Tensors {
		if c.frozen(t.Name) || c.Arch.Block(t.Name) == nn.StemBlock {
			continue
		}
		v := make([]float32, t.Size())
		rng := data.Stream(c.Seed, "reinit/"+t.Name)
		switch t.Kind {
		case nn.ConvWeight:
			bound := math.Sqrt(6 / float64(t.Shape[0]*t.Shape[1]*t.Shape[3]))
			for i := range v {
				v[i] = float32((2*rng.Float64() - 1) * bound)
			}
		case nn.LinearWeight:
			for i := range v {
				v[i] = float32(0.01 * rng.NormFloat64())
			}
		case nn.LinearBias:
		default:
			if !l.ReinitBN {
				continue
			}
			if t.Kind == nn.NormWeight || t.Kind == nn.RunningVar {
				for i := range v {
					v[i] = 1
				}
			}
		}
		s.Values[t.Name] = v
	}
}
