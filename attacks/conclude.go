package attacks

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// conclude fills in what follows from the results: accuracies, norm and eps, warnings and flags.
func (r *Report) conclude(list []Attack) {
	r.Clean.Accuracy, r.RobustFlags = r.Clean.Flags.Accuracy(), slices.Clone(r.Clean.Flags)
	if r.Attacks == nil {
		r.Attacks = []*Result{}
	}
	r.Warnings = []string{}
	if r.Clean.NaN > 0 {
		r.warn("clean: %d of %d images give NaN logits or an infinite loss", r.Clean.NaN, r.N)
	}
	for _, result := range r.Attacks {
		for i, robust := range result.RobustFlags {
			r.RobustFlags[i] = r.RobustFlags[i] && robust
		}
		for _, part := range append(slices.Clone(result.Stages), result) {
			if part.Strays > 0 {
				r.warn("%s: %d returned images lay outside the ball or the pixel box and were not counted", part.Name, part.Strays)
			}
		}
	}
	r.RobustAccuracy = r.RobustFlags.Accuracy()
	r.describeBudgets(list)
	r.Raise(DiagnoseReport(r, list)...)
}

func (r *Report) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// describeBudgets sets norm and eps of the report, and warns where a robust accuracy stands for several.
func (r *Report) describeBudgets(list []Attack) {
	var budgets []Ball
	for _, a := range list {
		if a.Method != nil && !slices.Contains(budgets, a.Method.Budget()) {
			budgets = append(budgets, a.Method.Budget())
		}
	}
	for i, b := range budgets {
		r.Eps = max(r.Eps, b.Eps)
		if i == 0 {
			r.Norm = b.Norm.String()
		} else if r.Norm != b.Norm.String() {
			r.Norm = "mixed"
		}
	}
	if len(budgets) > 1 {
		var list []string
		for _, b := range budgets {
			list = append(list, fmt.Sprintf("%s %.4g", b.Norm, b.Eps))
		}
		r.warn("the attacks have different budgets, so the robust accuracy over all of them belongs to no single eps: %s", strings.Join(list, ", "))
	}
}

// sum computes what follows from the verdicts on single images.
func (r *Result) sum(clean Flags) {
	r.RobustAccuracy = r.RobustFlags.Accuracy()
	var sum float64
	for _, loss := range r.Losses {
		sum += float64(loss)
	}
	r.MeanLoss = Number(sum / float64(len(r.Losses)))
	if r.Distances == nil {
		return
	}
	var found int
	var attacked []float64
	for i, right := range clean {
		if right {
			attacked = append(attacked, float64(r.Distances[i]))
			if !math.IsInf(float64(r.Distances[i]), 1) {
				found++
			}
		}
	}
	median := Number(math.NaN())
	if n := len(attacked); n > 0 {
		slices.Sort(attacked)
		median = Number((attacked[(n-1)/2] + attacked[n/2]) / 2)
	}
	r.Found, r.MedianDistance = &found, &median
}
