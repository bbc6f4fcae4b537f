package nn

import (
	"strconv"
	"strings"
)

// Blocks of a network, as layer-wise studies count them: the stem is 0, stages are 1 to 4 (1 to 3 in a WideResNet), and
// the classifier is 5. A norm behind the last stage belongs to that stage.
const (
	StemBlock       = 0
	ClassifierBlock = 5
)

// Block is the block that a tensor of a belongs to.
func (a Arch) Block(tensor string) int {
	stages := 4
	if strings.HasPrefix(a.Name, "wrn-") {
		stages = 3
	}
	for _, form := range []struct {
		prefix string
		first  int
	}{{"layer.", 0}, {"layer_", 0}, {"layer", 1}, {"block", 1}} {
		rest, ok := strings.CutPrefix(tensor, form.prefix)
		digits, _, dot := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(digits); ok && dot && err == nil {
			return n - form.first + 1
		}
	}
	layer, _, _ := strings.Cut(tensor, ".")
	switch layer {
	case "linear", "fc", "logits":
		return ClassifierBlock
	case "bn", "batchnorm":
		return stages
	case "bn1":
		if stages == 3 { // TRADES' naming of the norm before pooling; elsewhere bn1 follows the stem
			return stages
		}
	}
	return StemBlock
}
