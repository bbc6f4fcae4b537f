package viz

import (
	"fmt"
	"image"
	"math"
)

// TradeoffPoint is one model: its natural and robust accuracy, both as shares
// or both in per cent.
type TradeoffPoint struct {
	Name     string
	Nat, Rob float64
	Group    string // points of a group share colour and sign, named in the legend
}

// TradeoffOptions are the settings of [Tradeoff].
type TradeoffOptions struct {
	Title          string
	XLabel, YLabel string     // "" means "natural accuracy", "robust accuracy"
	Width, Height  float64    // cm; 0 means 15 x 11
	XRange, YRange [2]float64 // zero means: from the data
}

// Tradeoff draws models in the plane of natural and robust accuracy, over
// contours of their harmonic mean, the natural-robustness ratio of CURE
// (Gowda et al., ICLR 2024)
//
//	NRR = 2 nat rob / (nat + rob)
//
// so that a model on a higher contour trades better.
func Tradeoff(opt TradeoffOptions, points ...TradeoffPoint) (*Figure, error) {
	fig, err := tradeoff(opt, points)
	if err != nil {
		return nil, fmt.Errorf("viz: trade-off: %w", err)
	}
	return fig, nil
}

func tradeoff(opt TradeoffOptions, points []TradeoffPoint) (*Figure, error) {
	if len(points) == 0 {
		return nil, fmt.Errorf("no points: want at least one")
	}
	xlo, xhi := math.Inf(1), math.Inf(-1)
	ylo, yhi := xlo, xhi
	var groups []string
	order := map[string]int{}
	for _, q := range points {
		if !(usable(q.Nat) && q.Nat >= 0 && usable(q.Rob) && q.Rob >= 0) {
			return nil, fmt.Errorf("point %q: natural accuracy %g, robust accuracy %g: want finite values >= 0", q.Name, q.Nat, q.Rob)
		}
		xlo, xhi = min(xlo, q.Nat), max(xhi, q.Nat)
		ylo, yhi = min(ylo, q.Rob), max(yhi, q.Rob)
		if _, seen := order[q.Group]; !seen {
			order[q.Group] = len(groups)
			groups = append(groups, q.Group)
		}
	}
	if opt.XLabel == "" {
		opt.XLabel = "natural accuracy"
	}
	if opt.YLabel == "" {
		opt.YLabel = "robust accuracy"
	}
	if opt.Height == 0 {
		opt.Height = 11
	}
	x, err := newAxis(opt.XLabel, xlo, xhi, widened(opt.XRange, xlo, xhi), false)
	if err != nil {
		return nil, err
	}
	y, err := newAxis(opt.YLabel, ylo, yhi, widened(opt.YRange, ylo, yhi), false)
	if err != nil {
		return nil, err
	}
	s := sheet{title: opt.Title, width: opt.Width, height: opt.Height}
	for i, g := range groups {
		if g != "" {
			s.entries = append(s.entries, lineEntry(g, pen{color: Palette[i%len(Palette)]}, markers[i%len(markers)]))
		}
	}
	contour := pen{frameGrey, 1.5, []float64{6, 5}}
	s.entries = append(s.entries, lineEntry("NRR (harmonic mean)", contour, nil))
	p, room, err := s.open()
	if err != nil {
		return nil, err
	}
	a := newAxes(p, room, x, y, 0)
	a.drawGrid(true, true)
	taken := drawNRR(a, contour)
	for _, q := range points {
		at := a.at(q.Nat, q.Rob)
		i := order[q.Group]
		markers[i%len(markers)](p, at[0], at[1], 8, Palette[i%len(Palette)])
		taken = append(taken, image.Rect(int(at[0])-9, int(at[1])-9, int(at[0])+9, int(at[1])+9))
	}
	for _, q := range points {
		taken = append(taken, labelPoint(a, a.at(q.Nat, q.Rob), q.Name, taken))
	}
	a.drawFrame()
	return p.figure(), nil
}

// widened gives labels and contours some room around the data, without going
// below zero.
func widened(asked [2]float64, lo, hi float64) [2]float64 {
	if asked != [2]float64{} {
		return asked
	}
	margin := 0.14 * (hi - lo)
	if margin <= 1e-9*hi {
		margin = max(0.1*hi, 1e-3)
	}
	return [2]float64{max(0, lo-margin), hi + margin}
}

// drawNRR draws the contours at round values of the harmonic mean and returns the places that lines and labels take.
func drawNRR(a *axes, line pen) []image.Rectangle {
	var taken []image.Rectangle
	lo, hi := harmonic(a.x.min, a.y.min), harmonic(a.x.max, a.y.max)
	for _, level := range linearTicks(lo, hi, 6, false) {
		k := level.at
		if k <= lo || k >= hi {
			continue
		}
		var pts [][2]float64
		for i := range 201 {
			nat := a.x.min + (a.x.max-a.x.min)*float64(i)/200
			if 2*nat <= k { // no robust accuracy reaches this mean
				continue
			}
			if rob := contourRob(k, nat); rob >= a.y.min && rob <= a.y.max {
				pts = append(pts, a.at(nat, rob))
			}
		}
		if len(pts) < 2 {
			continue
		}
		a.p.stroke(line, a.box, pts...)
		for _, q := range pts {
			taken = append(taken, image.Rect(int(q[0])-2, int(q[1])-2, int(q[0])+2, int(q[1])+2))
		}
		end := pts[max(0, len(pts)-8)]
		w := int(textWidth(smallFont, level.label)/2) + 3
		a.p.plate(smallFont, softInk, white, end[0], end[1], level.label)
		taken = append(taken, image.Rect(int(end[0])-w, int(end[1])-9, int(end[0])+w, int(end[1])+9))
	}
	return taken
}

// contourRob is the robust accuracy that gives harmonic mean k with nat > k/2.
func contourRob(k, nat float64) float64 { return k * nat / (2*nat - k) }

func harmonic(a, b float64) float64 {
	if a+b == 0 {
		return 0
	}
	return 2 * a * b / (a + b)
}

// labelPoint writes a name beside a point, at the nearest of some places that
// covers nothing taken, or else the one that covers least, and returns its box.
func labelPoint(a *axes, q [2]float64, name string, taken []image.Rectangle) image.Rectangle {
	if name == "" {
		return image.Rectangle{}
	}
	name = truncate(smallFont, name, 0.4*float64(a.box.Dx()))
	w, h := textWidth(smallFont, name), capHeight(smallFont)
	var best image.Rectangle
	var bestX, bestY float64
	least := math.MaxInt
	for _, d := range []float64{12, 26, 42, 60} {
		for _, dir := range [][2]float64{{1, 0}, {-1, 0}, {0, -1}, {0, 1}, {0.8, -0.8}, {-0.8, -0.8}, {0.8, 0.8}, {-0.8, 0.8}} {
			x := q[0] + d*dir[0] - w*(1-dir[0])/2
			y := q[1] + d*dir[1] - h*(1-dir[1])/2
			box := image.Rect(int(x)-2, int(y)-2, int(x+w)+2, int(y+h)+2)
			cover := box.Dx()*box.Dy() - area(box.Intersect(a.box)) // outside counts as covered
			cover *= 4
			for _, t := range taken {
				cover += area(box.Intersect(t))
			}
			if cover < least {
				least, best, bestX, bestY = cover, box, x, y
			}
		}
	}
	if mid := [2]float64{bestX + w/2, bestY + h/2}; math.Abs(mid[1]-q[1]) > h+12 {
		a.p.stroke(pen{frameGrey, 1, nil}, image.Rectangle{}, q, [2]float64{mid[0], mid[1] - math.Copysign(h/2+2, mid[1]-q[1])})
	}
	a.p.text(smallFont, ink, bestX, bestY, left, top, name)
	return best
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }
