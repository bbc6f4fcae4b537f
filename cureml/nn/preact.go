package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// preactResNet is PreActResNet-18 in the naming of kuangliu/pytorch-cifar with the final batch norm `bn` and ReLU that
// the robust-overfitting code of Rice et al., RobustBench and CURE use; Arch.NoFinalBN gives the older form without.
func preactResNet(depths ...int) func(p *pass, x *Node) *Node {
	return func(p *pass, x *Node) *Node {
		x = p.conv(x, "conv1", p.net.Arch.Width, 3, 1)
		p.tap("stem", x)
		x = p.stages(x, preactBlock, depths)
		if !p.net.Arch.NoFinalBN {
			x = relu(p.batchNorm(x, "bn"))
		}
		return p.linear(p.pool(x), "linear", p.net.Arch.Classes)
	}
}

// preactBlock: conv2(relu(bn2(conv1(a)))) + shortcut with a = relu(bn1 x); the shortcut is x itself, or a 1x1
// convolution of a where the shape changes.
func preactBlock(p *pass, x *Node, name string, planes, stride int) *Node {
	a := relu(p.batchNorm(x, name+".bn1"))
	y := relu(p.convBN(a, name+".conv1", name+".bn2", planes, 3, stride))
	y = p.conv(y, name+".conv2", planes, 3, 1)
	if stride != 1 || x.Shape().Dim(-1) != planes {
		x = p.conv(a, name+".shortcut.0", planes, 1, stride)
	}
	return Add(y, x)
}
