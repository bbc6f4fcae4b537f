package study

import (
	"reflect"
	"testing"

	"cure/cureml/analysis"
	"cure/cureml/nn"
)

// What was found before about the same networks and images is read; anything else is computed.
func TestBeyond(t *testing.T) {
	s, _ := small(t)
	s.device = nil
	t.Setenv("GOMLX_BACKEND", "go")
	net := func(seed uint64) analysis.Network {
		state, err := nn.Init(nn.Arch{Name: "resnet18", Width: 1, Classes: 10}, seed)
		if err != nil {
			t.Fatal(err)
		}
		return analysis.Network{Name: "natural", State: state}
	}
	b := &Beyond{study: s, sizes: beyondSizes{lipschitz: 2}, Networks: []analysis.Network{net(1)}}
	first, err := b.Lipschitz()
	if err != nil {
		t.Fatal(err)
	}
	if first.Images != 2 || len(first.Networks) != 1 || !(first.Networks[0].Logits[1] > 0) {
		t.Errorf("got %+v, want values of two images", first)
	}
	withoutBackend(t, s)
	again, err := b.Lipschitz()
	if err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("the second time: got %+v, %v, want %+v", again, err, first)
	}
	b.sizes.lipschitz = 3
	if _, err := b.Lipschitz(); err == nil {
		t.Error("other images: read from a file, want an attempt to compute")
	}
	b.sizes.lipschitz, b.Networks = 2, []analysis.Network{net(2)}
	if _, err := b.Lipschitz(); err == nil {
		t.Error("other weights: read from a file, want an attempt to compute")
	}
}

func TestBeyondSizes(t *testing.T) {
	for _, p := range presets {
		b := &Beyond{sizes: beyondBy[p.Name]}
		o := analysis.DefaultLandscape()
		o.Line, o.Plane, o.Steps = b.sizes.line, b.sizes.plane, b.sizes.steps
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		for i, v := range []int{b.sizes.landscape, b.sizes.linearity, b.sizes.lipschitz, b.sizes.boundary, b.sizes.transfer, b.sizes.fairness, b.sizes.sparsity, b.sizes.calibration / 2} {
			if v < 1 {
				t.Errorf("%s: analysis %d takes %d images", p.Name, i, v)
			}
		}
	}
}

// The networks of the small presets come with the program.
func TestBeyondNetworks(t *testing.T) {
	s, _ := small(t)
	withoutBackend(t, s)
	b, err := s.Beyond()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"natural", "trades", "cure"} {
		if n := b.Networks[i]; n.Name != name || n.Arch.Width != 16 {
			t.Errorf("network %d is %s, %s, want %s of width 16", i, n.Name, n.Arch, name)
		}
	}
}
