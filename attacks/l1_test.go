package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// nearestL1 is projectL1 by sorting the places where the total change bends, in float64.
func nearestL1(adv, x []float32, radius float64) []float64 {
	n := len(x)
	v, room := make([]float64, n), make([]float64, n)
	bends := []float64{0}
	for k := range x {
		v[k] = float64(adv[k]) - float64(x[k])
		room[k] = float64(x[k])
		if v[k] > 0 {
			room[k] = 1 - room[k]
		}
		bends = append(bends, math.Abs(v[k]), math.Abs(v[k])-room[k])
	}
	change := func(lambda float64) []float64 {
		out := make([]float64, n)
		for k := range out {
			out[k] = math.Copysign(math.Max(0, math.Min(math.Abs(v[k])-lambda, room[k])), v[k])
		}
		return out
	}
	total := func(lambda float64) (sum float64) {
		for _, c := range change(lambda) {
			sum += math.Abs(c)
		}
		return sum
	}
	lambda := 0.
	if total(0) > radius {
		slices.Sort(bends)
		for i := 1; i < len(bends); i++ {
			low, high := math.Max(bends[i-1], 0), math.Max(bends[i], 0)
			if a, b := total(low), total(high); a > radius && b <= radius {
				lambda = low + (a-radius)/(a-b)*(high-low)
			}
		}
	}
	out := change(lambda)
	for k := range out {
		out[k] += float64(x[k])
	}
	return out
}

// TestProjectL1 compares with the sorting method, for points inside and far outside, at walls, and with equal changes.
func TestProjectL1(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(21, 22))
	x := randomImages(rng, 4, 300)
	equal := moved(rng, x, 0)
	for i := range equal {
		for k := range equal[i] {
			equal[i][k] += .25 - .5*float32(k%2)
		}
	}
	points := map[string][][]float32{"near": moved(rng, x, 1e-4), "far": moved(rng, x, .1), "very far": moved(rng, x, 10), "equal changes": equal, "no change": x}
	for _, eps := range []float64{.01, 1, 12, 400} {
		for name, adv := range points {
			got := eval(t, backend, func(in []*Node) []*Node { return []*Node{Ball{L1, eps}.Project(in[0], in[1])} }, adv, x)[0].Value().([][]float32)
			for i := range x {
				where := fmt.Sprintf("%s, eps %g, image %d", name, eps, i)
				checkReturned(t, where, Ball{L1, eps}, got[i], x[i])
				if size := (Ball{L1, eps}).distance(got[i], x[i]); size > eps*(1+1e-9) {
					t.Errorf("%s: size %.12g beyond eps", where, size)
				}
				for k, want := range nearestL1(adv[i], x[i], eps) {
					if math.Abs(float64(got[i][k])-want) > 1.5e-7 {
						t.Fatalf("%s, pixel %d: %.9g, want %.9g", where, k, got[i][k], want)
					}
				}
			}
		}
	}
}

func TestSparse(t *testing.T) {
	backend := goBackend(t)
	nan := float32(math.NaN())
	for _, tc := range []struct {
		name  string
		grad  []float32
		share float64
		want  []float32
	}{
		{"two of five", []float32{1, -5, 2, 4, 0}, .4, []float32{0, -.5, 0, .5, 0}},
		{"shares round up", []float32{1, -5, 2, 4, 0}, .41, []float32{0, -1. / 3, 1. / 3, 1. / 3, 0}},
		{"almost none is one", []float32{1, -5, 2, 4, 0}, .01, []float32{0, -1, 0, 0, 0}},
		{"none is the largest", []float32{1, -5, 2, 4, 0}, 0, []float32{0, -1, 0, 0, 0}},
		{"all", []float32{1, -5, 2, 4, 0}, 1, []float32{.25, -.25, .25, .25, 0}},
		{"ties count", []float32{3, -3, 3, 3, 1}, .2, []float32{.25, -.25, .25, .25, 0}},
		{"nothing", []float32{0, 0, 0, 0, 0}, .4, []float32{0, 0, 0, 0, 0}},
		{"NaN counts as zero", []float32{nan, 1e-30, 0, 0, 0}, .2, []float32{0, 1, 0, 0, 0}},
	} {
		got := eval(t, backend, func(in []*Node) []*Node {
			return []*Node{sparse(in[0], MulScalar(OnesLike(reduceImages(in[0], ReduceMax)), tc.share))}
		}, [][]float32{tc.grad})[0].Value().([][]float32)[0]
		for k := range got {
			if math.Abs(float64(got[k]-tc.want[k])) > 1e-7 || math.IsNaN(float64(got[k])) {
				t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
				break
			}
		}
	}
}

// TestSparseAsAutoAttack holds the number of values kept against autopgd_base.py (fra31/auto-attack), which sorts |grad|
// in rising order and keeps from place int(clamp((1 - topk) n, 0, n-1)) on, in float32, for topk = 2/3 of a support and for
// the first steps' .2.
func TestSparseAsAutoAttack(t *testing.T) {
	const n = 3072
	grad := make([]float32, n)
	for i := range grad {
		grad[i] = float32(i + 1)
	}
	shares, want := []float32{firstShare}, []int{615}
	for _, support := range []float32{0, 1, 2, 3, 100, 299, 300, 1000, 3071, 3072} {
		topk := support / n / 1.5
		place := min(max((1-topk)*n, 0), n-1)
		shares, want = append(shares, topk), append(want, n-int(place))
	}
	rows := make([][]float32, len(shares))
	wide := make([][]float32, len(shares))
	for i, share := range shares {
		rows[i], wide[i] = grad, []float32{share}
	}
	got := eval(t, goBackend(t), func(in []*Node) []*Node { return []*Node{sparse(in[0], in[1])} }, rows, wide)[0].Value().([][]float32)
	for i, row := range got {
		kept := 0
		for _, v := range row {
			if v != 0 {
				kept++
			}
		}
		if kept != want[i] {
			t.Errorf("share %g: %d values move, want %d", shares[i], kept, want[i])
		}
	}
}

func TestSlideSkipsWalls(t *testing.T) {
	backend := goBackend(t)
	got := eval(t, backend, func(in []*Node) []*Node { return []*Node{slide(in[0], in[1])} },
		[][]float32{{1, 0, .5, .5}}, [][]float32{{9, -8, 1, -2}})[0].Value().([][]float32)[0]
	if !slices.Equal(got, []float32{0, 0, 0, -1}) {
		t.Errorf("direction %v, want that of the only large value that can move, the last", got)
	}
}

// TestUniformL1 checks the mean size of a uniform point of the ball in d dimensions, d/(d+1) eps, and the share of the
// positive signs.
func TestUniformL1(t *testing.T) {
	const d, eps, draws = 5, .5, 4000
	rng := rand.New(rand.NewPCG(31, 32))
	dst, zero := make([]float32, d), make([]float32, d)
	var sum float64
	positive := 0
	for range draws {
		PGD{Ball: Ball{L1, eps}, Start: Uniform}.Noise(dst, rng)
		size := Ball{Norm: L1}.distance(dst, zero)
		if size > eps*(1+1e-6) {
			t.Fatalf("noise of size %g beyond eps", size)
		}
		sum += size
		for _, v := range dst {
			if v > 0 {
				positive++
			}
		}
	}
	// The size is eps times a Beta(d, 1) variable, of deviation 0.14; signs have deviation 0.5. 5 standard errors allowed.
	if mean := sum / draws / eps; math.Abs(mean-d/(d+1.)) > 5*.14/math.Sqrt(draws) {
		t.Errorf("mean size %g eps, want %g", mean, d/(d+1.))
	}
	if share := float64(positive) / (d * draws); math.Abs(share-.5) > 5*.5/math.Sqrt(d*draws) {
		t.Errorf("%g of the signs positive, want 0.5", share)
	}
}
