package viz

import "math"

// decimate thins a polyline with far more points than pixel columns: of the
// points in a column it keeps the first, the lowest, the highest and the last
// (the M4 aggregation of Jugel et al., VLDB 2014), which leaves the drawn line
// the same up to anti-aliasing. Lines that run backwards in x stay as they are.
func decimate(line [][2]float64) [][2]float64 {
	const few = 4000
	if len(line) <= few {
		return line
	}
	var kept [][2]float64
	for from := 0; from < len(line); {
		column := math.Floor(line[from][0])
		lo, hi, to := from, from, from
		for ; to < len(line) && math.Floor(line[to][0]) == column; to++ {
			if to > from && line[to][0] < line[to-1][0] {
				return line
			}
			if line[to][1] < line[lo][1] {
				lo = to
			}
			if line[to][1] > line[hi][1] {
				hi = to
			}
		}
		if to < len(line) && line[to][0] < line[to-1][0] {
			return line
		}
		last := -1
		for _, i := range [4]int{from, min(lo, hi), max(lo, hi), to - 1} {
			if i > last {
				kept = append(kept, line[i])
				last = i
			}
		}
		from = to
	}
	return kept
}
