package study

import (
	"cure/attacks"
	"cure/cureml/analysis"
	"cure/data"
)

// lookSize is how much the notebooks on representations and on features look at.
type lookSize struct {
	similar int // images on which layers are compared
	compare analysis.SimilarityOptions

	measured int // images of the input gradients and of Grad-CAM
	features analysis.FeatureOptions

	learn  int // training images that sets of robust and of non-robust features are made of; 0 is all
	epochs int // of natural training on each; 0 is what the preset trains
	sets   analysis.FeatureSetOptions
}

// lookSizes by the name of the preset.
var lookSizes = map[string]lookSize{
	"ci": {
		similar: 16, compare: analysis.SimilarityOptions{Attack: steps20(2), Batch: 16, Minibatch: 8},
		measured: 8, features: analysis.FeatureOptions{Shown: 3, Batch: 8,
			Visual:    analysis.VisualOptions{Channels: 3, Steps: 3},
			Inversion: analysis.Inversion{Steps: 3}, Attention: analysis.AttentionOptions{Attack: steps20(2), Batch: 8}},
		learn: 64, epochs: 1, sets: analysis.FeatureSetOptions{Batch: 32, Inversion: analysis.Inversion{Steps: 2},
			Perturb: towards(2)},
	},
	"mini": {
		similar: 512, compare: analysis.SimilarityOptions{},
		measured: 256, features: analysis.FeatureOptions{Shown: 6},
		learn: 3072, epochs: 10,
	},
	"paper": {
		similar: 1000, compare: analysis.SimilarityOptions{Batch: 250, Minibatch: 500},
		measured: 10000, features: analysis.FeatureOptions{Shown: 6, Batch: 250,
			Visual:    analysis.VisualOptions{Channels: 6, Steps: 512},
			Inversion: analysis.Inversion{Steps: 1000, StepSize: 0.5}, Attention: analysis.AttentionOptions{Batch: 250}},
		sets: analysis.FeatureSetOptions{Batch: 250, Inversion: analysis.Inversion{Steps: 1000, StepSize: 0.2}, Perturb: towards(100),
			Sets: []string{analysis.OriginalSet, analysis.RobustSet, analysis.InvertedSet, analysis.PerturbedSet, analysis.ShiftedSet}},
	},
}

// steps20 is the attack of the CURE paper's code on representations, with fewer steps.
func steps20(steps int) attacks.Attack {
	return attacks.Attack{Name: "pgd", Method: attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: 0.031}, Steps: steps, StepSize: 0.031 / float64(steps),
		Start: attacks.UniformUnclipped, Loss: "ce"}}
}

// towards is the perturbation of the non-robust sets with so many steps.
func towards(steps int) attacks.PGD {
	return attacks.PGD{Ball: attacks.Ball{Norm: attacks.L2, Eps: 0.5}, Steps: steps, StepSize: 0.1, Loss: "ce"}
}

// looks is the size of this study.
func (s *Study) looks() lookSize { return lookSizes[s.Name] }

// looked are the first n images that the study measures with before a preset's TestImages cuts them.
func (s *Study) looked(n int) (*data.Set, error) {
	all, err := readSets(s.Data)
	if err != nil {
		return nil, err
	}
	return first(all.Test, n)
}
