package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestSquareSchedule has the sides of the reference code in images of 32 x 32, and of shapes with a side of 1.
func TestSquareSchedule(t *testing.T) {
	type stretch struct{ from, to, side int }
	linf := []stretch{{0, 10, 29}, {11, 50, 20}, {51, 200, 14}, {201, 500, 10}, {501, 1000, 7}, {1001, 2000, 5}, {2001, 4000, 4}, {4001, 6000, 3}, {6001, 8000, 2}, {8001, 9999, 1}}
	for _, tc := range []struct {
		name   string
		s      SquareAttack
		height int
		width  int
		want   []stretch
	}{
		{"linf", SquareAttack{Queries: 5000}, 32, 32, linf},
		{"its whole length", SquareAttack{Queries: 10000, Rescale: true}, 32, 32, linf},
		{"p", SquareAttack{Queries: 5000, P: .4}, 32, 32, []stretch{{0, 10, 20}, {11, 50, 14}, {51, 200, 10}}},
		{"stretched", SquareAttack{Queries: 5000, Rescale: true}, 32, 32, []stretch{{0, 5, 29}, {6, 25, 20}, {26, 100, 14}, {101, 250, 10}, {251, 500, 7}, {501, 1000, 5}, {1001, 2000, 4}, {2001, 3000, 3}, {3001, 4000, 2}, {4001, 4999, 1}}},
		{"squeezed", SquareAttack{Queries: 100, Rescale: true}, 32, 32, []stretch{{0, 0, 29}, {1, 2, 14}, {3, 5, 10}, {6, 10, 7}, {11, 20, 5}, {21, 40, 4}, {41, 60, 3}, {61, 80, 2}, {81, 99, 1}}},
		{"l2", SquareAttack{Ball: Ball{L2, .5}, Queries: 5000}, 32, 32, []stretch{{0, 10, 29}, {11, 50, 21}, {51, 200, 15}, {201, 500, 11}, {501, 1000, 7}, {1001, 2000, 5}, {2001, 4000, 5}, {4001, 8000, 3}}},
		{"l1 is as l2", SquareAttack{Ball: Ball{L1, 12}, Queries: 5000}, 32, 32, []stretch{{51, 200, 15}, {4001, 4999, 3}}},
		{"wide", SquareAttack{Queries: 5000}, 3, 50, []stretch{{0, 10, 3}, {11, 50, 3}, {501, 1000, 3}, {1001, 2000, 2}, {2001, 4000, 1}}},
		{"a column", SquareAttack{Queries: 5000}, 6, 1, []stretch{{0, 4999, 1}}},
		{"a column in l2", SquareAttack{Ball: Ball{L2, .5}, Queries: 5000}, 6, 1, []stretch{{0, 4999, 1}}},
		{"low in l2", SquareAttack{Ball: Ball{L2, .5}, Queries: 5000}, 2, 9, []stretch{{0, 4999, 2}}},
	} {
		for _, want := range tc.want {
			for _, query := range []int{want.from, want.to} {
				if got := tc.s.side(query, tc.height, tc.width); got != want.side {
					t.Errorf("%s: query %d of %dx%d: side %d, want %d", tc.name, query, tc.height, tc.width, got, want.side)
				}
			}
		}
	}
}

// TestSquareDraws checks that each choice of a query takes all its values, about as often.
func TestSquareDraws(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for _, tc := range []struct {
		reference bool
		last      int
		want      []int
	}{{false, 3, []int{0, 1, 2, 3}}, {true, 3, []int{0, 1, 2}}, {false, 0, []int{0}}, {true, 0, []int{0}}} {
		counts := make([]int, 5)
		for range 4000 {
			counts[int(SquareAttack{Reference: tc.reference}.corner(tc.last, rng))]++
		}
		for v, count := range counts {
			mean := 0.
			if slices.Contains(tc.want, v) {
				mean = 4000 / float64(len(tc.want))
			}
			if math.Abs(float64(count)-mean) > 5*math.Sqrt(mean) {
				t.Errorf("reference %v, last %d: position %d %d times of 4000, want about %g", tc.reference, tc.last, v, count, mean)
			}
		}
	}
	s := SquareAttack{Ball: Ball{L2, 1}, Queries: 5000}
	w := s.walk(newLanes(&engine{size: 1, model: Model{Image: [3]int{8, 9, 2}, Classes: 2}}, s, nil)).(*squareWalk)
	sums := make([]float64, squareSigns+2)
	for range 1000 {
		plan := make([]float32, len(sums))
		w.draw(plan, 3000, rng) // side 3
		for k, v := range plan {
			sums[k] += float64(v)
		}
	}
	for k, want := range map[int]float64{squareTop: 2.5, squareFromTop: 2.5, squareLeft: 3, squareFromLeft: 3, squareTurned: .5, squareSigns: 0, squareSigns + 1: 0, squareSide: 3} {
		if math.Abs(sums[k]/1000-want) > .32 {
			t.Errorf("column %d of the plan is %g on average, want about %g", k, sums[k]/1000, want)
		}
	}
}

// TestSquareGivesUpTies checks that a tie that the label wins is no success: with Reference it ends the run, without it
// costs all queries that change something. A tie that another class wins is a success.
func TestSquareGivesUpTies(t *testing.T) {
	model := Model{
		Backend: goBackend(t), Classes: 2, Image: [3]int{1, 2, 1},
		Logits: func(_ []*Node, x *Node) *Node { return MulScalar(Reshape(x, x.Shape().Dim(0), 2), 0) },
	}
	for reference, passes := range map[bool]int64{true: 1, false: 8} {
		s := SquareAttack{Ball: Ball{Linf, .1}, Queries: 7, Reference: reference}
		r := evaluate(t, model, make([]uint8, 2), []int32{0}, []Attack{{Name: "square", Method: s}}, Options{}).Attacks[0]
		if !r.RobustFlags[0] || r.Forwards+r.Skipped != passes+1 {
			t.Errorf("reference %v: robust %v after %d forwards and %d left out, want %d and a verification", reference, r.RobustFlags[0], r.Forwards, r.Skipped, passes)
		}
	}
}

func TestSquareSettings(t *testing.T) {
	good := squarePresets[0]
	if want := (SquareAttack{Ball: Ball{Linf, 8. / 255}, Queries: 5000, Restarts: 1}); good.Method != want || good.Validate(2) != nil {
		t.Errorf("preset %+v, %v", good, good.Validate(2))
	}
	got, err := good.With(Override{Norm: new(L2), Eps: new(.5), Steps: new(7), Queries: new(200), Restarts: new(3), StepSize: new(.1)})
	if want := (SquareAttack{Ball: Ball{L2, .5}, Queries: 200, Restarts: 3}); err != nil || got.Method != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, tc := range []struct {
		change func(s *SquareAttack)
		want   string
	}{
		{func(s *SquareAttack) { s.Queries = 0 }, "queries 0"},
		{func(s *SquareAttack) { s.Restarts = -2 }, "restarts -2"},
		{func(s *SquareAttack) { s.P = 1.5 }, "p 1.5"},
		{func(s *SquareAttack) { s.P = math.NaN() }, "p NaN"},
		{func(s *SquareAttack) { s.Ball.Eps = 8 }, "eps 8"},
		{func(s *SquareAttack) { s.Ball.Norm = 7 }, "norm Norm(7)"},
	} {
		s := good.Method.(SquareAttack)
		tc.change(&s)
		if err := s.Validate(10); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", s, err, tc.want)
		}
	}
}
