package nn

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// preactResNet is PreActResNet-18 in the naming of kuangliu/pytorch-cifar with the final batch norm `bn` and ReLU that
// the robust-overfitting code of Rice et al., RobustBench and CURE use; Arch.NoFinalBN gives the older form without, and
// so does preactresnet18-raw.
func preactResNet(depths ...int) func(p *pass, x *Node) *Node {
	return func(p *pass, x *Node) *Node {
		a := p.net.Arch
		raw := a.Name == "preactresnet18-raw"
		x = p.conv(x, "conv1", a.Width, 3, 1)
		p.tap("stem", x)
		x = p.stages(x, preactBlock(raw), depths)
		if !raw && !a.NoFinalBN {
			x = relu(p.batchNorm(x, "bn"))
		}
		return p.linear(p.pool(x), "linear", a.Classes)
	}
}

// preactBlock: conv2(relu(bn2(conv1(a)))) + shortcut with a = relu(bn1 x); the shortcut is x itself, or where the shape
// changes a 1x1 convolution of a (of x if raw).
func preactBlock(raw bool) block {
	return func(p *pass, x *Node, name string, planes, stride int) *Node {
		a := relu(p.batchNorm(x, name+".bn1"))
		y := relu(p.convBN(a, name+".conv1", name+".bn2", planes, 3, stride))
		y = p.conv(y, name+".conv2", planes, 3, 1)
		if stride != 1 || x.Shape().Dim(-1) != planes {
			if !raw {
				x = a
			}
			x = p.conv(x, name+".shortcut.0", planes, 1, stride)
		}
		return Add(y, x)
	}
}

// preactResNetSwish is the PreActResNet of Rebuffi et al. (2021), names as in google-deepmind/deepmind-research
// adversarial_robustness/pytorch/model_zoo.py: SiLU, SAME padding, and shortcuts that are 3x3 convolutions of the
// block's input.
func preactResNetSwish(depths ...int) func(p *pass, x *Node) *Node {
	return func(p *pass, x *Node) *Node {
		p.same = true
		x = p.conv(x, "conv_2d", p.net.Arch.Width, 3, 1)
		p.tap("stem", x)
		for stage, depth := range depths {
			for i := range depth {
				name := fmt.Sprintf("layer_%d.%d", stage, i)
				x = preactBlockSwish(p, x, name, p.net.Arch.Width<<stage, strideOf(stage, i))
				p.tap(name, x)
			}
		}
		x = silu(p.batchNorm(x, "batchnorm"))
		return p.linear(p.pool(x), "logits", p.net.Arch.Classes)
	}
}

// preactBlockSwish: conv_2d_2(silu(bn1(conv_2d_1(silu(bn0 x))))) + shortcut.
func preactBlockSwish(p *pass, x *Node, name string, planes, stride int) *Node {
	y := silu(p.batchNorm(x, name+".batchnorm_0"))
	y = silu(p.convBN(y, name+".conv_2d_1", name+".batchnorm_1", planes, 3, stride))
	y = p.conv(y, name+".conv_2d_2", planes, 3, 1)
	if stride != 1 || x.Shape().Dim(-1) != planes {
		x = p.conv(x, name+".shortcut", planes, 3, stride)
	}
	return Add(y, x)
}
