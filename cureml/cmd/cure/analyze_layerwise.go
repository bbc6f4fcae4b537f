package main

import (
	"strings"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
	"cure/cureml/study"
)

func layerwiseCommand() studyCommand {
	var blocks string
	var o study.LayerwiseOptions
	return studyCommand{
		name:  "layerwise",
		short: "Train single blocks of a natural network adversarially, the others frozen",
		long: `Train U-b for blocks b: from a naturally trained network, the blocks b are trained adversarially and the others keep
their bits. Natural and robust accuracy of each, and how far every layer moved (figures 2, 4 and 11 of the CURE paper).
Blocks 1 to 4 are the stages of the ResNet, 5 is the classifier.`,
		example: `  cure analyze layerwise --preset ci --blocks 23 --start reinit --out layers --keep saved
  cure analyze layerwise --preset ci --blocks 23 --start reinit --out again --saved saved`,
		flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&blocks, "blocks", "", "blocks to train, variants with commas between, such as 1,23,12345 (default the preset's: "+
				strings.Join(study.LayerwiseBlocks(), ",")+", in ci fewer)")
			fs.StringVar(&o.Start, "start", "both", "what the trained blocks begin with: natural (weights of the natural network), reinit (new ones), both")
			fs.StringVar(&o.Stem, "stem", "block1", "the first convolution: block1 (trained where block 1 is), frozen, trained (in every variant)")
			fs.StringVar(&o.FrozenBN, "frozen-bn", "fixed", "running statistics of frozen blocks: fixed, moving")
		},
		open: func(s *study.Study) (t trainedStudy, err error) {
			if blocks != "" {
				for _, b := range strings.Split(blocks, ",") {
					o.Blocks = append(o.Blocks, strings.TrimPrefix(strings.TrimSpace(b), "U-"))
				}
			}
			l, err := s.Layerwise(o)
			if err != nil {
				return t, err
			}
			variants := l.Variants()
			for _, v := range variants {
				t.runs = append(t.runs, v.String())
			}
			t.done = func(i int) (bool, error) { return l.Trained(variants[i]) }
			t.train = func(i int, each func(study.Line)) (study.Metrics, error) { return l.Train(variants[i], each) }
			t.result = func() (analysis.Result, error) { return l.Result() }
			t.keep = l.Keep
			return t, nil
		},
	}
}
