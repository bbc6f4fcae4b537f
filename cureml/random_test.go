package cureml

import (
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
)

// TestKeyedNumbersAgreeAcrossBackends: random models draw the same numbers on XLA as on the Go backend.
func TestKeyedNumbersAgreeAcrossBackends(t *testing.T) {
	draw := func(backend compute.Backend) (uniform, normal []float32) {
		exec, err := NewExec(backend, func(keys *Node) []*Node {
			return []*Node{attacks.KeyedUniform(attacks.SplitKeys(keys, 3), 5, 7), attacks.KeyedNormal(keys, 9)}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer exec.Finalize()
		out, err := exec.Call([][]uint32{{1, 2}, {1 << 31, 1<<32 - 1}, {0, 0}})
		if err != nil {
			t.Fatal(err)
		}
		for i, to := range []*[]float32{&uniform, &normal} {
			if *to, err = tensors.CopyFlatData[float32](out[i]); err != nil {
				t.Fatal(err)
			}
		}
		return uniform, normal
	}
	uniform, normal := draw(mltest.XLA(t))
	wantUniform, wantNormal := draw(mltest.GoBackend(t))
	mltest.Close(t, "uniform", uniform, wantUniform, 0, 0)
	mltest.Close(t, "normal", normal, wantNormal, 1e-5, 1e-5)
}
