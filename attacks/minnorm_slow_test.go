package attacks

import (
	"math"
	"math/rand/v2"
	"slices"
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
