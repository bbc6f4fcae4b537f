package attacks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
)

// plateaus is the perceptron on pixels rounded down to sixths: a classifier whose gradients are zero.
func plateaus(backend compute.Backend, n int) (Model, []uint8, []int32) {
	model, images, labels := perceptron(backend, n)
	smooth := model.Logits
	model.Logits = func(w []*Node, x *Node) *Node {
		stairs := ZerosLike(x)
		for k := range 5 {
			level := constant(x, float64(k+1)/6)
			stairs = Add(stairs, Where(GreaterThan(StopGradient(x), level), constant(x, 1./6), ZerosLike(x)))
		}
		return Add(smooth(w, stairs), MulScalar(ReduceAndKeep(Reshape(x, x.Shape().Dim(0), -1), ReduceSum, -1), 0))
	}
	return model, images, labels
}

// TestApproachesFollowThePapers compares the searches with their formulas in float64, image by image, and the distances
// that are reported with the images returned.
func TestApproachesFollowThePapers(t *testing.T) {
	backend := goBackend(t)
	const n, d = 18, 12
	ball := func(norm Norm) Ball { return Ball{norm, map[Norm]float64{Linf: .05, L2: .15, L1: .3, L0: 1}[norm]} }
	smooth, images, labels := perceptron(backend, n)
	flat, _, _ := plateaus(backend, n)
	for _, tc := range []struct {
		name   string
		model  Model
		method approach
	}{
		{"ddn", smooth, DDN{Ball: ball(L2), Steps: 25, InitEps: .25}},
		{"ddn, levels", smooth, DDN{Ball: ball(L2), Steps: 20, InitEps: .3, Gamma: .1, Levels: 256}},
		{"ddn without gradients", flat, DDN{Ball: Ball{L2, .8}, Steps: 20}},
		{"fmn-linf", smooth, FMN{Ball: ball(Linf), Steps: 25}},
		{"fmn-l2", smooth, FMN{Ball: ball(L2), Steps: 25}},
		{"fmn-l2, small steps", smooth, FMN{Ball: ball(L2), Steps: 15, StepSize: .2, LastStepSize: .1, Gamma: .2, LastGamma: .1}},
		{"fmn-l1", smooth, FMN{Ball: ball(L1), Steps: 25}},
		{"fmn-l0", smooth, FMN{Ball: ball(L0), Steps: 25}},
		{"alma", smooth, ALMA{Ball: ball(L2), Steps: 40, StepSize: .02, Check: 4}},
		{"alma, other settings", smooth, ALMA{Ball: ball(L2), Steps: 30, Check: 3, FirstDistance: .05, Mu: .5, Rho: 2, Growth: 1.5, Tau: .8, Smoothing: .7, Decay: .1}},
		{"alma without gradients", flat, ALMA{Ball: ball(L2), Steps: 5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := evaluate(t, tc.model, images, labels, []Attack{{Name: "a", Method: tc.method}}, Options{Batch: 7, Seed: 3, KeepAdv: true}).Attacks[0]
			pass, noise := slowPass(t, tc.model, tc.method.goal()), slowNoise(t, backend, d)
			norm, right, found, broken := tc.method.Budget().Norm, int64(0), 0, 0
			for i := range n {
				x := widen(floats(images[i*d : (i+1)*d]))
				got := float64(r.Distances[i])
				if pass(x, labels[i]).wrong {
					if got != 0 || r.RobustFlags[i] {
						t.Errorf("image %d is misclassified: distance %g, robust %v", i, got, r.RobustFlags[i])
					}
					continue
				}
				right++
				var want *path
				switch m := tc.method.(type) {
				case DDN:
					want = slowDDN(m.filled(), x, labels[i], pass, noise(stream(3, "a", i, 0)))
				case FMN:
					want = slowFMN(m.filled(), x, labels[i], pass)
				case ALMA:
					want = slowALMA(m.filled(), x, labels[i], pass, noise(stream(3, "a", i, 0)))
				}
				if want.best == nil {
					want.best, want.distance = want.at, math.Inf(1)
				} else {
					found++
				}
				if robust := want.distance > tc.method.Budget().Eps; robust != r.RobustFlags[i] {
					t.Errorf("image %d at distance %g: robust = %v", i, want.distance, r.RobustFlags[i])
				} else if !robust {
					broken++
				}
				if math.IsInf(want.distance, 1) != math.IsInf(got, 1) || math.Abs(got-want.distance) > 1e-3*want.distance {
					t.Errorf("image %d: distance %.6g, the formulas say %.6g", i, got, want.distance)
				}
				if math.IsInf(got, 1) {
					continue
				}
				p := path{x: x, at: widen(r.Adv[i*d : (i+1)*d])}
				if size := sizeOf(norm, p.delta()); !near(size, got, 1e-6) {
					t.Errorf("image %d: distance %g, but the image returned is at %g", i, got, size)
				}
				checkReturned(t, tc.name, Ball{Linf, 1}, r.Adv[i*d:(i+1)*d], floats(images[i*d:(i+1)*d]))
				if !pass(p.at, labels[i]).wrong {
					t.Errorf("image %d: what was returned is classified correctly", i)
				}
			}
			if found != *r.Found {
				t.Errorf("found %d, reported %d", found, *r.Found)
			}
			if tc.name != "alma without gradients" && (found < 10 || broken < 2 || broken > 13) {
				t.Errorf("found %d, broke %d: the test needs both verdicts", found, broken)
			}
			if steps := int64(tc.method.passes()); r.Backwards != right*steps || r.Forwards != right*(steps+1) {
				t.Errorf("%d forwards and %d backwards for %d images and %d steps", r.Forwards, r.Backwards, right, steps)
			}
		})
	}
}

// TestProjectRows compares FMN's projections with host solvers, equal values among them.
func TestProjectRows(t *testing.T) {
	backend := goBackend(t)
	rng := rand.New(rand.NewPCG(8, 9))
	const n, d = 6, 40
	x := randomImages(rng, n, d)
	delta := make([][]float32, n)
	for i := range delta {
		delta[i] = make([]float32, d)
		for k := range delta[i] {
			delta[i][k] = float32(rng.IntN(9)-4) / 16 // many equal
			if i%2 == 0 {
				delta[i][k] = float32(.3 * rng.NormFloat64())
			}
		}
	}
	for norm, eps := range map[Norm][]float32{
		Linf: {.01, .1, .05, .3, 10, 1e-6}, L2: {.01, .5, 1, .25, 100, 1e-6}, L1: {.01, 2, 1, .5, 1000, 1e-4}, L0: {1, 2, 13, 7, 40, 39},
	} {
		wide := func(x *Node) *Node { return Reshape(x, n, 2, 4, 5) }
		got := eval(t, backend, func(in []*Node) []*Node {
			return []*Node{Reshape(projectRows(norm, wide(in[0]), wide(in[1]), in[2]), n, d)}
		}, x, delta, eps)[0].Value().([][]float32)
		for i := range x {
			p := newPath(widen(x[i]))
			p.land(slowProjection(norm, p.x, widen(delta[i]), float64(eps[i])))
			changed := 0.
			for k, want := range p.at {
				if math.Abs(float64(got[i][k])-want) > 2e-7 {
					t.Fatalf("%s: image %d, pixel %d: %g, want %g", norm, i, k, got[i][k], want)
				}
				if got[i][k] != x[i][k] {
					changed++
				}
			}
			if norm == L0 && changed > float64(eps[i]) {
				t.Errorf("l0: image %d: %g values changed, want at most %g", i, changed, eps[i])
			}
		}
	}
}

// distanceL0 is the least number of pixel values of a linear model that lead over the boundary, each moved to the wall.
func (l linear) distanceL0(x []float32) float64 {
	var gains []float64
	for i, w := range l.w {
		room := float64(x[i])
		if (w > 0) != (l.value(x) > 0) {
			room = 1 - room
		}
		gains = append(gains, math.Abs(float64(w))*room)
	}
	slices.Sort(gains)
	left := math.Abs(l.value(x))
	for n := 1; n <= len(gains); n++ {
		if left -= gains[len(gains)-n]; left <= 0 {
			return float64(n)
		}
	}
	return math.Inf(1)
}

// TestApproachesOnLinearModels asks for distances within 5% of the true ones, for three shapes of images and three batch
// sizes. None can be below.
func TestApproachesOnLinearModels(t *testing.T) {
	backend := goBackend(t)
	const n = 4
	for shape, image := range [][3]int{{2, 3, 3}, {6, 1, 1}, {4, 5, 2}} {
		d := image[0] * image[1] * image[2]
		rng := rand.New(rand.NewPCG(7, uint64(d)))
		l := newLinear(rng, d)
		l.b += float32(.3 * sizeOf(L2, widen(l.w)) * []float64{1, -1, 1}[shape]) // so that grey is off the boundary, on either side
		images, labels := l.greyImages(rng, n)
		for k, m := range []overridable{
			DDN{Ball: Ball{Norm: L2}, Steps: 60}, FMN{Ball: Ball{Norm: Linf}, Steps: 60}, FMN{Ball: Ball{Norm: L2}, Steps: 60},
			FMN{Ball: Ball{Norm: L1}, Steps: 60}, FMN{Ball: Ball{Norm: L0}, Steps: 25}, ALMA{Ball: Ball{Norm: L2}, Steps: 200, StepSize: .05},
		} {
			norm, distances := m.Budget().Norm, make([]float64, n)
			for i := range distances {
				x := floats(images[i*d : (i+1)*d])
				if distances[i] = l.distance(x, norm); norm == L0 {
					distances[i] = l.distanceL0(x)
				}
			}
			ball := Ball{norm, 1.05 * slices.Sorted(slices.Values(distances))[n/2-1]}
			size := []int{1, 7, 64}[(shape+k)%3]
			where := fmt.Sprintf("%v, batch %d, %T %s", image, size, m, norm)
			list := []Attack{{Name: "a", Method: m.with(ball, Override{})}}
			r := evaluate(t, l.model(backend, image), images, labels, list, Options{Batch: size, KeepAdv: true}).Attacks[0]
			for i, got := range r.Distances {
				if want := distances[i]; float64(got) > 1.05*want || float64(got) < want*(1-1e-5) {
					t.Errorf("%s: image %d: distance %.6g, want %.6g", where, i, got, want)
				}
				if r.RobustFlags[i] != (float64(got) > ball.Eps*(1+1e-6)+1e-7) {
					t.Errorf("%s: image %d at distance %.6g: robust = %v at eps %g", where, i, got, r.RobustFlags[i], ball.Eps)
				}
				checkReturned(t, where, Ball{Linf, 1}, r.Adv[i*d:(i+1)*d], floats(images[i*d:(i+1)*d]))
			}
		}
	}
}

// shortApproaches are one of each kind, with both verdicts on the perceptron.
func shortApproaches() []Attack {
	return []Attack{
		{Name: "ddn", Method: DDN{Ball: Ball{L2, .15}, Steps: 12, InitEps: .2}},
		{Name: "fmn-linf", Method: FMN{Ball: Ball{Linf, .05}, Steps: 12}},
		{Name: "fmn-l0", Method: FMN{Ball: Ball{L0, 1}, Steps: 12}},
		{Name: "alma", Method: ALMA{Ball: Ball{L2, .15}, Steps: 12, StepSize: .02}},
	}
}

func TestApproachesDoNotDependOnBatchSizeOrOrder(t *testing.T) {
	backend := goBackend(t)
	model, images, labels := perceptron(backend, 30)
	flat, _, _ := plateaus(backend, 30)
	list := shortApproaches()
	random := []Attack{{Name: "ddn", Method: DDN{Ball: Ball{L2, .8}, Steps: 20}}}
	for _, tc := range []struct {
		model Model
		list  []Attack
	}{{model, list}, {flat, random}} {
		want := evaluate(t, tc.model, images, labels, tc.list, Options{Batch: 64, Seed: 5, KeepAdv: true})
		for _, r := range want.Attacks {
			if c := r.RobustFlags.count(); c < 3 || c > want.Clean.Flags.count()-3 {
				t.Fatalf("%s: %d of 30 robust: the test needs both verdicts", r.Name, c)
			}
		}
		sameInAnyBatch(t, tc.model, images, labels, tc.list, want)
	}
	one := evaluate(t, flat, images, labels, random, Options{Batch: 30, Seed: 5}).Attacks[0]
	two := evaluate(t, flat, images, labels, random, Options{Batch: 30, Seed: 6}).Attacks[0]
	if slices.Equal(one.Distances, two.Distances) {
		t.Error("another seed gives the same random directions")
	}
	attacked := evaluate(t, flat, images, labels, nil, Options{}).Clean.Flags.count()
	if one.ZeroGrad != attacked {
		t.Errorf("%d images with zero gradients, want all %d attacked", one.ZeroGrad, attacked)
	}
}

// TestRowsEnterAtAnyTime checks that a job finds what it finds on its own when it takes up a row while others are under
// way, or one that another job has left.
func TestRowsEnterAtAnyTime(t *testing.T) {
	model, images, labels := perceptron(goBackend(t), 12)
	d := model.pixels()
	for _, a := range shortApproaches() {
		want := evaluate(t, model, images, labels, []Attack{a}, Options{Batch: 3, Seed: 9, KeepAdv: true}).Attacks[0]
		e, err := newEngine(model, 3)
		if err != nil {
			t.Fatal(err)
		}
		v := &evaluation{engine: e, images: images, labels: labels, opt: Options{Progress: func(Progress) {}}}
		if err := v.measureClean(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := a.Method.(approach)
		if err := m.prepare(e); err != nil {
			t.Fatal(err)
		}
		l := newLanes(e, m, func(j job) *rand.Rand { return stream(9, a.Name, j.image, j.run) })
		w := m.walk(l)
		enter := map[int][2]int{0: {1, 1}, 4: {0, 2}, 12: {1, 3}, 14: {2, 4}} // step: row and image
		ended := 0
		for step := range 30 {
			if to, ok := enter[step]; ok {
				if err := l.put(v, []int{to[0]}, []job{{image: to[1]}}); err != nil {
					t.Fatal(err)
				}
				if err := w.load(t.Context(), []int{to[0]}); err != nil {
					t.Fatal(err)
				}
			}
			done, err := w.step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range done {
				l.busy[o.row] = false
				ended++
				i := l.jobs[o.row].image
				if o.claimed != !math.IsInf(float64(want.Distances[i]), 1) {
					t.Errorf("%s: image %d: claimed = %v", a.Name, i, o.claimed)
				} else if o.claimed && !slices.Equal(o.adv, want.Adv[i*d:(i+1)*d]) {
					t.Errorf("%s: image %d: another result than on its own", a.Name, i)
				}
			}
		}
		if ended != len(enter) {
			t.Errorf("%s: %d of %d jobs ended", a.Name, ended, len(enter))
		}
		if err := w.free(); err != nil {
			t.Error(err)
		}
		e.finalize()
	}
}

// TestApproachesOnBrokenModels checks that a model of constant logits yields nothing, and that one whose logits turn NaN
// where the mean pixel exceeds 0.6, and which is right elsewhere, is broken there.
func TestApproachesOnBrokenModels(t *testing.T) {
	model, images, _ := perceptron(goBackend(t), 8)
	list := append(shortApproaches(), Attack{Name: "fmn-l1", Method: FMN{Ball: Ball{L1, 1}, Steps: 12}})
	for i, a := range list {
		switch m := a.Method.(type) {
		case DDN:
			m.InitEps = 1
			list[i].Method = m
		case ALMA:
			m.FirstDistance = 1.2
			list[i].Method = m
		}
	}
	for name, first := range map[string]func(mean *Node) *Node{
		"constant": ZerosLike,
		"nan":      func(mean *Node) *Node { return Sqrt(AddScalar(Neg(mean), .6)) },
	} {
		model.Logits = func(_ []*Node, x *Node) *Node {
			mean := ReduceAndKeep(Reshape(x, x.Shape().Dim(0), -1), ReduceMean, -1)
			zero := MulScalar(mean, 0) // so that there is a gradient
			low := AddScalar(zero, map[string]float64{"nan": -2}[name])
			return Concatenate([]*Node{Add(first(mean), zero), zero, low, low, low}, -1)
		}
		r := evaluate(t, model, images, make([]int32, 8), list, Options{Batch: 8})
		if right := r.Clean.Flags.count(); right < 5 {
			t.Fatalf("%s: %d of 8 images classified correctly", name, right)
		}
		for _, a := range r.Attacks {
			want := 0
			if name == "nan" {
				want = r.Clean.Flags.count()
			}
			if *a.Found != want {
				t.Errorf("%s, %s: found %d, want %d", name, a.Name, *a.Found, want)
			}
		}
		for _, warning := range r.Warnings {
			if strings.Contains(warning, "outside") {
				t.Errorf("%s: %s", name, warning)
			}
		}
	}
}

func make2d(rows, d int) [][]float32 {
	out := make([][]float32, rows)
	for i := range out {
		out[i] = make([]float32, d)
	}
	return out
}
