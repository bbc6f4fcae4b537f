package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// walking puts images into the rows of a search by hand: rows of them now, the others when put is called.
type walking struct {
	*lanes
	walker walker
	put    func(rows ...int) // image i into row i
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

// TestSquareQueryByQuery follows runs of Square: every image taken over is what slowProposal makes of the best one and the
// choices drawn, in ball and box, of length eps unless the box cuts it; it is taken over exactly where it lowers the margin
// or is misclassified, so that the lowest margin never rises. Queries are left out exactly where they change nothing. Two of
// the images start later than the others.
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
		marginAt := func(x []float64, y int32) float64 {
			f := float64(l.b)
			for k, v := range x {
				f += float64(l.w[k]) * v
			}
			return margin([]float64{f, -f, -f - 5, -f - 9}, int(y))
		}
		claimed, accepted, full, skipped := 0, 0, 0, int64(0)
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
			// slow is what a row of the plan makes of the best image, in float64; same says that this is the best image.
			slow := func(best, x, plan []float32) (next []float64, same bool) {
				next, length := slowProposal(s.Ball, widen(best), widen(x), image, plan)
				if s.Ball.Norm == L1 {
					narrow := make([]float32, d)
					for k, v := range next {
						narrow[k] = float32(v)
					}
					next = nearestL1(narrow, x, s.Ball.Eps*(1-1e-6))
				} else if math.Abs(length-s.Ball.Eps) > 1e-9 {
					t.Fatalf("%s: proposal of length %g before clipping", where, length)
				}
				same = s.Ball.Norm == Linf
				for k, v := range next {
					same = same && math.Abs(v-float64(best[k])) < s.Ball.Eps*1e-3
				}
				return next, same
			}
			seat(0, 1, 2)
			for pass := range s.Queries + 20 {
				if pass == 17 {
					seat(3, 4)
				}
				if w.live() == 0 {
					break
				}
				best, least, plan := values(t, walk.state[0]), values(t, walk.state[1]), slices.Clone(walk.plan)
				steps, left := slices.Clone(w.steps), skipped
				ended, err := walk.step(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				bestNow, leastNow := values(t, walk.state[0]), values(t, walk.state[1])
				broken := make([]bool, n)
				for row, busy := range w.busy {
					if !busy {
						continue
					}
					at := func(all []float32) []float32 { return all[row*d : (row+1)*d] }
					choices := func(plan []float32) []float32 { return plan[row*s.columns(w.model) : (row+1)*s.columns(w.model)] }
					first, tried := steps[row] == 0, widen(at(best))
					if first != (choices(plan)[squareFirst] == 1) {
						t.Fatalf("%s: pass %d, row %d: at the start after %d queries: %v", where, pass, row, steps[row], !first)
					}
					if !first {
						tried, _ = slow(at(best), at(w.x), choices(plan))
					}
					now := marginAt(tried, labels[row])
					broken[row] = now < 0
					better := first || now < float64(least[row])
					if better {
						accepted++
						inBox := true
						for k, v := range at(bestNow) {
							if math.Abs(float64(v)-tried[k]) > 3e-7*math.Max(1, 10*s.Ball.Eps) {
								t.Fatalf("%s: pass %d, row %d: pixel %d is %.9g, want %.9g", where, pass, row, k, v, tried[k])
							}
							inBox = inBox && v > 0 && v < 1
						}
						checkReturned(t, where, s.Ball, at(bestNow), at(w.x))
						if size := s.Ball.distance(at(bestNow), at(w.x)); inBox {
							full++
							if math.Abs(size-s.Ball.Eps) > 1e-4*s.Ball.Eps {
								t.Fatalf("%s: pass %d, row %d: proposal of size %g", where, pass, row, size)
							}
						}
					} else if !slices.Equal(at(bestNow), at(best)) {
						t.Fatalf("%s: pass %d, row %d: margin %g after %g: taken over", where, pass, row, now, least[row])
					}
					if better && math.Abs(float64(leastNow[row])-now) > 2e-5 || !better && leastNow[row] != least[row] {
						t.Fatalf("%s: pass %d, row %d: lowest margin %g, want %g or %g", where, pass, row, leastNow[row], now, least[row])
					}
					for query, want := steps[row], make([]float32, s.columns(w.model)); query < s.Queries && !broken[row]; query++ {
						walk.draw(want, query, sources[row])
						if _, same := slow(at(bestNow), at(w.x), want); same {
							skipped++
						} else if got := choices(walk.plan); !slices.Equal(got, want) || w.steps[row] != query+1 {
							t.Fatalf("%s: pass %d, row %d: query %d with the choices %v, want %d with %v", where, pass, row, w.steps[row], got, query+1, want)
						} else {
							break
						}
					}
				}
				if walk.skipped-left != skipped-left {
					t.Fatalf("%s: pass %d: %d queries left out, want %d", where, pass, walk.skipped-left, skipped-left)
				}
				for _, o := range ended {
					w.busy[o.row] = false
					if o.claimed {
						claimed++
					}
					if o.claimed != broken[o.row] || !o.claimed && w.steps[o.row] != s.Queries {
						t.Errorf("%s: row %d left after %d queries, claimed = %v", where, o.row, w.steps[o.row], o.claimed)
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
			if some := skipped > 0; some != (s.Ball.Norm == Linf) {
				t.Errorf("%s: %d queries left out", where, skipped)
			}
			skipped = 0
		}
		if claimed < 2 || claimed > 4*n-2 || accepted < 100 || full < 50 {
			t.Errorf("%v: %d broken, %d proposals taken over, %d of full size: the test needs more", image, claimed, accepted, full)
		}
	}
}
