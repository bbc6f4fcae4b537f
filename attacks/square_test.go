package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
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

// walking puts images into the rows of a search by hand: rows of them now, the others when put is called.
type walking struct {
	*lanes
	walker walker
	put    func(rows ...int) // image i into row i
	logits func(images *tensors.Tensor) [][]float32
}

func newWalking(t *testing.T, model Model, images []uint8, labels []int32, method search, seed int64) walking {
	t.Helper()
	e, err := newEngine(model, len(labels))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.finalize)
	v := &evaluation{engine: e, images: images, labels: labels, opt: Options{Seed: seed, Progress: func(Progress) {}}}
	if err := v.measureClean(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := newLanes(e, method, func(j job) *rand.Rand { return stream(seed, "walk", j.image, j.run) })
	w := walking{lanes: l, walker: method.walk(l)}
	w.put = func(rows ...int) {
		var jobs []job
		for _, row := range rows {
			jobs = append(jobs, job{image: row})
		}
		if err := l.put(v, rows, jobs); err != nil {
			t.Fatal(err)
		}
		if err := w.walker.load(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	w.logits = func(images *tensors.Tensor) [][]float32 {
		out, err := e.callNetwork(t.Context(), e.forward, images)
		if err != nil {
			t.Fatal(err)
		}
		return out[0].Value().([][]float32)
	}
	return w
}

// values brings a float32 tensor to the host.
func values(t *testing.T, from *tensors.Tensor) []float32 {
	t.Helper()
	flat, err := tensors.CopyFlatData[float32](from)
	if err != nil {
		t.Fatal(err)
	}
	return flat
}

// slowProposal is the change of best, one image [H, W, C], that a row of the plan asks for, by loops over the windows in
// float64. In L1 it is not yet projected; length is its norm before the box cuts it.
func slowProposal(b Ball, best, x []float64, image [3]int, p []float32) (next []float64, length float64) {
	width, channels := image[1], image[2]
	side := int(p[squareSide])
	at := func(i, j, c int) int { return (i*width+j)*channels + c }
	inside := func(top, left float32, each func(i, j, u, v int)) {
		for u := range side {
			for v := range side {
				each(int(top)+u, int(left)+v, u, v)
			}
		}
	}
	next = slices.Clone(best)
	if b.Norm == Linf {
		for c, sign := range p[squareSigns:] {
			inside(p[squareTop], p[squareLeft], func(i, j, _, _ int) {
				k := at(i, j, c)
				next[k] = math.Max(0, math.Min(1, math.Max(x[k]-b.Eps, math.Min(x[k]+b.Eps, best[k]+2*b.Eps*float64(sign)))))
			})
		}
		return next, b.Eps
	}
	norm := func(delta []float64) (size float64) {
		for _, v := range delta {
			if b.Norm == L2 {
				size += v * v
			} else {
				size += math.Abs(v)
			}
		}
		if b.Norm == L2 {
			size = math.Sqrt(size)
		}
		return size
	}
	delta := make([]float64, len(x))
	for k := range x {
		delta[k] = best[k] - x[k]
	}
	whole, eta := norm(delta), slowLobes(b.Norm, side)
	moved := slices.Clone(delta)
	for c, sign := range p[squareSigns:] {
		var there, both []float64
		covered := map[int]bool{}
		inside(p[squareTop], p[squareLeft], func(i, j, _, _ int) {
			there, both, covered[at(i, j, c)] = append(there, delta[at(i, j, c)]), append(both, delta[at(i, j, c)]), true
		})
		inside(p[squareFromTop], p[squareFromLeft], func(i, j, _, _ int) {
			if !covered[at(i, j, c)] {
				both = append(both, delta[at(i, j, c)])
			}
			moved[at(i, j, c)] = 0
		})
		direction := make([]float64, len(there))
		for k := range there {
			value := eta[k/side][k%side]
			if p[squareTurned] == 1 {
				value = eta[k%side][k/side]
			}
			direction[k] = float64(sign)*value + there[k]/(norm(there)+1e-12)
		}
		var budget float64
		if b.Norm == L2 {
			budget = math.Sqrt(math.Max(b.Eps*b.Eps-whole*whole, 0)/float64(channels) + norm(both)*norm(both))
		} else {
			budget = (math.Max(b.Eps-whole, 0)/float64(channels) + norm(both)) * float64(channels)
		}
		size := norm(direction) + 1e-12
		inside(p[squareTop], p[squareLeft], func(i, j, u, v int) {
			moved[at(i, j, c)] = direction[u*side+v] / size * budget
		})
	}
	if b.Norm == L1 {
		for k := range next {
			next[k] = x[k] + moved[k]
		}
		return next, norm(moved)
	}
	scale := b.Eps / (norm(moved) + 1e-12)
	for k := range next {
		moved[k] *= scale
		next[k] = math.Max(0, math.Min(1, x[k]+moved[k]))
	}
	return next, norm(moved)
}

// TestSquareQueryByQuery follows runs of Square: every image tried is what slowProposal makes of the best one and the
// choices drawn, in ball and box, of length eps unless the box cuts it; it is taken over exactly where it lowers the margin
// or is misclassified, so that the lowest margin never rises. Two of the images start later than the others.
func TestSquareQueryByQuery(t *testing.T) {
	backend := goBackend(t)
	const n = 5
	for _, image := range [][3]int{{7, 6, 3}, {5, 12, 1}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(3, uint64(d)))
		l := newLinear(rng, d)
		images, labels := l.greyImages(rng, n)
		for i := range d { // pixels at the walls
			images[i], images[d+i] = uint8(255*(i%2)), uint8(rng.IntN(256))
		}
		labels[0], labels[1] = 0, 0
		if l.value(floats(images[:d])) < 0 {
			labels[0] = 1
		}
		if l.value(floats(images[d:2*d])) < 0 {
			labels[1] = 1
		}
		claimed, accepted, full := 0, 0, 0
		for _, s := range []SquareAttack{
			{Ball: Ball{Linf, .004}, Queries: 70, Rescale: true},
			{Ball: Ball{L2, .03}, Queries: 70, Rescale: true},
			{Ball: Ball{L1, .1}, Queries: 70, Rescale: true},
			{Ball: Ball{L2, .2}, Queries: 40, Reference: true},
		} {
			where := fmt.Sprintf("%v, %+v", image, s)
			w := newWalking(t, l.model(backend, image), images, labels, s, 9)
			walk := w.walker.(*squareWalk)
			sources := make([]*rand.Rand, n)
			seat := func(rows ...int) {
				w.put(rows...)
				for _, row := range rows {
					sources[row] = stream(9, "walk", row, 0)
					if offset := make([]float32, d); s.Ball.Norm == Linf {
						s.stripes(offset, image, sources[row])
					} else {
						s.grid(offset, image, sources[row])
					}
				}
			}
			seat(0, 1, 2)
			for query := range s.Queries + 20 {
				if query == 17 {
					seat(3, 4)
				}
				if w.live() == 0 {
					break
				}
				tried, best, least := values(t, walk.state[0]), values(t, walk.state[1]), values(t, walk.state[2])
				logits := w.logits(walk.state[0])
				steps := slices.Clone(w.steps)
				ended, err := walk.step(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				next, bestNow, leastNow := values(t, walk.state[0]), values(t, walk.state[1]), values(t, walk.state[2])
				for row, busy := range w.busy {
					if !busy {
						continue
					}
					at := func(all []float32) []float32 { return all[row*d : (row+1)*d] }
					checkReturned(t, where, s.Ball, at(tried), at(w.x))
					now := margin(widen(logits[row]), int(labels[row]))
					better := steps[row] == 0 || now < float64(least[row])
					if want := map[bool][]float32{true: tried, false: best}[better]; !slices.Equal(at(bestNow), at(want)) {
						t.Fatalf("%s: query %d, row %d: margin %g after %g: taken over: %v", where, query, row, now, least[row], !better)
					}
					if better && !near(float64(leastNow[row]), now, 1e-5) || !better && leastNow[row] != least[row] {
						t.Fatalf("%s: query %d, row %d: lowest margin %g, want %g or %g", where, query, row, leastNow[row], now, least[row])
					}
					if better {
						accepted++
					}
					if steps[row] == s.Queries {
						continue
					}
					plan := make([]float32, squareSigns+image[2])
					walk.draw(plan, steps[row], sources[row])
					want, length := slowProposal(s.Ball, widen(at(bestNow)), widen(at(w.x)), image, plan)
					if s.Ball.Norm == L1 {
						narrow := make([]float32, d)
						for k, v := range want {
							narrow[k] = float32(v)
						}
						want = nearestL1(narrow, at(w.x), s.Ball.Eps*(1-1e-6))
					} else if math.Abs(length-s.Ball.Eps) > 1e-9 {
						t.Fatalf("%s: query %d, row %d: proposal of length %g before clipping", where, query, row, length)
					}
					inBox := true
					for k, v := range at(next) {
						if math.Abs(float64(v)-want[k]) > 3e-7*math.Max(1, 10*s.Ball.Eps) {
							t.Fatalf("%s: query %d, row %d: pixel %d is %.9g, want %.9g", where, query, row, k, v, want[k])
						}
						inBox = inBox && v > 0 && v < 1
					}
					if size := s.Ball.distance(at(next), at(w.x)); inBox {
						full++
						if math.Abs(size-s.Ball.Eps) > 1e-4*s.Ball.Eps {
							t.Fatalf("%s: query %d, row %d: proposal of size %g", where, query, row, size)
						}
					}
				}
				for _, o := range ended {
					w.busy[o.row] = false
					wrong := margin(widen(logits[o.row]), int(labels[o.row])) < 0
					if o.claimed {
						claimed++
					}
					if o.claimed != wrong || !o.claimed && steps[o.row] != s.Queries {
						t.Errorf("%s: row %d left after %d queries, claimed = %v", where, o.row, steps[o.row], o.claimed)
					}
					if !slices.Equal(o.adv, bestNow[o.row*d:(o.row+1)*d]) {
						t.Errorf("%s: row %d did not return its best image", where, o.row)
					}
				}
			}
			if w.live() != 0 {
				t.Errorf("%s: %d rows never left", where, w.live())
			}
			if err := walk.free(); err != nil {
				t.Fatal(err)
			}
		}
		if claimed < 2 || claimed > 4*n-2 || accepted < 100 || full < 100 {
			t.Errorf("%v: %d broken, %d proposals taken over, %d of full size: the test needs more", image, claimed, accepted, full)
		}
	}
}

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
// costs all queries. A tie that another class wins is a success.
func TestSquareGivesUpTies(t *testing.T) {
	model := Model{
		Backend: goBackend(t), Classes: 2, Image: [3]int{1, 2, 1},
		Logits: func(_ []*Node, x *Node) *Node { return MulScalar(Reshape(x, x.Shape().Dim(0), 2), 0) },
	}
	for reference, passes := range map[bool]int64{true: 1, false: 8} {
		s := SquareAttack{Ball: Ball{Linf, .1}, Queries: 7, Reference: reference}
		r := evaluate(t, model, make([]uint8, 2), []int32{0}, []Attack{{Name: "square", Method: s}}, Options{}).Attacks[0]
		if !r.RobustFlags[0] || r.Forwards < passes+1 || r.Forwards > passes+2 {
			t.Errorf("reference %v: robust %v after %d forwards, want %d and a verification", reference, r.RobustFlags[0], r.Forwards, passes)
		}
	}
}

func TestSquareSettings(t *testing.T) {
	good := squarePresets[0]
	if want := (SquareAttack{Ball: Ball{Linf, 8. / 255}, Queries: 5000, Restarts: 1}); good.Method != want || good.Validate(2) != nil {
		t.Errorf("preset %+v, %v", good, good.Validate(2))
	}
	got, err := good.With(Override{Norm: new(L2), Eps: new(.5), Steps: new(200), Restarts: new(3), Loss: "ce", StepSize: new(.1)})
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
