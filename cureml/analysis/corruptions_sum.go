package analysis

import (
	"slices"
	"strings"

	"cure/data/corrupt"
)

// wrongs is which images a network gets wrong, by corruption and then severity; clean images have severity 0.
type wrongs map[string][1 + corrupt.Severities][]bool

func (w wrongs) put(name string, severity int, wrong []bool) {
	list := w[name]
	list[severity] = wrong
	w[name] = list
}

// summariseErrors turns verdicts on the listed corruptions into errors and means.
func summariseErrors(name string, list []corrupt.Corruption, w wrongs) CorruptedNetwork {
	n := CorruptedNetwork{Name: name, Clean: estimate(perImage([][]bool{w[cleanImages][0]})), Errors: corrupt.Errors{}}
	counts := map[corrupt.Group][][]bool{}
	var all [][]bool
	for _, c := range list {
		var errors [corrupt.Severities]float64
		for s := range errors {
			wrong := w[c.Name][s+1]
			errors[s] = estimate(perImage([][]bool{wrong})).Value
			if !c.Extra {
				counts[c.Group] = append(counts[c.Group], wrong)
				all = append(all, wrong)
			}
		}
		n.Errors[c.Name] = errors
	}
	for _, g := range corrupt.Groups() {
		whole := slices.DeleteFunc(corrupt.Benchmark(), func(c corrupt.Corruption) bool { return c.Group != g })
		if len(counts[g]) == len(whole)*corrupt.Severities {
			if n.Groups == nil {
				n.Groups = map[corrupt.Group]Estimate{}
			}
			n.Groups[g] = estimate(perImage(counts[g]))
		}
	}
	if len(n.Groups) == len(corrupt.Groups()) {
		mean := estimate(perImage(all))
		n.Mean = &mean
	}
	return n
}

// perImage is the share of the lists that are true, image by image.
func perImage(lists [][]bool) []float64 {
	shares := make([]float64, len(lists[0]))
	for _, list := range lists {
		for i, v := range list {
			if v {
				shares[i]++
			}
		}
	}
	for i := range shares {
		shares[i] /= float64(len(lists))
	}
	return shares
}

// compare fills in what is relative to the baseline, or a note that says why there is none.
func (r *Corruptions) compare(base int) {
	b := r.Networks[base]
	if b.Mean == nil {
		return
	}
	note := func(what string, err error) {
		text := "no " + what + ": " + strings.TrimPrefix(err.Error(), "corrupt: ")
		if !slices.Contains(r.Notes, text) {
			r.Notes = append(r.Notes, text)
		}
	}
	for i := range r.Networks {
		n := &r.Networks[i]
		if s, err := corrupt.MCE(n.Errors, b.Errors); err != nil {
			note("mCE", err)
		} else {
			n.CE = &s
		}
		if s, err := corrupt.RelativeMCE(n.Errors, b.Errors, n.Clean.Value, b.Clean.Value); err != nil {
			note("relative mCE", err)
		} else {
			n.RelativeCE = &s
		}
	}
}
