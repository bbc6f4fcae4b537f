package analysis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/data"
)

// Training sets in the manner of Ilyas et al., "Adversarial Examples Are Not Bugs, They Are Features" (2019, arXiv
// 1905.02175), by name. All have as many images as the original one.
const (
	OriginalSet = "original"
	// RobustSet (section 3.1, D_R) has images that a robust network represents as it does the original ones, found from
	// other images, with the labels of the original ones: what the robust network does not use is that of an image of any
	// class.
	RobustSet = "robust"
	// InvertedSet is the same with the natural network, the control of section 3.1.
	InvertedSet = "inverted"
	// PerturbedSet (section 3.2, D_rand) has the original images moved a little, so that the natural network takes them for
	// a random class, which is their label: to people they are mislabelled, and all that goes with the label is what the
	// network takes for it, and is not robust.
	PerturbedSet = "non-robust"
	// ShiftedSet (section 3.2, D_det) is the same with the class after the right one: robust features now point to a wrong
	// class.
	ShiftedSet = "non-robust-shifted"
)

// FeatureSetNames are the sets that [LearnFeatures] can make.
func FeatureSetNames() []string {
	return []string{OriginalSet, RobustSet, InvertedSet, PerturbedSet, ShiftedSet}
}

// FeatureSetOptions are the settings of [LearnFeatures].
type FeatureSetOptions struct {
	Sets      []string  // nil is original, robust and non-robust
	Inversion Inversion // of robust and inverted; zero Steps and StepSize are 30 and 1 (1,000 steps of 0.1 in the paper)
	// Perturb moves the images of the non-robust sets towards their labels by the cross-entropy; zero is 20 steps of 0.1
	// within L2 0.5, from the image (100 steps in the paper).
	Perturb  attacks.PGD
	Evaluate []attacks.Attack // of the networks that learned; nil is PGD-20 within L2 0.25 and within L∞ 2/255
	Shown    int              // examples to keep of each set; 0 is 10
	Batch    int              // 0 is 64
	Seed     uint64
	// Keep is a folder for the sets, which are read from there when they were made before with the same settings; "" keeps
	// none.
	Keep string `json:"-"`
}

// FeatureSets is what natural training learns from sets of robust and of non-robust features.
type FeatureSets struct {
	Train     string       `json:"train"` // the images that the sets were made of
	N         int          `json:"n"`
	Test      string       `json:"test"`
	TestN     int          `json:"test_n"`
	Robust    string       `json:"robust"` // names of the networks
	Natural   string       `json:"natural"`
	Attacks   []string     `json:"attacks"`
	Originals []uint8      `json:"originals"` // [S, 32, 32, 3], whose counterparts are shown
	Labels    []string     `json:"labels"`    // of these
	Sets      []FeatureSet `json:"sets"`
}

// FeatureSet is one training set, and the network that was trained naturally on it.
type FeatureSet struct {
	Name   string   `json:"name"`
	Shown  []uint8  `json:"shown"`  // [S, 32, 32, 3]
	Labels []string `json:"labels"` // of these
	// Shares of the images that a network takes for their label, and for the original image's class.
	NaturalSees         float64 `json:"natural_sees"`
	RobustSees          float64 `json:"robust_sees"`
	RobustSeesOriginal  float64 `json:"robust_sees_original"`
	NaturalSeesOriginal float64 `json:"natural_sees_original"`
	// Change is the L2 distance to the original image, in [0, 1] pixels, mean over the images.
	Change float64 `json:"change"`
	// Clean is the test accuracy of the network that learned from the set, Attacked the same under each attack.
	Clean    float64   `json:"clean"`
	Attacked []float64 `json:"attacked"`
}

func (o FeatureSetOptions) check(train, test *data.Set) (FeatureSetOptions, error) {
	if o.Sets == nil {
		o.Sets = []string{OriginalSet, RobustSet, PerturbedSet}
	}
	for i, name := range o.Sets {
		if !slices.Contains(FeatureSetNames(), name) || slices.Contains(o.Sets[:i], name) {
			return o, fmt.Errorf("analysis: training set %q: want each of %s once at most", name, strings.Join(FeatureSetNames(), ", "))
		}
	}
	if o.Inversion.Steps == 0 {
		o.Inversion.Steps = 30
	}
	if o.Inversion.StepSize == 0 {
		o.Inversion.StepSize = 1
	}
	if o.Batch == 0 {
		o.Batch = 64
	}
	if o.Shown == 0 {
		o.Shown = 10
	}
	o.Batch, o.Shown = min(o.Batch, train.Len()), min(o.Shown, train.Len())
	o.Inversion.Batch = o.Batch
	if o.Perturb.Steps == 0 {
		o.Perturb = attacks.PGD{Ball: attacks.Ball{Norm: attacks.L2, Eps: 0.5}, Steps: 20, StepSize: 0.1, Loss: "ce"}
	}
	if o.Evaluate == nil {
		l2, linf := 0.25, 2./255
		for _, of := range []struct {
			preset string
			eps    *float64
		}{{"pgd20-l2", &l2}, {"pgd20-mart-wrn", &linf}} {
			a, err := attacks.Preset(of.preset)
			if err == nil {
				a, err = a.With(attacks.Override{Eps: of.eps})
			}
			if err != nil {
				return o, err
			}
			o.Evaluate = append(o.Evaluate, a)
		}
		o.Evaluate[0].Name, o.Evaluate[1].Name = "PGD-20, L2 0.25", "PGD-20, L∞ 2/255"
	}
	if o.Batch < 1 || o.Shown < 1 || train.Len() < 2 || len(train.Classes) != len(test.Classes) {
		return o, fmt.Errorf("analysis: %d images of %d classes in batches of %d, %d of %d classes to test with: want 2 or more, and the same classes",
			train.Len(), len(train.Classes), o.Batch, test.Len(), len(test.Classes))
	}
	var err error
	if o.Inversion, err = o.Inversion.check(); err != nil {
		return o, err
	}
	if o.Perturb.Target != attacks.Untargeted {
		return o, fmt.Errorf("analysis: the perturbation has target %s: want none, its targets are the labels", o.Perturb.Target)
	}
	return o, o.Perturb.Validate(len(train.Classes))
}

// LearnFeatures makes training sets that hold robust features alone and non-robust features alone, as two networks tell
// them apart, lets learn train a network naturally on each, whose name it is given, and measures these on the test images. Pixels of the sets are
// rounded to 8 bits.
func LearnFeatures(ctx context.Context, device compute.Backend, robust, natural Network, train, test *data.Set, opt FeatureSetOptions,
	learn func(ctx context.Context, name string, set *data.Set) (Network, error)) (*FeatureSets, error) {
	if err := cmp.Or(checkInput([]Network{robust}, train), checkInput([]Network{natural}, test)); err != nil {
		return nil, err
	}
	opt, err := opt.check(train, test)
	if err != nil {
		return nil, err
	}
	r := &FeatureSets{Train: train.Name, N: train.Len(), Test: test.Name, TestN: test.Len(), Robust: robust.Name, Natural: natural.Name,
		Originals: train.Images[:opt.Shown*imageValues], Labels: labelNames(train, opt.Shown)}
	for _, a := range opt.Evaluate {
		r.Attacks = append(r.Attacks, a.Name)
	}
	w := newWorkshop(device, robust, natural, train, test, opt)
	defer w.Close()
	for _, name := range opt.Sets {
		set, err := w.set(ctx, name)
		if err != nil {
			return nil, err
		}
		f, err := w.describe(ctx, name, set)
		if err != nil {
			return nil, err
		}
		net, err := learn(ctx, name, set)
		if err != nil {
			return nil, err
		}
		report, err := w.examine(ctx, device, net, test)
		if err != nil {
			return nil, err
		}
		f.Clean = report.Clean.Accuracy
		for _, a := range report.Attacks {
			f.Attacked = append(f.Attacked, a.RobustAccuracy)
		}
		r.Sets = append(r.Sets, f)
	}
	return r, nil
}

func labelNames(set *data.Set, n int) (names []string) {
	for _, y := range set.Labels[:n] {
		names = append(names, set.Classes[y])
	}
	return names
}
