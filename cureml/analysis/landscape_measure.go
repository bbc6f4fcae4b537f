package analysis

import (
	"context"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

// landscaper has the programs of [MeasureLandscape].
type landscaper struct {
	LandscapeOptions
	programs
	moved                             []int    // the weights that directions move: kernels and matrices
	loss, ascend, steepest, aroundImg *program // of programs
}

func newLandscaper(m attacks.Model, o LandscapeOptions) (*landscaper, error) {
	l := &landscaper{LandscapeOptions: o}
	for i, w := range m.Weights {
		if w.Rank() > 1 {
			l.moved = append(l.moved, i)
		}
	}
	attack := attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: o.Eps}, StepSize: o.StepSize}
	loss := func(weights []*Node, x, y *Node) *Node { return attacks.CrossEntropy(m.Logits(weights, x), y) }
	shift := 2 + 2*len(l.moved) // a, b, d1 and d2
	var err error
	l.programs, err = makePrograms(m.Backend,
		programGraph{2 + shift, func(in, weights []*Node) []*Node {
			return []*Node{loss(l.shifted(in[2:], weights), in[0], in[1])}
		}},
		programGraph{3 + shift, func(in, weights []*Node) []*Node {
			x, adv, y, weights := in[0], in[1], in[2], l.shifted(in[3:], weights)
			return []*Node{attack.Step(x, adv, func(adv *Node) *Node { return loss(weights, adv, y) })}
		}},
		programGraph{2, func(in, weights []*Node) []*Node {
			x := Identity(StopGradient(in[0]))
			return []*Node{Sign(Gradient(ReduceAllSum(loss(weights, x, in[1])), x)[0])}
		}},
		programGraph{6, func(in, weights []*Node) []*Node {
			x, y, s, r, a, b := in[0], in[1], in[2], in[3], in[4], in[5]
			return []*Node{loss(weights, Add(x, Add(Mul(s, a), Mul(r, b))), y)}
		}},
	)
	if err != nil {
		return nil, err
	}
	l.loss, l.ascend, l.steepest, l.aroundImg = l.programs[0], l.programs[1], l.programs[2], l.programs[3]
	return l, nil
}

// shifted are the weights at θ + a·d1 + b·d2. in holds a, b, the parts of d1 and those of d2.
func (l *landscaper) shifted(in, weights []*Node) []*Node {
	a, b, d1, d2 := in[0], in[1], in[2:2+len(l.moved)], in[2+len(l.moved):]
	out := slices.Clone(weights)
	for k, i := range l.moved {
		out[i] = Add(out[i], Add(Mul(d1[k], a), Mul(d2[k], b)))
	}
	return out
}

// filterNormal scales each filter of d, along the last axis of filters, to the length that it has in w.
func filterNormal(d, w []float32, filters int) {
	for f := range filters {
		var own, want float64
		for i := f; i < len(w); i += filters {
			own += float64(d[i]) * float64(d[i])
			want += float64(w[i]) * float64(w[i])
		}
		scale := math.Sqrt(want) / math.Max(math.Sqrt(own), 1e-10)
		for i := f; i < len(w); i += filters {
			d[i] = float32(float64(d[i]) * scale)
		}
	}
}

// direction draws a direction of the weights that move.
func (l *landscaper) direction(m attacks.Model, names []string, axis string) (parts []*tensors.Tensor, err error) {
	for _, i := range l.moved {
		shape := m.Weights[i].Shape()
		w, err := tensors.CopyFlatData[float32](m.Weights[i])
		if err != nil {
			return nil, err
		}
		rng, d := data.Stream(l.Seed, "landscape/"+axis+"/"+names[i]), make([]float32, len(w))
		for k := range d {
			d[k] = float32(rng.NormFloat64())
		}
		filterNormal(d, w, shape.Dim(-1))
		parts = append(parts, tensors.FromFlatDataAndDimensions(d, shape.Dimensions...))
	}
	return parts, nil
}

// measure finds the landscapes of one network; names are those of its weights.
func (l *landscaper) measure(ctx context.Context, m attacks.Model, names []string, images []float32, labels []int32) (n NetworkLandscape, err error) {
	d1, err := l.direction(m, names, "1")
	if err != nil {
		return n, err
	}
	d2, err := l.direction(m, names, "2")
	if err != nil {
		return n, err
	}
	directions := append(d1, d2...)
	defer release(directions...)
	n.Clean, n.Adv = make([]float64, l.Line), make([]float64, l.Line)
	n.Weights, n.Inputs = square(l.Plane), square(l.Plane)
	total := float64(len(labels))
	err = parts(images, labels, m.Image, func(p part) error {
		at := func(program *program, a, b float64, first ...*tensors.Tensor) (float64, error) {
			own := append(slices.Clip(first), scalar(a), scalar(b))
			defer release(own[len(first):]...)
			if program == l.loss {
				own = append(own, directions...)
			}
			out, err := program.call(ctx, m.Weights, own...)
			if err != nil {
				return 0, err
			}
			losses, err := read(out[0], p.n)
			return average(losses) * float64(p.n) / total, err
		}
		start := l.start(p)
		defer release(start)
		for i, a := range evenly(l.Range, l.Line) {
			clean, err := at(l.loss, a, 0, p.x, p.y)
			if err != nil {
				return err
			}
			adv, err := l.attack(ctx, m, p, start, a, directions)
			if err != nil {
				return err
			}
			attacked, err := at(l.loss, a, 0, adv, p.y)
			release(adv)
			if err != nil {
				return err
			}
			n.Clean[i] += clean
			n.Adv[i] += attacked
		}
		if err := addPlane(n.Weights, l.Range, func(a, b float64) (float64, error) { return at(l.loss, a, b, p.x, p.y) }); err != nil {
			return err
		}
		signs, err := l.steepest.call(ctx, m.Weights, p.x, p.y)
		if err != nil {
			return err
		}
		other := l.coins(p)
		defer release(signs[0], other)
		return addPlane(n.Inputs, l.Reach, func(a, b float64) (float64, error) { return at(l.aroundImg, a, b, p.x, p.y, signs[0], other) })
	})
	if err != nil {
		return n, err
	}
	for _, losses := range slices.Concat([][]float64{n.Clean, n.Adv}, n.Weights, n.Inputs) {
		if err := allFinite("the loss at point", losses); err != nil {
			return n, err
		}
	}
	return n, nil
}

// attack is PGD against the network at θ + a·d1.
func (l *landscaper) attack(ctx context.Context, m attacks.Model, p part, start *tensors.Tensor, a float64, directions []*tensors.Tensor) (*tensors.Tensor, error) {
	at, zero := scalar(a), scalar(0)
	defer release(at, zero)
	adv := start
	for range l.Steps {
		out, err := l.ascend.call(ctx, m.Weights, append([]*tensors.Tensor{p.x, adv, p.y, at, zero}, directions...)...)
		if adv != start {
			release(adv)
		}
		if err != nil {
			return nil, err
		}
		adv = out[0]
	}
	return adv, nil
}

// start is a uniform point of each image's ball.
func (l *landscaper) start(p part) *tensors.Tensor {
	ball := attacks.PGD{Ball: attacks.Ball{Norm: attacks.Linf, Eps: l.Eps}, Start: attacks.Uniform}
	return p.like(noisy(p, "landscape/attack", l.Seed, ball))
}

// noisy are the images of a batch with the start of an attack added, in the pixel box.
func noisy(p part, stream string, seed uint64, attack attacks.PGD) []float32 {
	d := len(p.host) / p.x.Shape().Dim(0)
	adv, noise := slices.Clone(p.host), make([]float32, d)
	for row := range p.n {
		attack.Noise(noise, data.Stream(seed, stream, uint64(p.first+row)))
		for k, v := range noise {
			adv[row*d+k] = min(max(adv[row*d+k]+v, 0), 1)
		}
	}
	return adv
}

// coins are ±1 for every value.
func (l *landscaper) coins(p part) *tensors.Tensor {
	d := len(p.host) / p.x.Shape().Dim(0)
	values := make([]float32, len(p.host))
	for row := range p.n {
		rng := data.Stream(l.Seed, "landscape/coins", uint64(p.first+row))
		for k := range d {
			values[row*d+k] = float32(2*rng.IntN(2) - 1)
		}
	}
	return p.like(values)
}

func square(n int) [][]float64 {
	z := make([][]float64, n)
	for i := range z {
		z[i] = make([]float64, n)
	}
	return z
}

// addPlane adds the values of f to z: row b, column a.
func addPlane(z [][]float64, reach float64, f func(a, b float64) (float64, error)) error {
	grid := evenly(reach, len(z))
	for row, b := range grid {
		for col, a := range grid {
			v, err := f(a, b)
			if err != nil {
				return err
			}
			z[row][col] += v
		}
	}
	return nil
}
