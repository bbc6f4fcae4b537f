package nn

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// wideResNet is WideResNet-depth-widen (Zagoruyko and Komodakis, 2016) without dropout, in the naming of
// yaodongyu/TRADES models/wideresnet.py: three groups blockI.layer.J of (depth-4)/6 pre-activation blocks with widen,
// 2·widen and 4·widen times the base width, then bn1, pooling and fc.
func wideResNet(depth, widen int) func(p *pass, x *Node) *Node {
	return func(p *pass, x *Node) *Node {
		x = p.conv(x, "conv1", p.net.Arch.Width, 3, 1)
		p.tap("stem", x)
		for group := range 3 {
			for j := range (depth - 4) / 6 {
				stride := 1
				if group > 0 && j == 0 {
					stride = 2
				}
				name := fmt.Sprintf("block%d.layer.%d", group+1, j)
				x = wideBlock(p, x, name, p.net.Arch.Width*widen<<group, stride)
				p.tap(name, x)
			}
		}
		x = relu(p.batchNorm(x, "bn1"))
		return p.linear(p.pool(x), "fc", p.net.Arch.Classes)
	}
}

// wideBlock: conv2(relu(bn2(conv1(a)))) + x, a = relu(bn1 x); where the number of channels changes, a goes through the
// 1x1 convShortcut instead of x.
func wideBlock(p *pass, x *Node, name string, planes, stride int) *Node {
	a := relu(p.batchNorm(x, name+".bn1"))
	y := relu(p.convBN(a, name+".conv1", name+".bn2", planes, 3, stride))
	y = p.conv(y, name+".conv2", planes, 3, 1)
	if x.Shape().Dim(-1) != planes {
		x = p.conv(a, name+".convShortcut", planes, 1, stride)
	}
	return Add(y, x)
}
