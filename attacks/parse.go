package attacks

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseEps reads a size in pixel units of [0, 1], written as a fraction ("8/255") or a decimal ("0.031").
//
// It returns an error for what is not a finite number of at least 0. Whether the size suits a norm is for the attack's
// Validate to say, because an L2 eps may exceed 1.
func ParseEps(text string) (float64, error) {
	numerator, denominator, fraction := strings.Cut(strings.TrimSpace(text), "/")
	eps, err := strconv.ParseFloat(strings.TrimSpace(numerator), 64)
	if err == nil && fraction {
		var divisor float64
		if divisor, err = strconv.ParseFloat(strings.TrimSpace(denominator), 64); err == nil {
			eps /= divisor
		}
	}
	if err != nil || math.IsNaN(eps) || math.IsInf(eps, 0) || eps < 0 {
		return 0, fmt.Errorf("attacks: eps %q: want a size of at least 0 in pixel units of [0, 1], such as 8/255 or 0.031", text)
	}
	return math.Abs(eps), nil // -0 becomes 0
}

// ParseNorm reads "linf", "l2", "l1" or "l0", in any case. Only FMN takes l0.
func ParseNorm(text string) (Norm, error) {
	for i, name := range normNames {
		if strings.EqualFold(text, name) {
			return Norm(i), nil
		}
	}
	return 0, fmt.Errorf("attacks: norm %q: want %s", text, strings.Join(normNames, " or "))
}

// ParseStart reads "none", "uniform", "uniform-unclipped" or "normal".
func ParseStart(text string) (Start, error) {
	for i, name := range startNames {
		if strings.EqualFold(text, name) {
			return Start(i), nil
		}
	}
	return 0, fmt.Errorf("attacks: start %q: want one of %s", text, strings.Join(startNames, ", "))
}

// ParseList reads preset names separated by commas, such as "natural,fgsm,pgd20". Names may not repeat, because results
// are told apart by name.
func ParseList(text string) ([]Attack, error) {
	var list []Attack
	seen := map[string]bool{}
	for _, name := range strings.Split(text, ",") {
		attack, err := Preset(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		if seen[attack.Name] {
			return nil, fmt.Errorf("attacks: attack list %q: %s appears twice", text, attack.Name)
		}
		seen[attack.Name] = true
		list = append(list, attack)
	}
	return list, nil
}
