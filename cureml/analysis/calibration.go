package analysis

import (
	"cmp"
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/data"
)

// CalibrationOptions are the settings of [MeasureCalibration].
type CalibrationOptions struct {
	Attack attacks.Attack `json:"attack"` // makes the adversarial images
	Bins   int            `json:"bins"`
	Seed   uint64         `json:"seed"`
}

// DefaultCalibration has the 15 bins of Guo et al. and PGD-20.
func DefaultCalibration() CalibrationOptions {
	pgd, _ := attacks.Preset("pgd20") // which exists
	return CalibrationOptions{Attack: pgd, Bins: 15}
}

// Validate says what is wrong with the settings.
func (o CalibrationOptions) Validate() error {
	if o.Bins < 1 || o.Bins > 1000 {
		return fmt.Errorf("analysis: calibration: %d bins: want 1 to 1000", o.Bins)
	}
	return nil
}

// Calibration says how far the certainty of networks can be trusted.
type Calibration struct {
	Attack   string               `json:"attack"`
	Bins     int                  `json:"bins"`
	Fitted   int                  `json:"fitted"`   // images that the temperature was fitted on
	Measured int                  `json:"measured"` // images of the scores, all others
	Networks []NetworkCalibration `json:"networks"`
}

// NetworkCalibration has the scores at temperature 1 and at the fitted one.
type NetworkCalibration struct {
	Name        string             `json:"name"`
	Temperature float64            `json:"temperature"`
	Clean       *CalibrationScores `json:"clean"`
	Adv         *CalibrationScores `json:"adv"`
	CleanScaled *CalibrationScores `json:"clean_scaled"`
	AdvScaled   *CalibrationScores `json:"adv_scaled"`
}

// MeasureCalibration scores the predictions of networks for clean images and for those that an attack on each network
// made of them ([Score] has the formulas), before and after temperature scaling (Guo et al. 2017, arXiv 1706.04599,
// section 4.2): the logits divided by the T that minimises the mean cross-entropy of clean images. T is fitted on every
// other image of the set, beginning with the first, and all scores are of the images between.
func MeasureCalibration(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o CalibrationOptions) (*Calibration, error) {
	if err := cmp.Or(checkAttacked(nets, set, o.Attack), o.Validate()); err != nil {
		return nil, err
	}
	if set.Len() < 2 {
		return nil, fmt.Errorf("analysis: calibration: %d image: want 2 or more, half of them for the temperature", set.Len())
	}
	attack, classify := newEvaluator(set), newClassifier()
	defer closeAll(attack, classify)
	networks, err := measureEach(device, nets, func(_ int, s *subject) (n NetworkCalibration, err error) {
		r, err := attack.evaluate(ctx, s, set, []attacks.Attack{o.Attack}, attacks.Options{Seed: int64(o.Seed), KeepAdv: true})
		if err != nil {
			return n, err
		}
		var logits [2][]float64
		for k, images := range [][]float32{pixels(set.Images), r.Attacks[0].Adv} {
			out, err := classify.onAll(ctx, s, images, nil, attack.size)
			if err != nil {
				return n, err
			}
			logits[k] = widen(out[0])
		}
		n, err = calibrate(logits[0], logits[1], set.Labels, o.Bins)
		n.Name = s.Name
		return n, err
	})
	if err != nil {
		return nil, err
	}
	return &Calibration{o.Attack.Name, o.Bins, (set.Len() + 1) / 2, set.Len() / 2, networks}, nil
}

// calibrate scores logits [N, C].
func calibrate(clean, adv []float64, labels []int32, bins int) (n NetworkCalibration, err error) {
	fit, fitLabels := everyOther(clean, labels, 0)
	if n.Temperature, err = Temperature(fit, fitLabels); err != nil {
		return n, err
	}
	for _, s := range []struct {
		logits      []float64
		temperature float64
		into        **CalibrationScores
	}{{clean, 1, &n.Clean}, {adv, 1, &n.Adv}, {clean, n.Temperature, &n.CleanScaled}, {adv, n.Temperature, &n.AdvScaled}} {
		rest, restLabels := everyOther(s.logits, labels, 1)
		if *s.into, err = Score(rest, restLabels, s.temperature, bins); err != nil {
			return n, err
		}
	}
	return n, nil
}

// everyOther takes the rows from, from+2, ... of logits [N, C] and their labels.
func everyOther(logits []float64, labels []int32, from int) (rows []float64, y []int32) {
	classes := len(logits) / len(labels)
	for i := from; i < len(labels); i += 2 {
		rows, y = append(rows, logits[i*classes:(i+1)*classes]...), append(y, labels[i])
	}
	return rows, y
}
