package analysis

import "math"

// Estimate is a mean over images and its standard error: how far it would typically lie from the mean over all images of
// the kind, of which these are a sample.
type Estimate struct {
	Value float64 `json:"value"`
	SE    float64 `json:"se"` // sd/√n with the deviation sd over the n images (divided by n); for shares p √(p(1-p)/n)
}

// estimate is that of one value an image.
func estimate(values []float64) Estimate {
	n := float64(len(values))
	var e Estimate
	for _, v := range values {
		e.Value += v
	}
	e.Value /= n
	squares := 0.0
	for _, v := range values {
		squares += (v - e.Value) * (v - e.Value)
	}
	e.SE = math.Sqrt(squares) / n
	return e
}
