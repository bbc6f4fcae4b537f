package corrupt

import (
	"fmt"
	"math"
	"slices"
)

// Errors are the errors E(c, s) of a classifier, shares of wrong answers in [0, 1]: by corruption c, then severity s - 1.
type Errors map[string][Severities]float64

// Scores are corruption errors relative to a baseline: 1 is as good as the baseline, smaller is better. Papers print 100 times
// these numbers.
type Scores struct {
	CE   map[string]float64 `json:"ce"`   // of each of the 15 corruptions
	Mean float64            `json:"mean"` // of the 15
}

// MeanError is the mean of E(c, s) over the 15 corruptions and 5 severities. This, or 1 minus it, is what papers on CIFAR-10-C
// and CIFAR-100-C report, without a baseline, and often call mCE; RobustBench's score is 1 minus it. The
// four extra corruptions are left out. A missing corruption or a value outside [0, 1] is an error.
func MeanError(e Errors) (float64, error) {
	if err := e.check("model"); err != nil {
		return 0, err
	}
	return e.mean(Benchmark()), nil
}

// GroupErrors is MeanError for the corruptions of each group.
func GroupErrors(e Errors) (map[Group]float64, error) {
	if err := e.check("model"); err != nil {
		return nil, err
	}
	means := map[Group]float64{}
	for _, g := range Groups() {
		means[g] = e.mean(slices.DeleteFunc(Benchmark(), func(c Corruption) bool { return c.Group != g }))
	}
	return means, nil
}

// MCE is the mean corruption error of Hendrycks and Dietterich (2019), with the baseline named by the caller (AlexNet on
// ImageNet; CIFAR has none that is agreed upon, so that the baseline must be told with the number):
//
//	CE(c) = sum over s of E(c, s) / sum over s of E_baseline(c, s)
func MCE(model, baseline Errors) (Scores, error) { return relative(model, baseline, 0, 0) }

// RelativeMCE compares the losses against clean images, whose errors are clean and baselineClean:
//
//	relative CE(c) = sum over s of (E(c, s) - E_clean) / sum over s of (E_baseline(c, s) - E_baseline,clean)
//
// A corruption that does the baseline no harm has no relative CE; that is an error.
func RelativeMCE(model, baseline Errors, clean, baselineClean float64) (Scores, error) {
	for _, v := range []float64{clean, baselineClean} {
		if !(v >= 0 && v <= 1) {
			return Scores{}, fmt.Errorf("corrupt: clean error %v: want a share in [0, 1]", v)
		}
	}
	return relative(model, baseline, clean, baselineClean)
}

func relative(model, baseline Errors, clean, baselineClean float64) (Scores, error) {
	if err := model.check("model"); err != nil {
		return Scores{}, err
	}
	if err := baseline.check("baseline"); err != nil {
		return Scores{}, err
	}
	s := Scores{CE: map[string]float64{}}
	list := Benchmark()
	for _, c := range list {
		var above, below float64
		for i := range Severities {
			above += model[c.Name][i] - clean
			below += baseline[c.Name][i] - baselineClean
		}
		if below <= 0 {
			return Scores{}, fmt.Errorf("corrupt: %s: the baseline's errors %v are not above its %v on clean images: no ratio to them exists",
				c.Name, baseline[c.Name], baselineClean)
		}
		s.CE[c.Name] = above / below
		s.Mean += s.CE[c.Name] / float64(len(list))
	}
	return s, nil
}

func (e Errors) mean(list []Corruption) float64 {
	sum := 0.0
	for _, c := range list {
		for _, v := range e[c.Name] {
			sum += v
		}
	}
	return sum / float64(len(list)*Severities)
}

// check wants all of the 15 and only names that exist.
func (e Errors) check(whose string) error {
	for name, list := range e {
		if _, err := Lookup(name); err != nil {
			return err
		}
		for s, v := range list {
			if math.IsNaN(v) || v < 0 || v > 1 {
				return fmt.Errorf("corrupt: %s: error %v of the %s at severity %d: want a share in [0, 1]", name, v, whose, s+1)
			}
		}
	}
	for _, c := range Benchmark() {
		if _, ok := e[c.Name]; !ok {
			return fmt.Errorf("corrupt: the errors of the %s lack %s: want all 15 corruptions", whose, c.Name)
		}
	}
	return nil
}
