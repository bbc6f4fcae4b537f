package cureml

import (
	"path/filepath"
	"slices"
	"testing"

	"cure/cureml/nn"
)

// startFile writes a small network with statistics of its own, as a natural training leaves them, and returns its path.
func startFile(t *testing.T, c Config) (path string, s *nn.State) {
	t.Helper()
	s, err := nn.Init(c.Arch, 99)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range s.Tensors {
		if tensor.Kind == nn.RunningMean || tensor.Kind == nn.RunningVar {
			for i := range s.Values[tensor.Name] {
				s.Values[tensor.Name][i] += 0.01 * float32(i-1)
			}
		}
	}
	path = filepath.Join(t.TempDir(), "start.safetensors")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	return path, s
}

// TestLayerwise trains single blocks: what is frozen keeps its bits, statistics as chosen, and the rest moves. The attack of
// adr-trades begins with a pass in mode T, which must leave frozen statistics alone too.
func TestLayerwise(t *testing.T) {
	for _, tc := range []struct {
		method, bn string
		LayerwiseConfig
	}{
		{"at", "", LayerwiseConfig{Train: "23"}},
		{"at", "", LayerwiseConfig{Train: "5", Reinit: true}},
		{"at", "", LayerwiseConfig{Train: "1", Stem: true, FrozenBN: "moving"}},
		{"at", "", LayerwiseConfig{Train: "4", Reinit: true, ReinitBN: true, FrozenBN: "moving"}},
		{"adr-trades", "T", LayerwiseConfig{Train: "4"}},
	} {
		l := tc.LayerwiseConfig
		c := smallConfig(tc.method)
		path, start := startFile(t, c)
		c.Init, c.Attack.BN, c.Layerwise = path, tc.bn, l
		dir := filepath.Join(t.TempDir(), "run")
		trainSmall(t, c, dir, false)
		end, err := LoadRun(dir, Student)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range start.Tensors {
			same := slices.Equal(start.Values[tensor.Name], end.Values[tensor.Name])
			want := c.frozen(tensor.Name)
			if !tensor.Kind.Trainable() && l.FrozenBN == "moving" {
				want = false
			}
			if same != want {
				t.Errorf("%+v: %s keeps its bits: %v, want %v", l, tensor.Name, same, want)
			}
		}
	}
}

// TestLayerwiseWhole: U-12345 with the stem is plain adversarial training, to the bit.
func TestLayerwiseWhole(t *testing.T) {
	c := smallConfig("at")
	path, _ := startFile(t, c)
	c.Init = path
	plain, whole := filepath.Join(t.TempDir(), "plain"), filepath.Join(t.TempDir(), "whole")
	trainSmall(t, c, plain, false)
	c.Layerwise = LayerwiseConfig{Train: "12345", Stem: true}
	trainSmall(t, c, whole, false)
	if outcome(t, plain) != outcome(t, whole) {
		t.Error("U-12345 differs from adversarial training")
	}
}

// TestReinit: the trained blocks start from new weights within the bounds of their distribution, the others from the file's.
func TestReinit(t *testing.T) {
	c := smallConfig("at")
	path, before := startFile(t, c)
	c.Init, c.Layerwise = path, LayerwiseConfig{Train: "35", Reinit: true}
	after, err := startState(&c, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range before.Tensors {
		now, then := after.Values[tensor.Name], before.Values[tensor.Name]
		block := c.Arch.Block(tensor.Name)
		drawn := (block == 3 || block == 5) && (tensor.Kind == nn.ConvWeight || tensor.Kind == nn.LinearWeight || tensor.Kind == nn.LinearBias)
		if slices.Equal(now, then) == drawn {
			t.Errorf("%s: new weights %v, want %v", tensor.Name, !drawn, drawn)
		}
		if !drawn || tensor.Kind != nn.ConvWeight {
			continue
		}
		var squares float64
		for _, v := range now {
			squares += float64(v) * float64(v)
		}
		fanOut := float64(9 * tensor.Shape[3])
		if tensor.Shape[0] == 1 {
			fanOut = float64(tensor.Shape[3])
		}
		n := float64(len(now))
		if got, want := squares/n, 2/fanOut; got < 0.7*want || got > 1.3*want { // 5 deviations of 100 uniform squares
			t.Errorf("%s: variance %v, want 2/fan_out = %v", tensor.Name, got, want)
		}
	}
}
