package cureml

import (
	"testing"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/cureml/zoo"
	"cure/data/mini"
)

// TestHealthyNetworksRaiseNoFlag: network O, one trained on clean images and one trained with TRADES.
func TestHealthyNetworksRaiseNoFlag(t *testing.T) {
	const n = 8
	networks := map[string]*nn.State{"O": networkO(t)}
	names := []string{"trades"}
	if proof() {
		names = zoo.Names()
	}
	for _, name := range names {
		s, err := zoo.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		networks[name] = s
	}
	set, err := mini.Test().Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	backend := mltest.XLA(t)
	ev, err := attacks.NewEvaluator(HostModel(backend, networks["O"]), n)
	if err != nil {
		t.Fatal(err)
	}
	defer ev.Close()
	for name, s := range networks {
		// An evaluation without attacks puts other weights into the compiled programs.
		if _, err := ev.Evaluate(t.Context(), HostModel(backend, s).Weights, set.Images, set.Labels, nil, attacks.Options{}); err != nil {
			t.Fatal(err)
		}
		flags, err := ev.Diagnose(t.Context(), set.Images, set.Labels, attacks.DiagnoseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range flags {
			t.Errorf("%s: %v (%g, threshold %g)", name, f, f.Value, f.Threshold)
		}
	}
}
