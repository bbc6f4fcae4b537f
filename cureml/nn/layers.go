package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"github.com/gomlx/compute/dtypes"
)

// conv is a k x k convolution without bias: x [B, H, W, in] -> [B, H/s, W/s, out]. It pads with k/2 zeros on every side
// at any stride, as PyTorch's networks do, or in a network with p.same as TensorFlow's SAME does for images of even size:
// k-s zeros in all, the odd one at the right and bottom.
func (p *pass) conv(x *Node, name string, out, k, stride int) *Node {
	return p.convolve(x, p.kernel(x, name, out, k), stride)
}

// Conv is the k x k convolution of the networks here, x [B, H, W, in] and w [k, k, in, out] -> [B, H/stride, W/stride, out],
// with k/2 zeros on every side and with gradients in the forms that the backend runs fastest.
func Conv(x, w *Node, stride int) *Node { return (&pass{net: &Net{}}).convolve(x, w, stride) }

func (p *pass) kernel(x *Node, name string, out, k int) *Node {
	in := x.Shape().Dim(-1)
	return p.tensor(Tensor{Name: name + ".weight", Shape: []int{k, k, in, out}, Kind: ConvWeight})
}

// pixelChannels is how many channels images have at most. Their convolution stays float32 in a network that computes in
// bfloat16: its numbers between 0.5 and 1 are 0.004 apart, half of an attack's step of 2/255, so that networks
// would be trained on other perturbations than those that the attack found.
const pixelChannels = 4

func (p *pass) convolve(x, w *Node, stride int) *Node {
	dtype := x.DType()
	if c := p.net.Compute; c != dtypes.InvalidDType && c != dtype && x.Shape().Dim(-1) > pixelChannels {
		x, w = ConvertDType(x, c), ConvertDType(w, c)
	}
	k := w.Shape().Dim(0)
	if even := x.Shape().Dim(1)%2 == 0 && x.Shape().Dim(2)%2 == 0; stride == 2 && even && (k == 1 || k == 3 && !p.same) {
		return ConvertDType(halve(x, w), dtype)
	}
	if k == 3 && stride == 1 {
		return ConvertDType(smooth(x, w), dtype)
	}
	pad := [2]int{k / 2, k / 2}
	if p.same {
		all := max(k-stride, 0)
		pad = [2]int{all / 2, all - all/2}
	}
	y := Convolve(x, w).Strides(stride).PaddingPerDim([][2]int{pad, pad}).Done()
	return ConvertDType(y, dtype)
}

// convBN is conv followed by batch norm. In mode E the norm is a fixed scale and shift per output channel, so it is
// folded into the kernel: the attack's steps then have no normalisation left to run.
func (p *pass) convBN(x *Node, conv, bn string, out, k, stride int) *Node {
	w := p.kernel(x, conv, out, k)
	if !p.fixed(bn) {
		return p.batchNorm(p.convolve(x, w, stride), bn)
	}
	scale, shift := p.affine(bn, out)
	return Add(p.convolve(x, Mul(w, wide(scale, 4)), stride), wide(shift, 4))
}

// linear is x [B, in] -> [B, out] with bias.
func (p *pass) linear(x *Node, name string, out int) *Node {
	in := x.Shape().Dim(-1)
	w := p.tensor(Tensor{Name: name + ".weight", Shape: []int{in, out}, Kind: LinearWeight})
	b := p.tensor(Tensor{Name: name + ".bias", Shape: []int{out}, Kind: LinearBias, FanIn: in})
	return Add(MatMul(x, w), wide(b, 2))
}

// pool averages over the image: [B, H, W, C] -> [B, C].
func (p *pass) pool(x *Node) *Node {
	x = ReduceMean(x, 1, 2)
	p.tap("pooled", x)
	return x
}

// relu is max(0, x), with gradient 0 at 0, as PyTorch's. The gradient looks at the output alone, so that XLA is free to
// compute relu together with what comes before it: it must not be GreaterThan, as XLA knows that max(0, x) > 0 is x > 0,
// and would keep x.
func relu(x *Node) *Node {
	zero := ScalarZero(x.Graph(), x.DType())
	rectify := func(in []*Node) *Node { return Max(zero, in[0]) }
	return closedForm(rectify, []*Node{x}, func(dy *Node) []*Node {
		return []*Node{Where(NotEqual(rectify([]*Node{x}), zero), dy, ZerosLike(dy))}
	})
}

// silu is x·sigmoid(x), also called swish.
func silu(x *Node) *Node { return Mul(x, Sigmoid(x)) }

// wide reshapes a per-channel vector [C] to [1, ..., 1, C].
func wide(v *Node, rank int) *Node { return ExpandLeftToRank(v, rank) }
