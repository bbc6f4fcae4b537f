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
