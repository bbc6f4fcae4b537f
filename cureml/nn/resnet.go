package nn

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// block is one residual block: x [B, H, W, in] -> [B, H/stride, W/stride, channels].
type block func(p *pass, x *Node, name string, planes, stride int) *Node

// resnet is the CIFAR form of He et al. (2016) in the naming of kuangliu/pytorch-cifar: a 3x3 stem without pooling, four
// stages of 1, 2, 4 and 8 times the base width, post-activation blocks, global average pooling and a classifier named
// linear.
func resnet(b block, depths ...int) func(p *pass, x *Node) *Node {
	return func(p *pass, x *Node) *Node {
		x = relu(p.convBN(x, "conv1", "bn1", p.net.Arch.Width, 3, 1))
		p.tap("stem", x)
		x = p.stages(x, b, depths)
		return p.linear(p.pool(x), "linear", p.net.Arch.Classes)
	}
}

// stages runs layer1 to layer4; all but the first halve the image in their first block.
func (p *pass) stages(x *Node, b block, depths []int) *Node {
	for stage, depth := range depths {
		for i := range depth {
			name := fmt.Sprintf("layer%d.%d", stage+1, i)
			x = b(p, x, name, p.net.Arch.Width<<stage, strideOf(stage, i))
			p.tap(name, x)
		}
	}
	return x
}

// strideOf is 2 for the first block of every stage but the first.
func strideOf(stage, i int) int {
	if stage > 0 && i == 0 {
		return 2
	}
	return 1
}

// basicBlock: relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut(x)).
func basicBlock(p *pass, x *Node, name string, planes, stride int) *Node {
	y := relu(p.convBN(x, name+".conv1", name+".bn1", planes, 3, stride))
	y = p.convBN(y, name+".conv2", name+".bn2", planes, 3, 1)
	return relu(Add(y, p.shortcut(x, name, planes, stride)))
}

// bottleneck: 1x1, 3x3 (strided) and 1x1 to four times the planes.
func bottleneck(p *pass, x *Node, name string, planes, stride int) *Node {
	const expansion = 4
	y := relu(p.convBN(x, name+".conv1", name+".bn1", planes, 1, 1))
	y = relu(p.convBN(y, name+".conv2", name+".bn2", planes, 3, stride))
	y = p.convBN(y, name+".conv3", name+".bn3", planes*expansion, 1, 1)
	return relu(Add(y, p.shortcut(x, name, planes*expansion, stride)))
}

// shortcut is the identity, or a 1x1 convolution with batch norm where the shape changes.
func (p *pass) shortcut(x *Node, name string, channels, stride int) *Node {
	if stride == 1 && x.Shape().Dim(-1) == channels {
		return x
	}
	return p.convBN(x, name+".shortcut.0", name+".shortcut.1", channels, 1, stride)
}
