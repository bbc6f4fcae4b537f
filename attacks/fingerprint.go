package attacks

import (
	"fmt"
	"math"
	"slices"
)

// Weights do not say what a model computes: another preprocessing around them is another model. So a state file knows its
// model by clean logits too, those of the first images.
const (
	printedImages = 8
	// printedError is how far logits of one model lie apart, as a share of the largest: bfloat16 and TF32 keep 8 and 11 bits,
	// and machines sum in different orders. What changes logits less goes unnoticed.
	printedError = .01
)

// recognise refuses the state file of another model than the one whose clean logits were measured, and says in a new file
// which one that is.
func (v *evaluation) recognise() error {
	if v.state == nil {
		return nil
	}
	logits := v.natural[:min(printedImages, len(v.labels))*v.model.Classes]
	if v.state.logits == nil {
		return v.state.append(block{Logits: bits(logits)})
	}
	return samePrint(v.state.logits, logits)
}

// samePrint says how far two fingerprints lie apart if that is too far for one model.
func samePrint(had, have []float32) error {
	if len(had) != len(have) {
		return fmt.Errorf("it is of another model (%d logits to know it by, not %d)", len(had), len(have))
	}
	var largest, apart float64
	for k, z := range had {
		a, b := float64(z), float64(have[k])
		if a == b || math.IsNaN(a) && math.IsNaN(b) {
			continue
		}
		if d := math.Abs(a - b); !(d <= apart) {
			apart = d // a NaN stays
		}
	}
	for _, z := range slices.Concat(had, have) {
		if size := math.Abs(float64(z)); size > largest && !math.IsInf(size, 1) {
			largest = size
		}
	}
	if !(apart <= printedError*largest) {
		return fmt.Errorf("it is of another model: the weights are the same, but logits differ by %.3g, which is more than %g of the largest (%.3g)",
			apart, printedError, largest)
	}
	return nil
}
