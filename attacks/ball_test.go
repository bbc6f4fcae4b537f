package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// randomImages are n float images of d pixels in [0, 1], with pixels at both walls among them.
func randomImages(rng *rand.Rand, n, d int) [][]float32 {
	x := make([][]float32, n)
	for i := range x {
		x[i] = make([]float32, d)
		for k := range x[i] {
			x[i][k] = float32(rng.IntN(256)) / 255
		}
		x[i][0], x[i][1] = 0, 1
	}
	return x
}

func moved(rng *rand.Rand, x [][]float32, scale float64) [][]float32 {
	out := make([][]float32, len(x))
	for i := range x {
		out[i] = slices.Clone(x[i])
		for k := range out[i] {
			out[i][k] += float32(scale * rng.NormFloat64())
		}
	}
	return out
}

// TestProject compares with the definition, pixel by pixel, and checks norm and box on images of CIFAR's size.
func TestProject(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(3, 4))
	const n, d = 4, 3072
	x := randomImages(rng, n, d)
	for _, ball := range []Ball{{Linf, 8. / 255}, {Linf, 1}, {L2, .5}, {L2, 3}, {L2, 1e-3}} {
		for _, scale := range []float64{1e-4, .1, 10} {
			t.Run(fmt.Sprintf("%s %.3g, noise %g", ball.Norm, ball.Eps, scale), func(t *testing.T) {
				adv := moved(rng, x, scale)
				got := eval(t, backend, func(in []*Node) []*Node { return []*Node{ball.Project(in[0], in[1])} }, adv, x)[0].Value().([][]float32)
				for i := range x {
					checkReturned(t, "projection", ball, got[i], x[i])
					want := projected(ball, adv[i], x[i])
					for k := range want {
						if math.Abs(float64(got[i][k])-want[k]) > 2e-7 {
							t.Fatalf("image %d, pixel %d: %g, want %g", i, k, got[i][k], want[k])
						}
					}
				}
			})
		}
	}
}

// projected is Project by its definition, in float64.
func projected(ball Ball, adv, x []float32) []float64 {
	out, shrink := make([]float64, len(x)), 1.
	if ball.Norm == L2 {
		var size float64
		for k := range x {
			size = math.Hypot(size, float64(adv[k])-float64(x[k]))
		}
		shrink = math.Min(1, ball.Eps/size)
	}
	for k := range x {
		delta := shrink * (float64(adv[k]) - float64(x[k]))
		if ball.Norm == Linf {
			delta = math.Max(-ball.Eps, math.Min(ball.Eps, delta))
		}
		out[k] = math.Max(0, math.Min(1, float64(x[k])+delta))
	}
	return out
}

func TestZeroEpsReturnsTheImage(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(5, 6))
	x := randomImages(rng, 3, 50)
	noise := moved(rng, x, 1)
	for _, norm := range []Norm{Linf, L2, L1} {
		for _, start := range []Start{None, Uniform, UniformUnclipped, Normal} {
			p := PGD{Ball: Ball{Norm: norm}, StepSize: .1, Start: start}
			got := eval(t, backend, func(in []*Node) []*Node {
				adv := p.Begin(in[0], in[1])
				for range 3 {
					adv = p.Step(in[0], adv, func(adv *Node) *Node { return ReduceSum(Square(adv), -1) })
				}
				return []*Node{adv}
			}, x, noise)[0].Value().([][]float32)
			for i := range x {
				for k := range x[i] {
					if math.Float32bits(got[i][k]) != math.Float32bits(x[i][k]) {
						t.Fatalf("%s, start %s: image %d, pixel %d: %g, want %g", norm, start, i, k, got[i][k], x[i][k])
					}
				}
			}
		}
	}
}

func TestDirection(t *testing.T) {
	backend := goBackend(t)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	cases := []struct {
		name string
		norm Norm
		grad []float32
		want []float32
	}{
		{"sign", Linf, []float32{3, -1e-30, 0, -2}, []float32{1, -1, 0, -1}},
		{"unit length", L2, []float32{3, 0, 0, -4}, []float32{.6, 0, 0, -.8}},
		{"tiny but not zero", L2, []float32{3e-11, 0, 0, -4e-11}, []float32{.6, 0, 0, -.8}},
		{"no gradient, Linf", Linf, []float32{0, 0, 0, 0}, []float32{0, 0, 0, 0}},
		{"no gradient, L2", L2, []float32{0, 0, 0, 0}, []float32{0, 0, 0, 0}},
		{"NaN and infinity count as zero, Linf", Linf, []float32{nan, inf, -inf, -2}, []float32{0, 0, 0, -1}},
		{"NaN and infinity count as zero, L2", L2, []float32{nan, inf, -inf, -2}, []float32{0, 0, 0, -1}},
		{"the largest alone", L1, []float32{3, 0, 0, -4}, []float32{0, 0, 0, -1}},
		{"equals share", L1, []float32{-4, 0, 4, -4}, []float32{-1. / 3, 0, 1. / 3, -1. / 3}},
		{"no gradient, L1", L1, []float32{0, 0, 0, 0}, []float32{0, 0, 0, 0}},
		{"NaN and infinity count as zero, L1", L1, []float32{nan, inf, -inf, -2}, []float32{0, 0, 0, -1}},
		{"large", L2, []float32{3e30, 0, 0, -4e30}, []float32{.6, 0, 0, -.8}},
	}
	for _, tc := range cases {
		got := eval(t, backend, func(in []*Node) []*Node {
			return []*Node{Ball{Norm: tc.norm}.Direction(in[0])}
		}, [][]float32{tc.grad})[0].Value().([][]float32)[0]
		for k := range got {
			if math.Abs(float64(got[k]-tc.want[k])) > 1e-7 || math.IsNaN(float64(got[k])) {
				t.Errorf("%s: direction %v, want %v", tc.name, got, tc.want)
				break
			}
		}
	}
}

// TestNormsOfBalls: the error about a norm offers none that is refused.
func TestNormsOfBalls(t *testing.T) {
	for _, norm := range []Norm{-1, L0, 4, 9} {
		err := Ball{norm, .1}.Validate()
		if err == nil || !strings.Contains(err.Error(), "norm "+norm.String()+": want linf or l2 or l1; only FMN takes l0") {
			t.Errorf("%s: error %v", norm, err)
		}
	}
}
