package study

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cure/attacks"
	"cure/cureml"
)

// Layerwise is the layer-wise study of the CURE paper (arXiv 2401.14948, section 3 and appendix G; figures 2, 4 and 11):
// which blocks of a naturally trained network are worth training adversarially? U-b trains the blocks b, digit by digit 1
// to 4 for the stages of the ResNet and 5 for its classifier, and leaves the others alone. All start from one natural
// network, with the weights of b as they are or drawn anew.
//
// Its size is the preset's: layerwiseSizes.
type Layerwise struct {
	*Study
	Options LayerwiseOptions
	size    layerwiseSize
}

// LayerwiseOptions choose a part of the study and settle what the paper leaves open. Zero values mean the defaults.
type LayerwiseOptions struct {
	// Blocks are the variants, such as 1, 23 and 12345; empty means those of the preset.
	Blocks []string
	// Start is natural, reinit or both, the default: with the weights of the natural network, drawn anew, each variant twice.
	Start string
	// Stem is block1, the default: the first convolution is trained where block 1 is, so that U-12345 without new weights is
	// plain adversarial training; frozen: never; or trained: always, as in the released code.
	Stem string
	// FrozenBN is what batch norms of frozen blocks do in training passes: fixed, the default, or moving, as in the released
	// code; see cureml.LayerwiseConfig.
	FrozenBN string
}

// LayerwiseBlocks are the variants of the whole study, in its order. The paper shows nine of them.
func LayerwiseBlocks() []string { return slices.Clone(allBlocks) }

var allBlocks = []string{"1", "2", "3", "4", "5", "12", "23", "34", "45", "123", "234", "345", "2345", "12345"}

// Variant is one U-b.
type Variant struct {
	Blocks string `json:"blocks"` // the digits; "" is the natural network that all begin with
	Reinit bool   `json:"reinit"`
}

// String is U-23, or U-23 re-initialised.
func (v Variant) String() string {
	switch {
	case v.Blocks == "":
		return "natural"
	case v.Reinit:
		return v.Name() + " re-initialised"
	}
	return v.Name()
}

// Name is U-23, whatever it begins with.
func (v Variant) Name() string { return "U-" + v.Blocks }

// run is the name of its folder.
func (v Variant) run() string {
	if v.Reinit {
		return "u" + v.Blocks + "-reinit"
	}
	return "u" + v.Blocks
}

// layerwiseSize is how large the study is in a preset.
type layerwiseSize struct {
	blocks                  []string
	trainImages, testImages int
	natural                 string // the network that all begin with: a shipped one, or "" to train one
	tune                    func(c *cureml.Config)
}

// layerwiseSizes by preset. The runs of mini take their natural network from those shipped, which has seen 50,000 images,
// because one of these few images would know too little for a trade-off; 2 epochs of 64 steps each then turn it robust.
var layerwiseSizes = map[string]layerwiseSize{
	"ci": {blocks: []string{"1", "23", "12345"}, trainImages: 64, testImages: 16, tune: func(c *cureml.Config) {
		c.Epochs, c.Batch, c.LogEvery, c.EvalEvery = 1, 32, 1, 0
	}},
	"mini": {blocks: allBlocks, trainImages: 4096, testImages: 512, natural: "zoo:natural", tune: func(c *cureml.Config) {
		c.Epochs, c.Batch, c.LogEvery, c.EvalEvery = 2, 64, 8, 0
		c.Schedule.Max /= 2 // with the batch
	}},
	"paper": {blocks: allBlocks, tune: func(*cureml.Config) {}},
}

// Layerwise is the layer-wise study of this size in the study's own folder. The error names an option that is not known.
func (s *Study) Layerwise(o LayerwiseOptions) (*Layerwise, error) {
	size, ok := layerwiseSizes[s.Name]
	if !ok {
		return nil, fmt.Errorf("study: the preset %q has no layer-wise study", s.Name)
	}
	for _, check := range []struct {
		what     string
		value    *string
		accepted []string
	}{
		{"start", &o.Start, []string{"both", "natural", "reinit"}},
		{"stem", &o.Stem, []string{"block1", "frozen", "trained"}},
		{"batch norm of frozen blocks", &o.FrozenBN, []string{"fixed", "moving"}},
	} {
		if *check.value == "" {
			*check.value = check.accepted[0]
		}
		if !slices.Contains(check.accepted, *check.value) {
			return nil, fmt.Errorf("study: %s %q: accepted are %s", check.what, *check.value, strings.Join(check.accepted, ", "))
		}
	}
	if len(o.Blocks) == 0 {
		o.Blocks = size.blocks
	}
	for i, b := range o.Blocks {
		if !slices.Contains(allBlocks, b) {
			return nil, fmt.Errorf("study: blocks %q: accepted are %s", b, strings.Join(allBlocks, ", "))
		}
		if slices.Contains(o.Blocks[:i], b) {
			return nil, fmt.Errorf("study: blocks %s appear twice", b)
		}
	}
	return &Layerwise{Study: s.sized(size.trainImages, size.testImages), Options: o, size: size}, nil
}

// Variants are the runs of the study, in the order of its pictures.
func (l *Layerwise) Variants() (list []Variant) {
	for _, reinit := range []bool{false, true} {
		if l.Options.Start == map[bool]string{true: "natural", false: "reinit"}[reinit] {
			continue
		}
		for _, b := range l.Options.Blocks {
			list = append(list, Variant{b, reinit})
		}
	}
	return list
}

// Config is the training of a variant: PGD adversarial training (cureml.AT) with frozen blocks.
func (l *Layerwise) Config(v Variant) cureml.Config {
	c := l.Study.Config("at")
	l.size.tune(&c)
	c.Init = l.size.natural
	if c.Init == "" {
		c.Init = l.Final(naturalRun)
	}
	c.Layerwise = cureml.LayerwiseConfig{Train: v.Blocks, Reinit: v.Reinit, FrozenBN: l.Options.FrozenBN}
	c.Layerwise.Stem = l.Options.Stem == "trained" || l.Options.Stem == "block1" && strings.Contains(v.Blocks, "1")
	return c
}

// naturalRun is the run that the others start from, where no shipped network serves.
const naturalRun = "natural"

// Train trains a variant, or reads what it measured, as [Study.Train] does. The natural network is trained before the first
// variant where none is shipped.
func (l *Layerwise) Train(v Variant, each func(Line)) (Metrics, error) {
	c := l.Config(v)
	done, err := l.Trained(v)
	if err != nil {
		return nil, err
	}
	if !done && l.size.natural == "" {
		natural := l.Study.Config("natural")
		l.size.tune(&natural)
		if _, err := l.Study.Train(naturalRun, natural, nil); err != nil {
			return nil, err
		}
	}
	return l.Study.Train(v.run(), c, each)
}

// Trained reports whether the variant is trained, or saved, so that Train only reads it.
func (l *Layerwise) Trained(v Variant) (bool, error) { return l.Study.Trained(v.run(), l.Config(v)) }

// natural is the network that all begin with, as [Study.Attack] names it.
func (l *Layerwise) natural() string {
	if l.size.natural == "" {
		return naturalRun
	}
	return l.size.natural
}

// attack is what robust accuracy is measured with.
func (l *Layerwise) attack() ([]attacks.Attack, error) { return attacks.ParseList("pgd20") }

// network is the name of a row's network for [Study.Attack].
func (l *Layerwise) networkOf(v Variant) string {
	if v.Blocks == "" {
		return l.natural()
	}
	return v.run()
}

// folderOf is the name of the folder that keeps what was measured of a row's network.
func (l *Layerwise) folderOf(v Variant) string { return strings.ReplaceAll(l.networkOf(v), ":", "-") }

// Keep copies what the finished runs have measured to dir, without their weights; see [Study.Keep].
func (l *Layerwise) Keep(dir string) error {
	names := []string{l.folderOf(Variant{})}
	for _, v := range l.Variants() {
		if exists(filepath.Join(l.folder(v.run()), measuredFile)) {
			names = append(names, v.run())
		}
	}
	return l.Study.Keep(dir, names...)
}
