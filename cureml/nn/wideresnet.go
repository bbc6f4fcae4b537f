package nn

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
)

// wideNames is one naming of the tensors of a WideResNet, with what else tells the two published forms apart.
type wideNames struct {
	stem, block                      string // block is a format of group and index
	group                            int    // of the first group
	bn1, conv1, bn2, conv2, shortcut string // within a block
	bn, linear                       string
	activation                       func(*Node) *Node
	same                             bool // pad as TensorFlow's SAME
}

// tradesNames is the naming of yaodongyu/TRADES models/wideresnet.py.
var tradesNames = wideNames{
	stem: "conv1", block: "block%d.layer.%d", group: 1,
	bn1: "bn1", conv1: "conv1", bn2: "bn2", conv2: "conv2", shortcut: "convShortcut",
	bn: "bn1", linear: "fc", activation: relu,
}

// deepMindNames is the naming of google-deepmind/deepmind-research adversarial_robustness/pytorch/model_zoo.py, which
// RobustBench keeps in architectures/dm_wide_resnet.py.
var deepMindNames = wideNames{
	stem: "init_conv", block: "layer.%d.block.%d", group: 0,
	bn1: "batchnorm_0", conv1: "conv_0", bn2: "batchnorm_1", conv2: "conv_1", shortcut: "shortcut",
	bn: "batchnorm", linear: "logits", activation: silu, same: true,
}

// wideResNet is WideResNet-depth-widen (Zagoruyko and Komodakis, 2016) without dropout: three groups of (depth-4)/6
// pre-activation blocks with widen, 2·widen and 4·widen times the base width, then norm, pooling and classifier.
func wideResNet(names wideNames, depth, widen int) func(p *pass, x *Node) *Node {
	return func(p *pass, x *Node) *Node {
		p.same = names.same
		x = p.conv(x, names.stem, p.net.Arch.Width, 3, 1)
		p.tap("stem", x)
		for group := range 3 {
			for j := range (depth - 4) / 6 {
				name := fmt.Sprintf(names.block, names.group+group, j)
				x = wideBlock(p, x, names, name+".", p.net.Arch.Width*widen<<group, strideOf(group, j))
				p.tap(name, x)
			}
		}
		x = names.activation(p.batchNorm(x, names.bn))
		return p.linear(p.pool(x), names.linear, p.net.Arch.Classes)
	}
}

// wideBlock: conv2(act(bn2(conv1(a)))) + x, a = act(bn1 x); where the number of channels changes, a goes through the
// 1x1 shortcut instead of x.
func wideBlock(p *pass, x *Node, names wideNames, name string, planes, stride int) *Node {
	a := names.activation(p.batchNorm(x, name+names.bn1))
	y := names.activation(p.convBN(a, name+names.conv1, name+names.bn2, planes, 3, stride))
	y = p.conv(y, name+names.conv2, planes, 3, 1)
	if x.Shape().Dim(-1) != planes {
		x = p.conv(a, name+names.shortcut, planes, 1, stride)
	}
	return Add(y, x)
}
