package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSquareOnLinearModels checks in Linf that Square breaks an image exactly when its budget exceeds the true distance by
// 1%: at side 1 it tries every pixel with all signs of its channels, which is a search for the sign pattern of the weights.
//
// In L2 and L1 windows of 3 x 3 and their pattern cannot make the perturbation of steepest descent, so that only the other
// half holds: nothing is broken beyond its distance. What must fall follows for images of one channel and windows of one
// pixel: if no move of the mass of one pixel to another lowers the margin any more, the perturbation is worth at least that
// of all mass on the pixel of the largest weight. In L1 this is the true distance, in L2 eps |w|_inf >= |f|. Elsewhere the
// factor is what these shapes were measured to need.
func TestSquareOnLinearModels(t *testing.T) {
	backend := goBackend(t)
	const n = 9
	for _, tc := range []struct {
		image   [3]int
		size    int
		queries int
		loose   map[Norm]float64 // how much more than the true distance breaks for certain
	}{
		{[3]int{6, 1, 1}, 1, 200, map[Norm]float64{Linf: 1.01, L1: 1.01}},
		{[3]int{2, 3, 3}, 7, 350, map[Norm]float64{Linf: 1.01, L1: 2.5, L2: 2}},
		{[3]int{4, 5, 2}, 64, 500, map[Norm]float64{Linf: 1.01, L1: 2.5, L2: 2}},
	} {
		d := tc.image[0] * tc.image[1] * tc.image[2]
		rng := rand.New(rand.NewPCG(7, uint64(d)))
		l := newLinear(rng, d)
		images, labels := l.greyImages(rng, n)
		if tc.loose[L2] == 0 {
			var most, squares float64
			for _, w := range l.w {
				most, squares = math.Max(most, math.Abs(float64(w))), squares+float64(w)*float64(w)
			}
			tc.loose[L2] = 1.01 * math.Sqrt(squares) / most
		}
		for _, norm := range []Norm{Linf, L2, L1} {
			distances := make([]float64, n)
			for i := range distances {
				distances[i] = l.distance(floats(images[i*d:(i+1)*d]), norm)
			}
			eps := 1.0001 * tc.loose[norm] * slices.Sorted(slices.Values(distances))[n/2]
			queries := tc.queries
			if norm != Linf {
				queries = min(queries, 150)
			}
			list := []Attack{{Name: "square", Method: SquareAttack{Ball: Ball{norm, eps}, Queries: queries, P: .2}}}
			r := evaluate(t, l.model(backend, tc.image), images, labels, list, Options{Batch: tc.size, KeepAdv: true}).Attacks[0]
			where := fmt.Sprintf("%v, %s eps %.4g, batch %d", tc.image, norm, eps, tc.size)
			for i, robust := range r.RobustFlags {
				switch {
				case !robust && distances[i] > eps*(1+1e-5):
					t.Errorf("%s: broke image %d at distance %.6g", where, i, distances[i])
				case robust && distances[i]*tc.loose[norm] <= eps:
					t.Errorf("%s: failed to break image %d at distance %.6g", where, i, distances[i])
				}
				checkReturned(t, where, Ball{norm, eps}, r.Adv[i*d:(i+1)*d], floats(images[i*d:(i+1)*d]))
			}
			if c := r.RobustFlags.count(); norm == Linf && (c < 3 || c > n-3) {
				t.Errorf("%s: %d of %d robust: the test needs both", where, c, n)
			}
		}
	}
}
