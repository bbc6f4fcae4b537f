package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// bnEps and bnMomentum are PyTorch's: the running statistics move by a tenth of the way at each training pass.
const (
	bnEps      = 1e-5
	bnMomentum = 0.1
)

// batchNorm normalises each channel of x [B, H, W, C]:
//
//	y = (x - mean) / sqrt(var + 1e-5) · weight + bias
//
// In mode E, mean and var are the running statistics. In modes T and T0 they are those of the batch (the biased
// variance), through which gradients flow; T then moves the running ones, run <- 0.9 run + 0.1 batch, with the unbiased
// variance, as PyTorch's BatchNorm2d does.
func (p *pass) batchNorm(x *Node, name string) *Node {
	c := x.Shape().Dim(-1)
	if p.fixed(name) {
		scale, shift := p.affine(name, c)
		return Add(Mul(x, wide(scale, x.Rank())), wide(shift, x.Rank()))
	}
	weight, bias, runMean, runVar := p.norms(name, c)
	n := float64(x.Shape().Size() / c)
	mean, variance := statistics(x)
	if p.mode == Train && p.declare == nil {
		p.track(name+".running_mean", runMean, mean)
		p.track(name+".running_var", runVar, MulScalar(variance, n/max(n-1, 1)))
	}
	normalise := func(in []*Node) *Node {
		mean, variance := statistics(in[0])
		scale := Div(in[1], Sqrt(AddScalar(variance, bnEps)))
		return Add(Mul(Sub(in[0], spread(mean, x)), spread(scale, x)), spread(in[2], x))
	}
	// With s = 1/sqrt(var + eps) and c = x - mean, db = sum(dy), dw = s·sum(dy·c), and
	// dx = s·weight·(dy - sum(dy)/n - c·s²·sum(dy·c)/n): two sums, where gradients step by step take four.
	return closedForm(normalise, []*Node{x, weight, bias}, func(dy *Node) []*Node {
		centred := Sub(x, spread(mean, x))
		inverse := Div(OnesLike(variance), Sqrt(AddScalar(variance, bnEps)))
		all, along := channelSum(dy), channelSum(Mul(dy, centred))
		dx := Sub(Sub(dy, spread(MulScalar(all, 1/n), x)), Mul(centred, spread(MulScalar(Mul(Square(inverse), along), 1/n), x)))
		return []*Node{Mul(dx, spread(Mul(weight, inverse), x)), Mul(inverse, along), all}
	})
}

// statistics are the mean and the biased variance of each channel of x [B, H, W, C]: both [C].
func statistics(x *Node) (mean, variance *Node) {
	n := float64(x.Shape().Size() / x.Shape().Dim(-1))
	mean = MulScalar(channelSum(x), 1/n)
	return mean, MulScalar(channelSum(Square(Sub(x, spread(mean, x)))), 1/n)
}

// fixed says whether a norm uses its running statistics in this pass.
func (p *pass) fixed(name string) bool {
	return p.mode == Eval || p.net.FixedNorm != nil && p.net.FixedNorm(name)
}

func (p *pass) track(name string, run, batch *Node) {
	p.net.Vars[name] = Add(MulScalar(run, 1-bnMomentum), MulScalar(StopGradient(batch), bnMomentum))
}

// affine is batch norm in mode E as y = x·scale + shift, both [C].
func (p *pass) affine(name string, c int) (scale, shift *Node) {
	weight, bias, mean, variance := p.norms(name, c)
	scale = Div(weight, Sqrt(AddScalar(variance, bnEps)))
	return scale, Sub(bias, Mul(mean, scale))
}

func (p *pass) norms(name string, c int) (weight, bias, mean, variance *Node) {
	get := func(suffix string, kind Kind) *Node {
		return p.tensor(Tensor{Name: name + suffix, Shape: []int{c}, Kind: kind})
	}
	return get(".weight", NormWeight), get(".bias", NormBias), get(".running_mean", RunningMean), get(".running_var", RunningVar)
}
