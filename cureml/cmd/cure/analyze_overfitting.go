package main

import (
	"strings"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
	"cure/cureml/study"
)

func overfittingCommand() studyCommand {
	var methods string
	return studyCommand{
		name:  "overfitting",
		short: "Train for long and watch robust accuracy on test images fall again",
		long: `Train for long and measure natural and robust accuracy on training and test images between epochs: robust overfitting
and the gap between best and last (figure 5c and table 3 of the CURE paper). Methods: ` + strings.Join(study.OverfittingMethods(), ", ") + ".",
		example: `  cure analyze overfitting --preset ci --methods at --out overfitting --keep saved
  cure analyze overfitting --preset ci --methods at --out again --saved saved`,
		flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&methods, "methods", "", "methods with commas between (default all)")
		},
		open: func(s *study.Study) (t trainedStudy, err error) {
			var list []string
			if methods != "" {
				for _, m := range strings.Split(methods, ",") {
					list = append(list, strings.TrimSpace(m))
				}
			}
			o, err := s.Overfitting(list...)
			if err != nil {
				return t, err
			}
			t.runs = o.Methods
			t.done = func(i int) (bool, error) { return o.Trained(o.Methods[i]) }
			t.train = func(i int, each func(study.Line)) (study.Metrics, error) { return o.Train(o.Methods[i], each) }
			t.result = func() (analysis.Result, error) { return o.Result() }
			t.keep = o.Keep
			return t, nil
		},
	}
}
