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
	"github.com/gomlx/gomlx/core/tensors"
)

// sizeOf is a norm by its definition.
func sizeOf(norm Norm, v []float64) (size float64) {
	for _, c := range v {
		switch norm {
		case Linf:
			size = math.Max(size, math.Abs(c))
		case L2:
			size += c * c
		case L1:
			size += math.Abs(c)
		case L0:
			if c != 0 {
				size++
			}
		}
	}
	if norm == L2 {
		size = math.Sqrt(size)
	}
	return size
}

// seen is what one pass shows.
type seen struct {
	loss  float64 // of the goal
	grad  []float64
	wrong bool
	clean []float64 // logits
}

// slowPass gives the passes of a model, image by image.
func slowPass(t *testing.T, model Model, goal goal) func(x []float64, y int32) seen {
	exec, err := NewExec(model.Backend, func(in []*Node) []*Node {
		var logits *Node
		losses, grad := ascent(in[0], func(adv *Node) *Node {
			logits = model.logits(in[2:], adv)
			return goal.objective(logits, in[1], nil)
		})
		return []*Node{losses, grad, Correct(logits, in[1]), logits}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exec.Finalize)
	return func(x []float64, y int32) seen {
		narrow := make([]float32, len(x))
		for i, v := range x {
			narrow[i] = float32(v)
		}
		inputs := []any{tensors.FromFlatDataAndDimensions(narrow, 1, model.Image[0], model.Image[1], model.Image[2]), []int32{y}}
		for _, w := range model.Weights {
			inputs = append(inputs, w)
		}
		out, err := exec.Call(inputs...)
		if err != nil {
			t.Fatal(err)
		}
		grad, err := tensors.CopyFlatData[float32](out[1])
		if err != nil {
			t.Fatal(err)
		}
		return seen{float64(out[0].Value().([]float32)[0]), widen(grad), !out[2].Value().([]bool)[0], widen(out[3].Value().([][]float32)[0])}
	}
}

// slowNoise gives the noise of each step of a job as the method draws it.
func slowNoise(t *testing.T, backend compute.Backend, d int) func(job *rand.Rand) func() []float64 {
	exec, err := NewExec(backend, func(in []*Node) []*Node { return []*Node{gaussian(in[0], [2]*Node{in[1], in[2]})} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exec.Finalize)
	return func(job *rand.Rand) func() []float64 {
		key := func() []float32 { return []float32{float32(job.Uint32() >> noiseShift)} }
		return func() []float64 {
			out, err := exec.Call(make2d(1, d), key(), key())
			if err != nil {
				t.Fatal(err)
			}
			return widen(out[0].Value().([][]float32)[0])
		}
	}
}

// path is the part that the slow searches share: the nearest adversarial iterate.
type path struct {
	x, at, best []float64
	distance    float64
}

func (p *path) delta() []float64 {
	out := make([]float64, len(p.x))
	for i := range out {
		out[i] = p.at[i] - p.x[i]
	}
	return out
}

func (p *path) meet(adversarial bool, distance float64) {
	if adversarial && distance < p.distance {
		p.distance, p.best = distance, slices.Clone(p.at)
	}
}

// land moves to x + delta within the box.
func (p *path) land(delta []float64) {
	for i := range p.at {
		p.at[i] = math.Max(0, math.Min(1, p.x[i]+delta[i]))
	}
}

// corner is the largest perturbation within the box.
func (p *path) corner() []float64 {
	out := make([]float64, len(p.x))
	for i, v := range p.x {
		out[i] = math.Max(v, 1-v)
	}
	return out
}

func newPath(x []float64) *path {
	return &path{x: x, at: slices.Clone(x), distance: math.Inf(1)}
}

// halfWave is the cosine schedule.
func halfWave(from, to float64, i, n int) float64 {
	return to + .5*(from-to)*(1+math.Cos(math.Pi*float64(i)/float64(n)))
}

func slowDDN(d DDN, x []float64, y int32, pass func(x []float64, y int32) seen, noise func() []float64) *path {
	p, eps := newPath(x), d.InitEps
	for i := range d.Steps {
		now, alpha := pass(p.at, y), halfWave(1, .01, i, d.Steps)
		delta, g := p.delta(), now.grad
		p.meet(now.wrong, sizeOf(L2, delta))
		if random := noise(); sizeOf(L2, g) < 1e-12 {
			g = random
		}
		length := sizeOf(L2, g)
		for k := range delta {
			delta[k] += alpha * g[k] / length
		}
		if now.wrong {
			eps *= 1 - d.Gamma
		} else {
			eps *= 1 + d.Gamma
		}
		eps = math.Min(eps, sizeOf(L2, p.corner()))
		length = sizeOf(L2, delta)
		for k := range delta {
			delta[k] *= eps / length
		}
		p.land(delta)
		if n := float64(d.Levels - 1); n > 0 {
			for k, v := range p.at {
				p.at[k] = math.RoundToEven(v*n) / n
			}
		}
	}
	return p
}

// nearestL0 keeps the n largest values, the first of equals.
func nearestL0(delta []float64, n int) []float64 {
	order := make([]int, len(delta))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch a, b := math.Abs(delta[i]), math.Abs(delta[j]); {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	out := make([]float64, len(delta))
	for _, i := range order[:min(n, len(order))] {
		out[i] = delta[i]
	}
	return out
}

// slowProjection projects x + delta to the ball; L1 goes to the box at once.
func slowProjection(norm Norm, x, delta []float64, eps float64) []float64 {
	out := slices.Clone(delta)
	switch norm {
	case L0:
		return nearestL0(delta, int(eps))
	case L1:
		adv, clean := make([]float32, len(x)), make([]float32, len(x))
		for i := range x {
			adv[i], clean[i] = float32(x[i]+delta[i]), float32(x[i])
		}
		for i, v := range nearestL1(adv, clean, eps) {
			out[i] = v - x[i]
		}
	case L2:
		for i := range out {
			out[i] *= math.Min(1, eps/math.Max(sizeOf(L2, delta), 1e-12))
		}
	case Linf:
		for i := range out {
			out[i] = math.Max(-eps, math.Min(eps, out[i]))
		}
	}
	return out
}

func slowFMN(f FMN, x []float64, y int32, pass func(x []float64, y int32) seen) *path {
	norm := f.Ball.Norm
	p, eps, tolerance := newPath(x), math.Inf(1), 0.
	if norm == L0 {
		eps = 1
	}
	for i := range f.Steps {
		now := pass(p.at, y)
		if i == 0 {
			tolerance = 1e-5 * (slices.Max(now.clean) - slices.Min(now.clean))
		}
		alpha, gamma := halfWave(f.StepSize, f.LastStepSize, i, f.Steps), halfWave(f.Gamma, f.LastGamma, i, f.Steps)
		delta, margin := p.delta(), tolerance-now.loss
		before := !math.IsInf(p.distance, 1)
		p.meet(margin < 0, sizeOf(norm, delta))
		switch {
		case norm == L0 && margin < 0:
			eps = math.Max(1, math.Min(math.Min(eps-1, math.Floor(eps*(1-gamma))), p.distance))
		case norm == L0:
			eps = math.Max(eps+1, math.Floor(eps*(1+gamma)))
		case margin < 0:
			eps = math.Min(eps*(1-gamma), p.distance)
		case before:
			eps *= 1 + gamma
		default:
			dual := map[Norm]Norm{L1: Linf, L2: L2, Linf: L1}[norm]
			eps = sizeOf(norm, delta) + math.Abs(margin)/sizeOf(dual, now.grad)
		}
		eps = math.Min(eps, sizeOf(norm, p.corner()))
		length := sizeOf(L2, now.grad)
		for k := range delta {
			delta[k] += alpha * now.grad[k] / length
		}
		p.land(slowProjection(norm, x, delta, eps))
	}
	return p
}

func slowALMA(a ALMA, x []float64, y int32, pass func(x []float64, y int32) seen, noise func() []float64) *path {
	p := newPath(x)
	mu, rho, rate, found, last := a.Mu, a.Rho, a.StepSize, -1, 0.
	square, momentum := make([]float64, len(x)), make([]float64, len(x))
	for k := range square {
		square[k] = 1
	}
	for i := range a.Steps {
		now, random := pass(p.at, y), noise()
		v, delta := -now.loss, p.delta()
		slope := func() float64 {
			if v < 0 {
				return mu / math.Pow(1-rho*v, 2)
			}
			return mu + 2*mu*rho*v + rho*rho*v*v/2
		}
		switch {
		case i == 0:
			last = v
		case (i+1)%a.Check == 0:
			if found < 0 && v >= a.Tau*last {
				rho *= a.Growth
			}
			last = v
		}
		if i > 0 {
			mu = math.Max(1e-6, math.Min(1e12, a.Smoothing*mu+(1-a.Smoothing)*slope()))
		}
		if v < 0 && found < 0 {
			found = i
		}
		p.meet(v < 0, sizeOf(L2, delta))
		g, weight := make([]float64, len(x)), slope()
		for k := range g {
			g[k] = -weight * now.grad[k]
			if i > 0 {
				g[k] += delta[k] / math.Max(sizeOf(L2, delta), 1e-12)
			}
		}
		if i == 0 && sizeOf(L2, g) < 1e-12 {
			for k := range g {
				g[k] = random[k] / sizeOf(L2, random)
			}
		}
		for k := range g {
			square[k] = a.Smoothing*square[k] + (1-a.Smoothing)*g[k]*g[k]
			momentum[k] = a.Smoothing*momentum[k] + g[k]/(math.Sqrt(square[k])+1e-8)
		}
		now0 := rate
		if found >= 0 {
			now0 *= math.Pow(a.Decay, float64(i-found)/float64(a.Steps-found))
		}
		for k := range delta {
			delta[k] -= now0 * momentum[k]
		}
		p.land(delta)
		if i == 0 && a.FirstDistance > 0 {
			for low, high := 0., 1e6; i == 0 && high-low > 1e-9*high; {
				rate = (low + high) / 2
				for k := range delta {
					delta[k] = -rate * momentum[k]
				}
				if p.land(delta); sizeOf(L2, p.delta()) < a.FirstDistance {
					low = rate
				} else {
					high = rate
				}
			}
		}
	}
	return p
}

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
		{"ddn without gradients", flat, DDN{Ball: Ball{L2, .6}, Steps: 20}},
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
			DDN{Ball: Ball{Norm: L2}}, FMN{Ball: Ball{Norm: Linf}}, FMN{Ball: Ball{Norm: L2}}, FMN{Ball: Ball{Norm: L1}},
			FMN{Ball: Ball{Norm: L0}, Steps: 40}, ALMA{Ball: Ball{Norm: L2}, Steps: 300},
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
	random := []Attack{{Name: "ddn", Method: DDN{Ball: Ball{L2, .6}, Steps: 12}}}
	d := model.pixels()
	order := rand.New(rand.NewPCG(1, 1)).Perm(30)[:20]
	var some []uint8
	var someLabels []int32
	for _, i := range order {
		some, someLabels = append(some, images[i*d:(i+1)*d]...), append(someLabels, labels[i])
	}
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
		for _, size := range []int{1, 7} {
			got := evaluate(t, tc.model, images, labels, tc.list, Options{Batch: size, Seed: 5, KeepAdv: true})
			compare(t, got, want, func(i int) int { return i })
		}
		got := evaluate(t, tc.model, some, someLabels, tc.list, Options{Batch: 7, Seed: 5, Index: order, KeepAdv: true})
		compare(t, got, want, func(i int) int { return order[i] })
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

// TestGaussian checks moments and quantiles of the noise, and that rows depend on their own keys alone.
func TestGaussian(t *testing.T) {
	const rows, d = 8, 4096
	noise := func(first, second []float32) [][]float32 {
		return eval(t, goBackend(t), func(in []*Node) []*Node { return []*Node{gaussian(in[0], [2]*Node{in[1], in[2]})} },
			make2d(len(first), d), first, second)[0].Value().([][]float32)
	}
	first := []float32{0, 0, 1, 1, 2, 1<<24 - 1, 7, 12345678}
	second := []float32{0, 1, 0, 1, 2, 1<<24 - 1, 7, 87654}
	z := noise(first, second)
	for i, row := range z {
		var sum, squares, below float64
		for _, v := range row {
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
			if v < -1 {
				below++
			}
		}
		// Five standard errors each.
		if math.Abs(sum/d) > 5/math.Sqrt(d) || math.Abs(squares/d-1) > 5*math.Sqrt(2./d) || math.Abs(below/d-.158655) > 5*math.Sqrt(.1335/d) {
			t.Errorf("row %d: mean %.3f, mean square %.3f, %.3f below -1", i, sum/d, squares/d, below/d)
		}
		for j := range i {
			var product float64
			for k := range row {
				product += float64(row[k]) * float64(z[j][k])
			}
			if math.Abs(product/d) > 5/math.Sqrt(d) {
				t.Errorf("rows %d and %d: correlation %.3f", i, j, product/d)
			}
		}
	}
	if alone := noise(first[6:7], second[6:7]); !slices.Equal(alone[0], z[6]) {
		t.Error("noise of a row depends on the others")
	}
}

func make2d(rows, d int) [][]float32 {
	out := make([][]float32, rows)
	for i := range out {
		out[i] = make([]float32, d)
	}
	return out
}

// TestExcess compares ALMA's constraint with the formula by full sort.
func TestExcess(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 43))
	logits, y := make2d(10, 5), make([]int32, 10)
	for i := range logits {
		for k := range logits[i] {
			logits[i][k] = float32(3 * rng.NormFloat64())
		}
		y[i] = int32(rng.IntN(5))
	}
	got := eval(t, goBackend(t), func(in []*Node) []*Node { return []*Node{excess(in[0], in[1], .01)} }, logits, y)[0].Value().([]float32)
	for i, z := range logits {
		sorted := widen(z)
		slices.Sort(sorted)
		other := sorted[4]
		if float64(z[y[i]]) == other {
			other = sorted[3]
		}
		want := (float64(z[y[i]]) - other + .01) / (sorted[4] - sorted[2] + 1e-8)
		if !near(float64(got[i]), want, 1e-5) {
			t.Errorf("image %d: %g, want %g", i, got[i], want)
		}
	}
}

func TestBadApproaches(t *testing.T) {
	l2, nan := Ball{L2, .5}, math.NaN()
	for want, m := range map[string]Method{
		"norm linf: DDN":         DDN{Ball: standardBall},
		"eps -1 for l2":          DDN{Ball: Ball{L2, -1}},
		"steps -1: want":         DDN{Ball: l2, Steps: -1},
		"initial eps -2":         DDN{Ball: l2, InitEps: -2},
		"gamma 1:":               DDN{Ball: l2, Gamma: 1},
		"levels 1:":              DDN{Ball: l2, Levels: 1},
		"norm Norm(9)":           FMN{Ball: Ball{9, 1}},
		"eps NaN for l0":         FMN{Ball: Ball{L0, nan}},
		"eps 8 for linf":         FMN{Ball: Ball{Linf, 8}},
		"steps -3":               FMN{Ball: l2, Steps: -3},
		"step size NaN":          FMN{Ball: l2, StepSize: nan},
		"last step size -1":      FMN{Ball: l2, LastStepSize: -1},
		"gamma -0.1":             FMN{Ball: l2, Gamma: -.1},
		"last gamma 2":           FMN{Ball: l2, LastGamma: 2},
		"norm l1: ALMA":          ALMA{Ball: Ball{L1, 2}},
		"norm l0: ALMA":          ALMA{Ball: Ball{L0, 2}},
		"eps +Inf for l2":        ALMA{Ball: Ball{L2, math.Inf(1)}},
		"steps -2":               ALMA{Ball: l2, Steps: -2},
		"check -1":               ALMA{Ball: l2, Check: -1},
		"step size -0.1":         ALMA{Ball: l2, StepSize: -.1},
		"first distance NaN":     ALMA{Ball: l2, FirstDistance: nan},
		"mu -1":                  ALMA{Ball: l2, Mu: -1},
		"rho +Inf":               ALMA{Ball: l2, Rho: math.Inf(1)},
		"tolerance -1":           ALMA{Ball: l2, Tolerance: -1},
		"growth 0.5":             ALMA{Ball: l2, Growth: .5},
		"decay 1.5":              ALMA{Ball: l2, Decay: 1.5},
		"tau 2":                  ALMA{Ball: l2, Tau: 2},
		"smoothing 1":            ALMA{Ball: l2, Smoothing: 1},
		"norm l0: want linf or ": PGD{Ball: Ball{L0, 3}, Steps: 1, Loss: "ce"},
		"only FMN takes l0":      APGD{Ball: Ball{L0, 3}, Steps: 1, Loss: "ce"},
	} {
		if err := m.Validate(10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want it to have %q", m, err, want)
		}
	}
	if err := (ALMA{Ball: l2}).Validate(2); err == nil || !strings.Contains(err.Error(), "2 classes") {
		t.Errorf("ALMA with 2 classes: %v", err)
	}
}

// TestMinimumPresets checks the presets and what can be overridden.
func TestMinimumPresets(t *testing.T) {
	var names []string
	for _, a := range minimumPresets {
		names = append(names, a.Name)
		if err := a.Validate(10); err != nil {
			t.Error(err)
		}
		if !minimizes(a.Method) {
			t.Errorf("%s does not minimise", a.Name)
		}
	}
	if want := "ddn fmn-l2 fmn-linf fmn-l1 fmn-l0 alma"; strings.Join(names, " ") != want {
		t.Errorf("presets %v, want %s", names, want)
	}
	steps, eps, size, norm := 7, .25, .3, L1
	for i, want := range map[int]Method{
		0: DDN{Ball: Ball{L2, .25}, Steps: 7}, 2: FMN{Ball: Ball{L1, .25}, Steps: 7, StepSize: .3}, 5: ALMA{Ball: Ball{L2, .25}, Steps: 7, StepSize: .3},
	} {
		o := Override{Eps: &eps, Steps: &steps, StepSize: &size}
		if i == 2 {
			o.Norm = &norm
		}
		if got, err := minimumPresets[i].With(o); err != nil || got.Method != want {
			t.Errorf("%s: %+v, %v, want %+v", names[i], got.Method, err, want)
		}
	}
	if got, err := minimumPresets[0].With(Override{Norm: &norm, Eps: &eps}); err != nil || got.Validate(10) == nil {
		t.Errorf("ddn in l1: %v, accepted", err)
	}
	if (Ball{Norm: L0}).distance([]float32{0, .5, 1, .25}, []float32{0, .25, 1, .5}) != 2 {
		t.Error("l0 distance of two changed values")
	}
}
