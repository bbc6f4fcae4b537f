package viz

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// tick is one mark of an axis; without a label it is a minor one.
type tick struct {
	at    float64
	label string
}

// axis is a range of values and its marks.
type axis struct {
	label    string
	min, max float64
	log      bool
	integers bool // every value is whole (epochs): no ticks between
	ticks    []tick
}

// norm maps [min, max] to [0, 1].
func (a *axis) norm(v float64) float64 {
	if a.log {
		lo := math.Log(a.min)
		return (math.Log(v) - lo) / (math.Log(a.max) - lo)
	}
	return (v - a.min) / (a.max - a.min)
}

// newAxis spans the data [lo, hi] with a margin, or exactly the asked range when
// that is not zero. A constant gets a range around it.
func newAxis(label string, lo, hi float64, asked [2]float64, log bool) (axis, error) {
	a := axis{label: label, min: lo, max: hi, log: log}
	if asked != [2]float64{} {
		if !usable(asked[0]) || !usable(asked[1]) || !(asked[0] < asked[1]) || log && asked[0] <= 0 {
			return a, fmt.Errorf("axis %q: range [%g, %g] (log %v): want finite lower < upper, both positive on a log axis", label, asked[0], asked[1], log)
		}
		a.min, a.max = asked[0], asked[1]
		return a, nil
	}
	switch {
	case log:
		margin := widening(lo, hi, 0.04)
		if hi/lo < 1+1e-9 {
			margin = 2
		}
		a.min, a.max = max(lo/margin, min(lo, 1e-307)), min(hi*margin, math.MaxFloat64)
	case hi-lo <= 1e-9*max(math.Abs(lo), math.Abs(hi)) || hi-lo < 1e-290:
		margin := 0.1 * max(math.Abs(lo), math.Abs(hi))
		if margin < 1e-290 {
			margin = 1
		}
		a.min, a.max = lo-margin, hi+margin
	default:
		margin := 0.04 * (hi - lo)
		a.min, a.max = lo-margin, hi+margin
	}
	return a, nil
}

// widening is the factor that a share of a log axis stands for, also where hi/lo is beyond float64.
func widening(lo, hi, share float64) float64 {
	if ratio := hi / lo; !math.IsInf(ratio, 1) {
		return math.Pow(ratio, share)
	}
	return math.Exp(share * (math.Log(hi) - math.Log(lo)))
}

// setTicks chooses about n labelled marks.
func (a *axis) setTicks(n int) {
	if a.log {
		a.ticks = logTicks(a.min, a.max, n)
		return
	}
	a.ticks = linearTicks(a.min, a.max, n, a.integers)
}

// linearTicks are the multiples of 1, 2, 2.5 or 5 times a power of ten in
// [lo, hi]: the smallest such step that gives at most n+1 of them, or more when
// that would be less than two.
func linearTicks(lo, hi float64, n int, integers bool) []tick {
	for n = max(n, 1); ; n++ {
		ticks := multiples(lo, hi, n, integers)
		if len(ticks) >= 2 || n > 10 {
			return ticks
		}
	}
}

func multiples(lo, hi float64, n int, integers bool) []tick {
	raw := (hi - lo) / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*power >= raw*(1-1e-9) {
			step = m * power
			break
		}
	}
	if integers {
		step = math.Max(1, math.Ceil(step))
	}
	var ticks []tick
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+1e-9*step && len(ticks) <= 2*n; i++ {
		ticks = append(ticks, tick{at: i * step, label: stepLabel(i*step, step, max(math.Abs(lo), math.Abs(hi)))})
	}
	return ticks
}

// stepLabel writes a multiple of step with as many digits as the step needs, in
// plain notation between 1e-5 and 1e6.
func stepLabel(v, step, largest float64) string {
	if v == 0 {
		return "0"
	}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	if lead := step * math.Pow(10, float64(decimals)); math.Abs(lead-math.Round(lead)) > 1e-6 {
		decimals++ // 2.5 and its kin
	}
	if largest < 1e6 && decimals <= 5 {
		return strconv.FormatFloat(v, 'f', decimals, 64)
	}
	digits := int(math.Ceil(math.Log10(math.Max(math.Abs(v)/step, 1)))) + 2
	return tidyExp(strconv.FormatFloat(v, 'g', min(digits, 12), 64))
}

// logTicks labels powers of ten (every k-th when there are many; also 2 and 5
// when there are few) and marks 2..9 between them.
func logTicks(lo, hi float64, n int) []tick {
	first, last := int(math.Ceil(math.Log10(lo)-1e-9)), int(math.Floor(math.Log10(hi)+1e-9))
	every := 1 + (last-first)/max(n, 1)
	var ticks []tick
	labelled := 0
	add := func(v float64, label bool) {
		if v < lo*(1-1e-12) || v > hi*(1+1e-12) {
			return
		}
		t := tick{at: v}
		if label {
			t.label = tidyExp(strconv.FormatFloat(v, 'g', 6, 64))
			labelled++
		}
		ticks = append(ticks, t)
	}
	few := last-first < 2 && (n >= 4 || last <= first)
	for e := first - 1; e <= last; e++ {
		power := math.Pow(10, float64(e))
		add(power, (e-first)%every == 0)
		for m := 2.0; m < 10 && every == 1; m++ {
			add(m*power, few && (m == 2 || m == 5))
		}
	}
	if labelled < 2 {
		return linearTicks(lo, hi, n, false)
	}
	return ticks
}

// tidyExp turns 1e-05 into 1e-5 and 1e+06 into 1e6, and drops zeros before e.
func tidyExp(s string) string {
	mantissa, exponent, ok := strings.Cut(s, "e")
	if !ok {
		return s
	}
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	e, err := strconv.Atoi(exponent)
	if err != nil {
		return s
	}
	return fmt.Sprintf("%se%d", mantissa, e)
}
