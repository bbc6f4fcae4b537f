package analysis

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"cure/viz"
)

// CalibrationScores compare certainty with truth. The confidence of a prediction is its largest probability.
type CalibrationScores struct {
	Images     int     `json:"images"`
	Accuracy   float64 `json:"accuracy"`   // a share
	Confidence float64 `json:"confidence"` // mean
	ECE        float64 `json:"ece"`        // expected calibration error, bins of equal width
	ECEMass    float64 `json:"ece_mass"`   // the same with bins of equally many predictions
	Brier      float64 `json:"brier"`      // from 0 to 2
	NLL        float64 `json:"nll"`        // mean cross-entropy, in nats
	// Bins are those of equal width.
	Bins []viz.ReliabilityBin `json:"bins"`
}

// Score compares the probabilities p = softmax(z/T) of logits [N, C] with labels [N], T being the temperature. With the
// confidence max p_k of the predicted class, and acc and conf the accuracy and mean confidence of a bin b of n_b predictions,
//
//	ECE   = sum_b n_b/N · |acc_b - conf_b|        (Naeini et al. 2015; Guo et al. 2017, eq. 3)
//	Brier = mean of sum_k (p_k - [k = y])²        (Brier 1950)
//	NLL   = mean of -log p_y
//
// Bins of equal width are ((b-1)/bins, b/bins], those of equal mass (Nguyen and O'Connor 2015) hold N/bins predictions in
// the order of confidence, rounded down or up. Of equal logits the lowest class is the prediction.
func Score(logits []float64, labels []int32, temperature float64, bins int) (*CalibrationScores, error) {
	classes, err := checkLogits(logits, labels)
	if err != nil {
		return nil, err
	}
	if !(temperature > 0) || bins < 1 {
		return nil, fmt.Errorf("analysis: calibration: temperature %g and %d bins: want more than 0, and 1 or more", temperature, bins)
	}
	s := &CalibrationScores{Images: len(labels)}
	all := make([]certainty, len(labels))
	for i, y := range labels {
		logs := logProbabilities(logits[i*classes:(i+1)*classes], temperature)
		best := 0
		for k, v := range logs {
			if v > logs[best] {
				best = k
			}
			p := math.Exp(v)
			if k == int(y) {
				p--
			}
			s.Brier += p * p
		}
		s.NLL -= logs[y]
		all[i] = certainty{math.Exp(logs[best]), best == int(y)}
	}
	n := float64(len(labels))
	s.Brier /= n
	s.NLL /= n
	whole := binOf(all, 0, 1)
	s.Accuracy, s.Confidence = whole.Accuracy, whole.Confidence
	s.Bins = equalWidth(all, bins)
	s.ECE, s.ECEMass = gap(s.Bins, n), gap(equalMass(all, bins), n)
	return s, nil
}

// certainty is a prediction.
type certainty struct {
	confidence float64
	right      bool
}

// binOf sums predictions up.
func binOf(list []certainty, lo, hi float64) viz.ReliabilityBin {
	b := viz.ReliabilityBin{Lo: lo, Hi: hi, Count: len(list)}
	for _, c := range list {
		b.Confidence += c.confidence / float64(len(list))
		if c.right {
			b.Accuracy += 1 / float64(len(list))
		}
	}
	b.Confidence, b.Accuracy = min(b.Confidence, 1), min(b.Accuracy, 1) // sums of shares may round beyond
	return b
}

func equalWidth(all []certainty, n int) []viz.ReliabilityBin {
	lists := make([][]certainty, n)
	for _, c := range all {
		b := min(max(int(math.Ceil(c.confidence*float64(n)))-1, 0), n-1)
		lists[b] = append(lists[b], c)
	}
	bins := make([]viz.ReliabilityBin, n)
	for b, list := range lists {
		bins[b] = binOf(list, float64(b)/float64(n), float64(b+1)/float64(n))
	}
	return bins
}

func equalMass(all []certainty, n int) []viz.ReliabilityBin {
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b certainty) int { return cmp.Compare(a.confidence, b.confidence) })
	bins := make([]viz.ReliabilityBin, n)
	for b := range bins {
		bins[b] = binOf(sorted[b*len(all)/n:(b+1)*len(all)/n], 0, 1)
	}
	return bins
}

// gap is the expected calibration error of n predictions.
func gap(bins []viz.ReliabilityBin, n float64) (sum float64) {
	for _, b := range bins {
		sum += float64(b.Count) / n * math.Abs(b.Accuracy-b.Confidence)
	}
	return sum
}

// logProbabilities is log softmax(z/T).
func logProbabilities(z []float64, temperature float64) []float64 {
	out, most, sum := make([]float64, len(z)), slices.Max(z), 0.0
	for k, v := range z {
		out[k] = (v - most) / temperature
		sum += math.Exp(out[k])
	}
	for k := range out {
		out[k] -= math.Log(sum)
	}
	return out
}

// Temperatures that a fit may end at. Where every prediction is right, the likeliest temperature is the lowest.
const (
	lowestTemperature  = .01
	highestTemperature = 100
)

// Temperature is the T between 0.01 and 100 that minimises the mean of -log softmax(z/T)_y over logits [N, C] with
// labels [N] (Guo et al. 2017, section 4.2). That mean is convex in 1/T, so that a golden-section search finds it.
func Temperature(logits []float64, labels []int32) (float64, error) {
	classes, err := checkLogits(logits, labels)
	if err != nil {
		return 0, err
	}
	loss := func(inverse float64) (sum float64) {
		for i, y := range labels {
			sum -= logProbabilities(logits[i*classes:(i+1)*classes], math.Exp(-inverse))[y]
		}
		return sum
	}
	const ratio = .6180339887498949 // (√5 - 1)/2
	lo, hi := -math.Log(highestTemperature), -math.Log(lowestTemperature)
	a, b := hi-ratio*(hi-lo), lo+ratio*(hi-lo)
	lossA, lossB := loss(a), loss(b)
	for hi-lo > 1e-9 {
		if lossA <= lossB {
			hi, b, lossB = b, a, lossA
			a = hi - ratio*(hi-lo)
			lossA = loss(a)
		} else {
			lo, a, lossA = a, b, lossB
			b = lo + ratio*(hi-lo)
			lossB = loss(b)
		}
	}
	return math.Exp(-(lo + hi) / 2), nil
}

func checkLogits(logits []float64, labels []int32) (classes int, err error) {
	if len(labels) == 0 || len(logits)%len(labels) != 0 || len(logits) < 2*len(labels) {
		return 0, fmt.Errorf("analysis: calibration: %d logits for %d labels: want a row of 2 or more for each, and at least one", len(logits), len(labels))
	}
	classes = len(logits) / len(labels)
	for i, y := range labels {
		if y < 0 || int(y) >= classes {
			return 0, fmt.Errorf("analysis: calibration: label %d of image %d: want 0 to %d", y, i, classes-1)
		}
	}
	if err := allFinite("logit", logits); err != nil {
		return 0, fmt.Errorf("analysis: calibration: %w", err)
	}
	return classes, nil
}
