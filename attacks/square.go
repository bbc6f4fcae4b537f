package attacks

import (
	"fmt"
	"math"
)

// squarePresets has the settings of AutoAttack.
var squarePresets = []Attack{{Name: "square", Method: SquareAttack{Ball: standardBall, Queries: 5000, Restarts: 1}}}

// SquareAttack is the Square Attack (Andriushchenko et al. 2020, algorithms 1 to 3; for L1 Croce and Hein 2021), a random
// search that sees scores alone: it changes a square window of the best image so far and keeps the change where that
// lowers the margin z_y - max_{j != y} z_j. A run takes 1 + Queries forward passes and no gradient, less those for queries
// that in Linf would change nothing (Result.Skipped); an image leaves it at its first misclassified proposal. What the
// search returns for the others is the image of the lowest margin.
//
// On a random model every query takes Model.Forwards passes, with the mean of their margins, as its authors advise
// (auto-attack, issue 56). An image leaves only where all of these and
// as many again are wrong, which a lucky pass or two among thousands of queries do not bring about.
//
// Linf: from vertical stripes x ± eps; a window becomes x ± eps, with one random sign per channel. L2 and L1: from a grid
// of patches; the mass of one window moves into another, along a random pattern (see lobes) added to what was there, and
// the perturbation gets length eps again before it is clipped to the box (in L1: is projected to ball and box). Windows
// have the side that the schedule says; in L2 and L1 odd and at least 3, where the image is not smaller. Images need not
// be square.
//
// Positions, signs and patterns are drawn for each image on its own. The reference code (fra31/auto-attack, square.py)
// draws one position for the whole batch, so that its verdict on an image depends on the others of its batch.
type SquareAttack struct {
	Ball     Ball
	Queries  int     // proposals of a run
	Restarts int     // runs from fresh starts; 0 means 1
	P        float64 // share of the image that the first windows cover; 0 means 0.8
	Rescale  bool    // stretch the schedule of sides, made for 10,000 queries, to Queries; AutoAttack does not

	// Reference keeps two quirks of the reference code: windows never touch the last row and column, unless they are as
	// high or wide as the image, and the search gives an image up at margin 0, which is no success where the label wins
	// the tie.
	Reference bool
}

// Budget is the ball.
func (s SquareAttack) Budget() Ball { return s.Ball }

func (SquareAttack) takes() []string { return []string{"queries", "restarts"} }

func (s SquareAttack) with(ball Ball, o Override) Method {
	s.Ball = ball
	set(&s.Queries, o.Queries)
	set(&s.Restarts, o.Restarts)
	return s
}

// Validate says what is wrong with the settings. Any number of classes will do.
func (s SquareAttack) Validate(int) error {
	if err := s.Ball.Validate(); err != nil {
		return err
	}
	switch {
	case s.Queries < 1:
		return fmt.Errorf("queries %d: want at least 1", s.Queries)
	case s.Restarts < 0:
		return fmt.Errorf("restarts %d: want at least 1", s.Restarts)
	case !(s.P >= 0 && s.P <= 1):
		return fmt.Errorf("p %g: want a share of the image, from 0 to 1", s.P)
	}
	return nil
}

func (s SquareAttack) runs() int { return max(s.Restarts, 1) }

func (s SquareAttack) passes() int { return 1 + s.Queries }

func (s SquareAttack) goal() goal { return goal{loss: lossMargin} }

func (s SquareAttack) target(int, []float32) int { return -1 }

// halvings are the queries, counted from 0, after which the share of the image that a window covers is halved.
var halvings = []int{10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000}

// scheduleLength is the number of queries that halvings are made for.
const scheduleLength = 10_000

// share is the part of the image that the window of a query, counted from 0, covers.
func (s SquareAttack) share(query int) float64 {
	share := s.P
	if share == 0 {
		share = .8
	}
	if s.Rescale {
		query = query * scheduleLength / s.Queries
	}
	for _, after := range halvings {
		if query > after {
			share /= 2
		}
	}
	return share
}

// side of the window of a query in images of that height and width.
func (s SquareAttack) side(query, height, width int) int {
	side := int(math.RoundToEven(math.Sqrt(s.share(query) * float64(height*width))))
	if s.Ball.Norm == Linf {
		side = max(side, 1)
	} else {
		side = max(side, 3) | 1
	}
	return min(side, height, width)
}
