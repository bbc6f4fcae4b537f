package corrupt

import "math"

// canny finds edges as OpenCV's Canny does with a 3x3 Sobel filter and |dx| + |dy| as the strength: pixels that are stronger
// than both neighbours across the edge, and at least high, or low and connected with one that is.
func canny(x []uint8, low, high int) (edge [side * side]bool) {
	var dx, dy, strength [side * side]int
	for i := range strength {
		at := func(v, h int) int { return int(x[clampIndex(i/side+v)*side+clampIndex(i%side+h)]) }
		dx[i] = at(-1, 1) + 2*at(0, 1) + at(1, 1) - at(-1, -1) - 2*at(0, -1) - at(1, -1)
		dy[i] = at(1, -1) + 2*at(1, 0) + at(1, 1) - at(-1, -1) - 2*at(-1, 0) - at(-1, 1)
		strength[i] = magnitude(dx[i]) + magnitude(dy[i])
	}
	near := func(i, v, h int) int { // strength of a neighbour, 0 outside
		row, col := i/side+v, i%side+h
		if row < 0 || row >= side || col < 0 || col >= side {
			return 0
		}
		return strength[row*side+col]
	}
	var candidate [side * side]bool
	var strong []int
	for i, s := range strength {
		if s <= low {
			continue
		}
		ax, ay := float64(magnitude(dx[i])), float64(magnitude(dy[i]))
		switch {
		case ay < ax*tan22: // across is horizontal
			candidate[i] = s > near(i, 0, -1) && s >= near(i, 0, 1)
		case ay > ax*tan67:
			candidate[i] = s > near(i, -1, 0) && s >= near(i, 1, 0)
		case (dx[i] < 0) != (dy[i] < 0):
			candidate[i] = s > near(i, -1, 1) && s > near(i, 1, -1)
		default:
			candidate[i] = s > near(i, -1, -1) && s > near(i, 1, 1)
		}
		if candidate[i] && s > high {
			edge[i] = true
			strong = append(strong, i)
		}
	}
	for len(strong) > 0 {
		i := strong[len(strong)-1]
		strong = strong[:len(strong)-1]
		for v := max(i/side-1, 0); v <= min(i/side+1, side-1); v++ {
			for h := max(i%side-1, 0); h <= min(i%side+1, side-1); h++ {
				if j := v*side + h; candidate[j] && !edge[j] {
					edge[j] = true
					strong = append(strong, j)
				}
			}
		}
	}
	return edge
}

// Tangents of 22.5 and 67.5 degrees, between which an edge counts as diagonal.
const (
	tan22 = math.Sqrt2 - 1
	tan67 = math.Sqrt2 + 1
)

func magnitude(v int) int { return max(v, -v) }

// edgeDistance is the distance of each pixel to the nearest edge, along steps to the side (1), diagonal (1.4) and of the
// chess knight (2.1969); infinite without edges. (Borgefors, 1986, with the lengths of OpenCV's 5x5 distanceTransform.)
func edgeDistance(edge [side * side]bool) (d [side * side]float64) {
	steps := [8]struct {
		v, h   int
		length float64
	}{{0, -1, 1}, {-1, 0, 1}, {-1, -1, 1.4}, {-1, 1, 1.4}, {-2, -1, 2.1969}, {-2, 1, 2.1969}, {-1, -2, 2.1969}, {-1, 2, 2.1969}}
	for i := range d {
		if !edge[i] {
			d[i] = math.Inf(1)
		}
	}
	relax := func(i, sign int) {
		for _, s := range steps {
			row, col := i/side+sign*s.v, i%side+sign*s.h
			if row >= 0 && row < side && col >= 0 && col < side {
				d[i] = min(d[i], d[row*side+col]+s.length)
			}
		}
	}
	for i := range d {
		relax(i, 1)
	}
	for i := range d {
		relax(len(d)-1-i, -1)
	}
	return d
}
