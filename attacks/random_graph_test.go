package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestThreefry has the known answers that come with Random123 (kat_vectors, threefry2x32 of 20 rounds).
func TestThreefry(t *testing.T) {
	backend := goBackend(t)
	const ones = math.MaxUint32
	column := func(k int) [][]uint32 {
		table := [][4]uint32{{0, 0, 0, 0}, {ones, ones, ones, ones}, {0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3}}
		var out [][]uint32
		for _, row := range table {
			out = append(out, []uint32{row[k]})
		}
		return out
	}
	out := eval(t, backend, func(in []*Node) []*Node {
		x0, x1 := threefry(in[0], in[1], in[2], in[3])
		return []*Node{Concatenate([]*Node{x0, x1}, -1)}
	}, column(0), column(1), column(2), column(3))[0].Value().([][]uint32)
	for i, want := range [][]uint32{{0x6b200159, 0x99ba4efe}, {0x1cb996fc, 0xbb002be7}, {0xc4923a9c, 0x483df7a0}} {
		if !slices.Equal(out[i], want) {
			t.Errorf("vector %d: %x, want %x", i, out[i], want)
		}
	}
}

// threefryHost is the cipher in plain Go, as the paper's section 3.3 has it.
func threefryHost(key0, key1, x0, x1 uint32) (uint32, uint32) {
	keys := [3]uint32{key0, key1, key0 ^ key1 ^ 0x1BD11BDA}
	rotations := [8]int{13, 15, 26, 6, 17, 29, 16, 24}
	x0, x1 = x0+keys[0], x1+keys[1]
	for round := range 20 {
		x0 += x1
		x1 = (x1<<rotations[round%8] | x1>>(32-rotations[round%8])) ^ x0
		if s := uint32(round/4 + 1); round%4 == 3 {
			x0, x1 = x0+keys[s%3], x1+keys[(s+1)%3]+s
		}
	}
	return x0, x1
}

func randomKeys(rng *rand.Rand, n int) [][]uint32 {
	keys := make([][]uint32, n)
	for i := range keys {
		keys[i] = []uint32{rng.Uint32(), rng.Uint32()}
	}
	return keys
}

// TestRandomRows checks values, shape and the dependence on the row's own key alone.
func TestRandomRows(t *testing.T) {
	backend := goBackend(t)
	keys := randomKeys(rand.New(rand.NewPCG(1, 2)), 4)
	draw := func(keys [][]uint32) (uniform, normal [][]float32) {
		out := eval(t, backend, func(in []*Node) []*Node {
			u, z := KeyedUniform(in[0], 3, 5), KeyedNormal(in[0], 3, 5)
			return []*Node{Reshape(u, len(keys), 15), Reshape(z, len(keys), 15)}
		}, keys)
		return out[0].Value().([][]float32), out[1].Value().([][]float32)
	}
	uniform, normal := draw(keys)
	for i, key := range keys {
		for k := range 15 {
			first, second := threefryHost(key[0], key[1], uint32(k%8), 0)
			a, b := float64(first>>8)/(1<<24), float64(second>>8)/(1<<24)
			u, z := a, math.Sqrt(-2*math.Log(1-a))*math.Cos(2*math.Pi*b)
			if k >= 8 {
				u, z = b, math.Sqrt(-2*math.Log(1-a))*math.Sin(2*math.Pi*b)
			}
			if float64(uniform[i][k]) != u || math.Abs(float64(normal[i][k])-z) > 1e-5 {
				t.Errorf("row %d, value %d: %g and %g, want %g and %g", i, k, uniform[i][k], normal[i][k], u, z)
			}
		}
	}
	other, _ := draw([][]uint32{keys[2], {0, 0}, keys[0]})
	if !slices.Equal(other[0], uniform[2]) || !slices.Equal(other[2], uniform[0]) {
		t.Error("a row depends on its place or on other rows")
	}
}

// TestRandomMoments tests distribution and independence of many draws; each bound is about 4.5 standard deviations, and
// the keys are consecutive numbers, as bad as keys get.
func TestRandomMoments(t *testing.T) {
	backend := goBackend(t)
	const rows, n = 64, 512
	keys := make([][]uint32, rows)
	for i := range keys {
		keys[i] = []uint32{uint32(i), 0}
	}
	out := eval(t, backend, func(in []*Node) []*Node {
		return []*Node{KeyedUniform(in[0], n), KeyedNormal(in[0], n), KeyedUniform(SplitKeys(in[0], 0), n), KeyedUniform(SplitKeys(in[0], 1), n)}
	}, keys)
	values := func(k int) [][]float64 {
		var list [][]float64
		for _, row := range out[k].Value().([][]float32) {
			list = append(list, widen(row))
		}
		return list
	}
	uniform, normal := values(0), values(1)

	// chi-square of 64 bins: mean 63, deviation sqrt(126); of 16 x 16 bins of pairs: mean 255, deviation sqrt(510).
	chi := func(name string, bins int, add func(hit func(bin int))) {
		counts, total := make([]float64, bins), 0.
		add(func(bin int) { counts[bin]++; total++ })
		var sum float64
		for _, c := range counts {
			sum += (c - total/float64(bins)) * (c - total/float64(bins)) / (total / float64(bins))
		}
		if freedom := float64(bins - 1); math.Abs(sum-freedom) > 4.5*math.Sqrt(2*freedom) {
			t.Errorf("%s: chi-square %.1f of %d bins", name, sum, bins)
		}
	}
	pairs := func(a, b func(i, k int) float64) func(hit func(int)) {
		return func(hit func(int)) {
			for i := range rows {
				for k := range n {
					hit(16*int(16*a(i, k)) + int(16*b(i, k)))
				}
			}
		}
	}
	at := func(list [][]float64, row, column int) func(i, k int) float64 {
		return func(i, k int) float64 { return list[(i+row)%rows][(k+column)%n] }
	}
	chi("uniform", 64, func(hit func(int)) {
		for _, row := range uniform {
			for _, v := range row {
				hit(int(64 * v))
			}
		}
	})
	chi("neighbours in a row", 256, pairs(at(uniform, 0, 0), at(uniform, 0, 1)))
	chi("halves of a row", 256, pairs(at(uniform, 0, 0), at(uniform, 0, n/2)))
	chi("neighbouring rows", 256, pairs(at(uniform, 0, 0), at(uniform, 1, 0)))
	chi("a key and its first consumer", 256, pairs(at(uniform, 0, 0), at(values(2), 0, 0)))
	chi("two consumers", 256, pairs(at(values(2), 0, 0), at(values(3), 0, 0)))
	chi("normal by its distribution", 64, func(hit func(int)) {
		for _, row := range normal {
			for _, v := range row {
				hit(min(int(64*.5*math.Erfc(-v/math.Sqrt2)), 63))
			}
		}
	})
	var moments [5]float64
	for i, row := range normal {
		for k, v := range row {
			moments[4] += v * normal[(i+1)%rows][k] / (rows * n)
			for m := range 4 {
				moments[m] += math.Pow(v, float64(m+1)) / (rows * n)
			}
		}
	}
	deviation := [5]float64{1, math.Sqrt(2), math.Sqrt(15), math.Sqrt(96), 1}
	for m, want := range [5]float64{0, 1, 0, 3, 0} {
		if math.Abs(moments[m]-want) > 4.5*deviation[m]/math.Sqrt(rows*n) {
			t.Errorf("normal: moment %d is %g, want %g", m+1, moments[m], want)
		}
	}
}

func TestRandomPanicsOnMisuse(t *testing.T) {
	backend := goBackend(t)
	for name, fn := range map[string]func(x *Node) *Node{
		"one word":     func(x *Node) *Node { return KeyedUniform(x, 3) },
		"a float":      func(x *Node) *Node { return KeyedNormal(Concatenate([]*Node{ZerosLike(x), x}, -1), 3) },
		"no dimension": func(x *Node) *Node { return KeyedUniform(Concatenate([]*Node{x, x}, -1), 0) },
	} {
		exec, err := NewExec(backend, fn)
		if err != nil {
			t.Fatal(err)
		}
		var keys any = [][]uint32{{1}}
		if name == "a float" {
			keys = [][]float32{{1}}
		}
		if _, err := exec.Call(keys); err == nil {
			t.Errorf("%s: accepted", name)
		}
		exec.Finalize()
	}
}
