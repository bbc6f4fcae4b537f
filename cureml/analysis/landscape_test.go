package analysis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
)

// Every filter of a direction is as long as that of the weights, and points where it did.
func TestFilterNormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const filters, size = 4, 18
	w, d := make([]float32, filters*size), make([]float32, filters*size)
	for i := range w {
		w[i], d[i] = float32(rng.NormFloat64()), float32(3*rng.NormFloat64())
		if i%filters == 2 {
			w[i] = 0
		}
	}
	before := slices.Clone(d)
	filterNormal(d, w, filters)
	for f := range filters {
		var own, want, old, dot float64
		for i := f; i < len(w); i += filters {
			own += float64(d[i]) * float64(d[i])
			want += float64(w[i]) * float64(w[i])
			old += float64(before[i]) * float64(before[i])
			dot += float64(d[i]) * float64(before[i])
		}
		near(t, "length of a filter", math.Sqrt(own), math.Sqrt(want), 1e-6)
		near(t, "cosine with the direction before, times the lengths", dot, math.Sqrt(own*old), 1e-6)
	}
}

// The landscapes of an affine classifier with two classes are known: losses by hand, and the attack ends in the corner of
// the ball that is worst.
func TestLandscapeOfAffine(t *testing.T) {
	device := mltest.GoBackend(t)
	a := newAffine(3, [3]int{2, 2, 3}, 2)
	const n, d = attacks.DefaultBatch + 3, 12 // the last batch is not full
	images, labels := greyImages(4, n, d, 2)
	o := LandscapeOptions{Range: .5, Line: 5, Plane: 3, Reach: .05, Eps: .04, StepSize: .02, Steps: 5, Seed: 7}
	s, l := a.subject(device), newLandscaper(o)
	defer l.Close()
	if !slices.Equal(movable(s.Weights), []int{0}) {
		t.Fatalf("weights %v move, want the matrix alone", movable(s.Weights))
	}
	names := []string{"matrix", "bias"}
	found, err := l.measure(t.Context(), s, names, images, labels)
	if err != nil {
		t.Fatal(err)
	}
	var directions [2][]float32
	for k, axis := range []string{"1", "2"} {
		parts, err := l.direction(s, names, axis)
		if err != nil {
			t.Fatal(err)
		}
		directions[k] = values(t, parts[0])
		for class := range 2 {
			var own, want float64
			for i := range d {
				own += math.Pow(float64(directions[k][2*i+class]), 2)
				want += math.Pow(float64(a.w[i][class]), 2)
			}
			near(t, "squared length of a filter", own, want, 1e-5)
		}
	}
	if slices.Equal(directions[0], directions[1]) {
		t.Error("both directions are the same")
	}
	shifted := func(u, v float64) func(i, k int) float64 {
		return func(i, k int) float64 { return u*float64(directions[0][2*i+k]) + v*float64(directions[1][2*i+k]) }
	}
	// mean loss with W + shift at x + move
	loss := func(shift func(i, k int) float64, move func(image, i int) float64) (sum float64) {
		for k := range n {
			x := image(images, k, d)
			for i := range x {
				x[i] += move(k, i)
			}
			sum += crossEntropy(a.logits(x, shift), labels[k]) / n
		}
		return sum
	}
	still := func(int, int) float64 { return 0 }
	// uphill is the sign of the loss's gradient, which two classes make constant.
	uphill := func(shift func(i, k int) float64) func(k, i int) float64 {
		return func(k, i int) float64 {
			y := int(labels[k])
			return sign(float64(a.w[i][1-y]) + shift(i, 1-y) - float64(a.w[i][y]) - shift(i, y))
		}
	}
	for i, u := range []float64{-.5, -.25, 0, .25, .5} {
		shift := shifted(u, 0)
		near(t, "clean loss on the line", found.Clean[i], loss(shift, still), 1e-5)
		near(t, "attacked loss on the line", found.Adv[i], loss(shift, func(k, i int) float64 { return o.Eps * uphill(shift)(k, i) }), 1e-5)
	}
	var coins [][]float32
	err = eachBatch(a.image, images, labels, attacks.DefaultBatch, func(b *batch) error {
		c := values(t, l.coins(b))
		for k := range b.n {
			coins = append(coins, c[k*d:(k+1)*d])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for row, v := range []float64{-1, 0, 1} {
		for col, u := range []float64{-1, 0, 1} {
			near(t, "loss on the plane of weights", found.Weights[row][col], loss(shifted(u*o.Range, v*o.Range), still), 1e-5)
			move := func(k, i int) float64 {
				return o.Reach * (u*uphill(shifted(0, 0))(k, i) + v*float64(coins[k][i]))
			}
			near(t, "loss on the plane of images", found.Inputs[row][col], loss(nil, move), 1e-5)
		}
	}
}
