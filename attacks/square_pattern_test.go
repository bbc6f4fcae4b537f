package attacks

import (
	"math"
	"math/rand/v2"
	"testing"
)

// slowLobes is the pattern laid down rectangle by rectangle, with the norm of the ball.
func slowLobes(norm Norm, side int) [][]float64 {
	power := map[Norm]float64{L2: 2, L1: 4}[norm]
	size := func(rows [][]float64) (size float64) {
		for _, row := range rows {
			for _, v := range row {
				if norm == L2 {
					size = math.Hypot(size, v)
				} else {
					size += math.Abs(v)
				}
			}
		}
		return size
	}
	grid := func(height int, sign float64) [][]float64 {
		rows := make([][]float64, height)
		for i := range rows {
			rows[i] = make([]float64, side)
		}
		if height == 0 {
			return rows
		}
		for k := 0; k <= max(height/2, side/2); k++ {
			for i := max(height/2-k, 0); i <= min(height/2+k, height-1); i++ {
				for j := max(side/2-k, 0); j <= min(side/2+k, side-1); j++ {
					rows[i][j] += 1 / math.Pow(float64(k+1), power)
				}
			}
		}
		total := size(rows)
		for _, row := range rows {
			for j := range row {
				row[j] *= sign / total
			}
		}
		return rows
	}
	rows := append(grid(side/2, 1), grid(side-side/2, -1)...)
	total := size(rows)
	for _, row := range rows {
		for j := range row {
			row[j] /= total
		}
	}
	return rows
}

func TestLobes(t *testing.T) {
	for _, norm := range []Norm{L2, L1} {
		for _, side := range []int{1, 2, 3, 4, 5, 7, 10, 29} {
			b := Ball{norm, 1}
			got, want := b.newLobes(side), slowLobes(norm, side)
			for i := range side {
				for j := range side {
					if v := got.at(b, i, j); !near(v, want[i][j], 1e-12) {
						t.Fatalf("%s, side %d: %g at %d, %d, want %g", norm, side, v, i, j, want[i][j])
					}
				}
			}
		}
	}
	if b := (Ball{L2, 1}); b.newLobes(1).at(b, 0, 0) != -1 {
		t.Error("side 1: the pattern is not one pixel of size 1")
	}
}

// TestSquareStarts checks the first images: stripes of ±eps, and patches that have a norm each and one pattern up to sign
// and transposition.
func TestSquareStarts(t *testing.T) {
	image := [3]int{32, 34, 3}
	dst := make([]float32, 32*34*3)
	at := func(i, j, c int) float64 { return float64(dst[(i*34+j)*3+c]) }
	rng := rand.New(rand.NewPCG(5, 6))
	SquareAttack{Ball: Ball{Linf, .25}}.stripes(dst, image, rng)
	var sum float64
	for j := range 34 {
		for c := range 3 {
			for i := range 32 {
				if at(i, j, c) != at(0, j, c) || math.Abs(at(i, j, c)) != .25 {
					t.Fatalf("stripes: %g at %d, %d, %d", at(i, j, c), i, j, c)
				}
			}
			sum += at(0, j, c)
		}
	}
	if math.Abs(sum) > 4*.25*math.Sqrt(34*3) {
		t.Errorf("stripes: signs add up to %g eps", sum/.25)
	}
	for _, norm := range []Norm{L2, L1} {
		SquareAttack{Ball: Ball{norm, 2}}.grid(dst, image, rng)
		want := slowLobes(norm, 6)
		scale := map[Norm]float64{L2: 2 / math.Sqrt(5*5*3), L1: 1}[norm]
		signs, turns := map[float64]int{}, map[bool]int{}
		for i := range 5 {
			for j := range 5 {
				top, left := 1+6*i, 2+6*j
				turned := math.Signbit(at(top, left, 0)) != math.Signbit(at(top, left+5, 0))
				turns[turned]++
				for c := range 3 {
					sign := math.Copysign(1, at(top, left, c))
					signs[sign]++
					for u := range 6 {
						for v := range 6 {
							value := want[u][v]
							if turned {
								value = want[v][u]
							}
							if !near(at(top+u, left+v, c), sign*value*scale, 1e-6) {
								t.Fatalf("%s: %g at %d, %d of patch %d, %d, want %g", norm, at(top+u, left+v, c), u, v, i, j, sign*value*scale)
							}
						}
					}
				}
			}
		}
		if signs[1] < 20 || signs[-1] < 20 || turns[true] < 5 || turns[false] < 5 {
			t.Errorf("%s: signs %v, transposed %v", norm, signs, turns)
		}
		for i := range 32 {
			for c := range 3 {
				if at(i, 0, c) != 0 || at(i, 33, c) != 0 || at(0, i, c) != 0 || at(31, i, c) != 0 {
					t.Fatalf("%s: the start reaches the border", norm)
				}
			}
		}
	}
}
