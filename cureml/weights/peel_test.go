package weights

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestPeelPyTorch takes every wrapping of the same network back to the same names.
func TestPeelPyTorch(t *testing.T) {
	plain, err := Read("testdata/zip.pt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"zip.pt", "legacy.pt", "state_dict.pt", "model.pt", "net_legacy.pt", "nested.pt", "module.pt"} {
		d, err := Read(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		p := Peel(d)
		if !slices.Equal(p.Names, plain.Names) {
			t.Errorf("%s: got %q, want %q", file, p.Names, plain.Names)
			continue
		}
		for _, name := range p.Names {
			if !slices.Equal(p.Tensors[name].Data, plain.Tensors[name].Data) {
				t.Errorf("%s: %s differs", file, name)
			}
		}
	}
}

func TestPeel(t *testing.T) {
	for _, tc := range []struct {
		name        string
		groups      []string
		names, want []string
	}{
		{"nothing to do", nil, []string{"conv1.weight", "fc.bias"}, []string{"conv1.weight", "fc.bias"}},
		{"prefix", nil, []string{"module.a", "module.b"}, []string{"a", "b"}},
		{"prefixes in any order", nil, []string{"model.module.model.a"}, []string{"a"}},
		{"container without a pickle", nil, []string{"state_dict.a", "state_dict.b"}, []string{"a", "b"}},
		{"not shared by all", nil, []string{"model.a", "mean"}, []string{"model.a", "mean"}},
		{"container beside others", []string{"net", "optimizer"}, []string{"net.a", "optimizer.state.0.momentum_buffer"}, []string{"a"}},
		{"model_state_dict", []string{"model_state_dict", "ema"}, []string{"model_state_dict.a", "ema.a"}, []string{"a"}},
		{"last before best", []string{"best", "last"}, []string{"best.a", "last.b"}, []string{"b"}},
		{"preferred container", []string{"model", "state_dict"}, []string{"model.a", "state_dict.b"}, []string{"b"}},
		{"container in a container", []string{"model", "model.net", "model.opt"}, []string{"model.net.a", "model.opt.b", "eps"}, []string{"a"}},
		{"bare prefix", nil, []string{"module."}, []string{"module."}},
		{"longer word", nil, []string{"models.a"}, []string{"models.a"}},
		{"empty", nil, nil, nil},
	} {
		d := &Dict{Meta: map[string]string{"k": "v"}, groups: tc.groups}
		for _, n := range tc.names {
			d.Set(n, Int64s(nil, []int64{1}))
		}
		p := Peel(d)
		if !slices.Equal(p.Names, tc.want) || len(p.Tensors) != len(tc.want) || p.Meta["k"] != "v" {
			t.Errorf("%s: got %q, want %q", tc.name, p.Names, tc.want)
		}
		if !slices.Equal(d.Names, tc.names) {
			t.Errorf("%s: Peel changed its argument to %q", tc.name, d.Names)
		}
	}
}
