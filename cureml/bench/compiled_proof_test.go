//go:build proof

package bench

import (
	"os"
	"testing"
)

// TestCompiledPeer: torch.compile takes minutes for the tasks of one network.
func TestCompiledPeer(t *testing.T) {
	python := os.Getenv("CURE_PYTHON")
	if python == "" {
		t.Skip("CURE_PYTHON names no interpreter with PyTorch")
	}
	have, missing := Installed(t.Context(), python, []string{"compiled"})
	if missing != "" {
		t.Fatal(missing)
	}
	runPeers(t, python, have, "resnet18")
}
