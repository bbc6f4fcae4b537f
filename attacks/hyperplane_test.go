package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// slowMove is hyperplane.move by sorting, in float64, for one point.
func slowMove(norm Norm, x, w []float64, b float64) []float64 {
	gap := -b
	for i := range x {
		gap += w[i] * x[i]
	}
	d, room, pace := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
	var order []int
	for i := range x {
		if w[i] == 0 || norm != Linf && math.Abs(w[i]) < 1e-8 {
			continue
		}
		order = append(order, i)
		room[i], d[i], pace[i] = x[i], -1, 1
		if (w[i] < 0) == (gap >= 0) {
			room[i], d[i] = 1-x[i], 1
		}
		if norm == L2 {
			pace[i] = math.Abs(w[i])
		}
	}
	full := func(i int) float64 { // the lambda at which value i is at its wall
		if norm == L1 {
			return -math.Abs(w[i])
		}
		return room[i] / pace[i]
	}
	slices.SortFunc(order, func(i, j int) int {
		if full(i) < full(j) {
			return -1
		}
		return 1
	})
	// The values before some place in the order are at their walls, the others at lambda (L1: at 0).
	left, rate, lambda := math.Abs(gap), 0., math.Inf(1)
	if norm != L1 {
		for _, i := range order {
			rate += math.Abs(w[i]) * pace[i]
		}
	}
	for _, i := range order {
		gain := math.Abs(w[i]) * room[i]
		switch {
		case norm == L1:
			share := 1.
			if gain > left {
				share = left / gain
			}
			room[i] *= share
			left = math.Max(0, left-gain*share)
		case math.IsInf(lambda, 1):
			if rate*full(i) >= left {
				lambda = left / rate
				break
			}
			left -= gain
			rate -= math.Abs(w[i]) * pace[i]
		}
	}
	for i := range d {
		size := room[i]
		if norm != L1 && pace[i] > 0 {
			size = math.Min(lambda*pace[i], room[i])
		}
		d[i] *= size
	}
	return d
}

// planes are points and hyperplanes of one kind, [n, d].
func planes(rng *rand.Rand, kind string, n, d int) (x, w [][]float32, b [][]float64) {
	for range n {
		point, normal, offset := make([]float32, d), make([]float32, d), 0.
		scale := math.Pow(10, 6*rng.Float64()-3)
		for i := range point {
			point[i] = float32(rng.Float64())
			normal[i] = float32(scale * rng.NormFloat64())
			switch {
			case kind == "points on the walls" && i%2 == 0:
				point[i] = float32(rng.IntN(2))
			case kind == "grey levels":
				point[i] = float32(rng.IntN(256)) / 255
			case kind == "zero weights" && rng.IntN(2) == 0, kind == "no weights":
				normal[i] = 0
			case kind == "tiny weights" && i%3 > 0:
				normal[i] = []float32{9.9e-9, 1.1e-8}[i%2]
			case kind == "equal weights":
				normal[i] = float32(math.Copysign(scale, float64(normal[i])))
			case kind == "small weights":
				normal[i] *= 1e-12
			}
			offset += float64(point[i]) * float64(normal[i])
		}
		var reach float64
		for _, v := range normal {
			reach += math.Abs(float64(v))
		}
		switch kind {
		case "through the point":
		case "no weights":
			offset = rng.NormFloat64()
		case "out of reach":
			offset += math.Copysign(reach*(1+rng.Float64()), rng.NormFloat64())
		default:
			offset += .5 * (rng.Float64() - .5) * math.Pow(10, -4*rng.Float64()) * reach
		}
		x, w, b = append(x, point), append(w, normal), append(b, []float64{offset})
	}
	return x, w, b
}

// TestHyperplaneMove compares with slowMove, and checks by the definition that the hyperplane is met or the box used up.
func TestHyperplaneMove(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(51, 52))
	const n = 24
	for _, norm := range []Norm{Linf, L2, L1} {
		for _, d := range []int{1, 7, 90} {
			for _, kind := range []string{
				"anywhere", "points on the walls", "grey levels", "zero weights", "no weights", "tiny weights", "equal weights",
				"small weights", "through the point", "out of reach",
			} {
				x, w, b := planes(rng, kind, n, d)
				got := eval(t, backend, func(in []*Node) []*Node {
					return []*Node{hyperplane{in[1], in[2]}.move(norm, in[0])}
				}, x, w, b)[0].Value().([][]float64)
				met := 0
				for row := range x {
					where := fmt.Sprintf("%s, %d values, %s, row %d", norm, d, kind, row)
					point, normal := widen(x[row]), widen(w[row])
					want := slowMove(norm, point, normal, b[row][0])
					gap, left, reach := -b[row][0], -b[row][0], 0.
					for i, v := range got[row] {
						if end := point[i] + v; !(end >= 0 && end <= 1) {
							t.Fatalf("%s: value %d goes to %g", where, i, end)
						}
						if kind != "equal weights" && math.Abs(v-want[i]) > 2e-7 {
							t.Fatalf("%s: value %d moves by %.9g, want %.9g", where, i, v, want[i])
						}
						gap += normal[i] * point[i]
						left += normal[i] * (point[i] + v)
						reach += math.Abs(normal[i] * want[i])
					}
					if size, least := sizeOf(norm, got[row]), sizeOf(norm, want); math.Abs(size-least) > 1e-6*least+1e-12 {
						t.Errorf("%s: size %.9g, want %.9g", where, size, least)
					}
					if reach < math.Abs(gap)*(1-1e-9) {
						continue // out of reach
					}
					met++
					if math.Abs(left) > 1e-6*math.Abs(gap)+1e-12*sizeOf(L1, normal) {
						t.Errorf("%s: ends at %g from the hyperplane, began at %g", where, left, gap)
					}
				}
				never := kind == "out of reach" || kind == "no weights" || kind == "small weights" && norm != Linf
				if never && met > 0 || !never && met < n/4 {
					t.Errorf("%s, %d values, %s: %d hyperplanes met", norm, d, kind, met)
				}
			}
		}
	}
}

// TestHyperplaneAtFullSize does the same for images of CIFAR's size, where many grey levels are equal.
func TestHyperplaneAtFullSize(t *testing.T) {
	backend := goBackend(t)
	x, w, b := planes(rand.New(rand.NewPCG(53, 54)), "grey levels", 3, 3072)
	for _, norm := range []Norm{Linf, L2, L1} {
		got := eval(t, backend, func(in []*Node) []*Node {
			return []*Node{hyperplane{in[1], in[2]}.move(norm, in[0])}
		}, x, w, b)[0].Value().([][]float64)
		for row := range x {
			want := slowMove(norm, widen(x[row]), widen(w[row]), b[row][0])
			for i, v := range got[row] {
				if math.Abs(v-want[i]) > 2e-7 {
					t.Fatalf("%s, row %d: value %d moves by %.9g, want %.9g", norm, row, i, v, want[i])
				}
			}
		}
	}
}
