package nn

import "testing"

// TestBlock: every tensor of every architecture belongs to a block, blocks never fall in the order of the tensors, and
// each of them has some.
func TestBlock(t *testing.T) {
	for name, stages := range map[string]int{"resnet18": 4, "resnet50": 4, "preactresnet18": 4, "preactresnet18-raw": 4,
		"preactresnet18-swish": 4, "wrn-16-2": 3, "wrn-16-2-swish": 3} {
		a, err := Parse(name, 2, 10)
		if err != nil {
			t.Fatal(err)
		}
		list, err := a.Tensors()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		last := 0
		for _, tensor := range list {
			b := a.Block(tensor.Name)
			if b < last {
				t.Errorf("%s: %s is in block %d, behind block %d", name, tensor.Name, b, last)
			}
			seen[b], last = true, b
		}
		if len(seen) != stages+2 || !seen[StemBlock] || !seen[ClassifierBlock] || !seen[stages] {
			t.Errorf("%s: blocks %v, want stem, %d stages and classifier", name, seen, stages)
		}
	}
}
