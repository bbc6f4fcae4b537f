package viz

import (
	"image"
	"math"
	"strconv"
)

// drawContours draws lines at round values, each with its value on it where
// there is room.
func (s *surface) drawContours(levels int) {
	var taken []image.Rectangle
	for _, t := range contourLevels(s.scale, levels) {
		taken = s.labelContour(t, s.contour(t.at), taken)
	}
}

// contourLevels are at most n+1 round values: the ticks of a linear scale, or
// on a log scale the finest of a few patterns per decade.
func contourLevels(scale axis, n int) []tick {
	if !scale.log {
		return linearTicks(scale.min, scale.max, n, false)
	}
	patterns := [][]float64{{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8}, {1, 1.5, 2, 3, 5, 7}, {1, 2, 5}, {1, 3}}
	for _, pattern := range patterns {
		var ticks []tick
		for e := math.Floor(math.Log10(scale.min)); e <= math.Log10(scale.max); e++ {
			for _, m := range pattern {
				if v := m * math.Pow(10, e); v >= scale.min && v <= scale.max {
					ticks = append(ticks, tick{v, tidyExp(strconv.FormatFloat(v, 'g', 3, 64))})
				}
			}
		}
		if len(ticks) >= 2 && len(ticks) <= n+1 {
			return ticks
		}
	}
	return logTicks(scale.min, scale.max, n)
}

// contour draws the line z = level through every grid cell (marching squares;
// the two segments of a saddle are chosen by the cell's mean), and returns the
// middles of its segments in pixels.
func (s *surface) contour(level float64) (mids [][2]float64) {
	line := pen{withAlpha(white, 0.75), 1.5, nil}
	for i := range len(s.ys) - 1 {
		for j := range len(s.xs) - 1 {
			corners := [4][3]float64{
				{s.xs[j], s.ys[i], s.z[i][j]}, {s.xs[j+1], s.ys[i], s.z[i][j+1]},
				{s.xs[j+1], s.ys[i+1], s.z[i+1][j+1]}, {s.xs[j], s.ys[i+1], s.z[i+1][j]},
			}
			for _, seg := range s.segments(corners, level) {
				a, b := s.a.at(seg[0][0], seg[0][1]), s.a.at(seg[1][0], seg[1][1])
				s.a.p.stroke(line, s.a.box, a, b)
				mids = append(mids, [2]float64{(a[0] + b[0]) / 2, (a[1] + b[1]) / 2})
			}
		}
	}
	return mids
}

// labelContour writes the level on the point of its line nearest to the
// vertical through the centre, above it, that is free; the ground is the colour
// of the level itself.
func (s *surface) labelContour(t tick, mids [][2]float64, taken []image.Rectangle) []image.Rectangle {
	if t.label == "" {
		return taken
	}
	w := int(textWidth(smallFont, t.label)/2) + 6
	middle := float64(s.a.box.Min.X+s.a.box.Max.X) / 2
	height := float64(s.a.box.Min.Y+s.a.box.Max.Y) / 2
	best, least := image.Rectangle{}, math.Inf(1)
	for _, q := range mids {
		box := image.Rect(int(q[0])-w, int(q[1])-12, int(q[0])+w, int(q[1])+12)
		far := math.Abs(q[0] - middle)
		if q[1] > height {
			far += float64(s.a.box.Dx())
		}
		free := box.In(s.a.box)
		for _, o := range taken {
			free = free && !box.Overlaps(o)
		}
		if free && far < least {
			best, least = box, far
		}
	}
	if best.Empty() {
		return taken
	}
	ground := viridis.at(s.scale.norm(t.at))
	x, y := float64(best.Min.X+best.Max.X)/2, float64(best.Min.Y+best.Max.Y)/2
	s.a.p.plate(smallFont, textOn(ground), ground, x, y, t.label)
	return append(taken, best)
}

// segments of the level line in one cell, corners in counter-clockwise order.
func (s *surface) segments(c [4][3]float64, level float64) [][2][2]float64 {
	mean := 0.0
	for _, q := range c {
		if !s.ok(q[2]) {
			return nil
		}
		mean += s.scale.norm(q[2]) / 4
	}
	at := s.scale.norm(level)
	var cuts [][2]float64
	for k := range 4 {
		a, b := c[k], c[(k+1)%4]
		za, zb := s.scale.norm(a[2]), s.scale.norm(b[2])
		if (za >= at) != (zb >= at) {
			f := (at - za) / (zb - za)
			cuts = append(cuts, [2]float64{a[0] + f*(b[0]-a[0]), a[1] + f*(b[1]-a[1])})
		}
	}
	switch len(cuts) {
	case 2:
		return [][2][2]float64{{cuts[0], cuts[1]}}
	case 4: // saddle: the mean decides which corners hang together
		if (mean >= at) == (s.scale.norm(c[0][2]) >= at) {
			return [][2][2]float64{{cuts[0], cuts[1]}, {cuts[2], cuts[3]}}
		}
		return [][2][2]float64{{cuts[3], cuts[0]}, {cuts[1], cuts[2]}}
	}
	return nil
}
