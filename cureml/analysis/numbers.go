package analysis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// average is the mean of values, 0 of none.
func average(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / math.Max(float64(len(values)), 1)
}

// quantile is the value at share q of the sorted values, the nearest one (the lower of two equally near); 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(math.Ceil(q*float64(len(sorted)-1)-.5))]
}

// leftEnd is where a logarithmic axis of distances begins: below all but a fiftieth of each list, since a single image next to
// a decision boundary would take half of the picture. Only positive finite distances count; 0 where there are none.
func leftEnd(lists ...[]float64) float64 {
	least := math.Inf(1)
	for _, list := range lists {
		some := slices.DeleteFunc(slices.Clone(list), func(v float64) bool { return !(v > 0) || math.IsInf(v, 1) })
		if len(some) > 0 {
			least = min(least, quantile(some, .02))
		}
	}
	if math.IsInf(least, 1) {
		return 0
	}
	return least / 1.1
}

// allFinite says which of the values is not a number that JSON can hold.
func allFinite(what string, values []float64) error {
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s %d is %g: the network's numbers overflow there", what, i, v)
		}
	}
	return nil
}

// evenly are n numbers from -reach to reach; n is odd, so that 0 is one of them.
func evenly(reach float64, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = reach * float64(2*i-(n-1)) / float64(n-1)
	}
	return v
}

// points says what is wrong with a number of grid points.
func points(what string, n int) error {
	if n < 3 || n%2 == 0 || n > 201 {
		return fmt.Errorf("%s: %d points: want an odd number from 3 to 201", what, n)
	}
	return nil
}

// within says what is wrong with a number that has to lie in (0, most].
func within(what string, v, most float64) error {
	if !(v > 0 && v <= most) {
		return fmt.Errorf("%s %g: want more than 0, and at most %g", what, v, most)
	}
	return nil
}

// atLeast says what is wrong with a number that has to reach another one.
func atLeast(what string, n, least int) error {
	if n < least {
		return fmt.Errorf("%d %s: want at least %d", n, what, least)
	}
	return nil
}

// settings is the first of the errors in the settings of an analysis, nil where there is none.
func settings(analysis string, errs ...error) error {
	if err := cmp.Or(errs...); err != nil {
		return fmt.Errorf("analysis: %s: %w", analysis, err)
	}
	return nil
}

// over is a/b, and 0 where b is 0.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// length is the Euclidean length of all values.
func length(values []float32) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// percents is a share as the tables show it.
func percents(share float64) string { return fmt.Sprintf("%.1f", 100*share) }

// threeDigits writes a number with three significant digits, and from a thousand on as a whole one: 1337, 28.9, 0.145.
func threeDigits(v float64) string {
	if math.Abs(v) >= 999.5 && math.Abs(v) < 1e6 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
