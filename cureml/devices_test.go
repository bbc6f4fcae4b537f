package cureml

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mesh"
	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data/mini"
)

// after is all that a run holds after some steps on b, by name, with the losses under "losses".
func after(t *testing.T, b compute.Backend, c Config, steps int) map[string][]float32 {
	t.Helper()
	c.Devices = mesh.Devices(b)
	s, err := NewStepper(b, c, mini.Train())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	all := map[string][]float32{}
	for range steps {
		loss, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		all["losses"] = append(all["losses"], float32(loss))
	}
	for _, name := range s.programs.memory.names {
		if all[name], err = s.programs.memory.host(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestDevices: weights, velocities, running statistics and losses after steps on 2 and 4 devices are those of one. Sums in
// another order can choose another entry of CURE's mask, which moves it by a whole step; hence one step, and a hundredth of
// the entries may differ.
func TestDevices(t *testing.T) {
	type trial struct {
		method, onDevice string
		devices          []int
		steps            int
		within, differ   float64
	}
	trials := []trial{{"trades", "on", []int{2}, 3, 2e-3, 0}}
	if proof() {
		trials = append(trials, trial{"natural", "", []int{2, 4}, 3, 1e-4, 0}, trial{"cure", "", []int{2}, 1, 1e-4, 0.01})
	}
	for _, c := range trials {
		cfg := smallConfig(c.method)
		cfg.Arch = nn.Arch{Name: "wrn-10-1", Width: 4, Classes: 10}
		cfg.DataOnDevice = c.onDevice
		want := after(t, mltest.Devices(t, 1), cfg, c.steps)
		for _, n := range c.devices {
			got := after(t, mltest.Devices(t, n), cfg, c.steps)
			all, apart := 0, 0
			worst := ""
			for name, w := range want {
				if len(got[name]) != len(w) {
					t.Fatalf("%s, %d devices: %d values of %s, want %d", c.method, n, len(got[name]), name, len(w))
				}
				for i, v := range w {
					all++
					if g := got[name][i]; !(math.Abs(float64(g-v)) <= c.within*(1+math.Abs(float64(v)))) {
						apart++
						worst = fmt.Sprintf("%s[%d] is %v, want %v", name, i, g, v)
					}
				}
			}
			if float64(apart) > c.differ*float64(all) {
				t.Errorf("%s, %d devices: %d of %d values differ by more than %g; %s", c.method, n, apart, all, c.within, worst)
			}
			t.Logf("%s, %d devices: %d of %d values apart", c.method, n, apart, all)
		}
	}
}

// TestDevicesEvaluate: logits and the verdicts and images of a PGD evaluation on 2 devices are those of one.
func TestDevicesEvaluate(t *testing.T) {
	state, err := nn.Init(nn.Arch{Name: "wrn-10-1", Width: 4, Classes: 10}, 1)
	if err != nil {
		t.Fatal(err)
	}
	set, err := mini.Test().Slice(0, 8)
	if err != nil {
		t.Fatal(err)
	}
	images := make([]float32, len(set.Images))
	for i, v := range set.Images {
		images[i] = float32(v) / 255
	}
	cfg := smallConfig("trades")
	pgd := cfg.Attack.pgd("ce", attacks.Uniform)
	pgd.Steps = 5
	logits, robust := map[int][]float32{}, map[int]*attacks.Report{}
	for _, n := range []int{1, 2} {
		b := mltest.Devices(t, n)
		model := HostModel(b, state)
		exec, err := NewExec(b, func(in []*Node) *Node { return model.Logits(in[1:], in[0]) })
		if err != nil {
			t.Fatal(err)
		}
		args := []any{tensors.FromFlatDataAndDimensions(images, set.Len(), 32, 32, 3)}
		for _, w := range model.Weights {
			args = append(args, w)
		}
		out, err := exec.Call(args...)
		if err != nil {
			t.Fatal(err)
		}
		if logits[n], err = tensors.CopyFlatData[float32](out[0]); err != nil {
			t.Fatal(err)
		}
		ev, err := attacks.NewEvaluator(model, set.Len())
		if err != nil {
			t.Fatal(err)
		}
		robust[n], err = ev.Evaluate(t.Context(), nil, set.Images, set.Labels, []attacks.Attack{{Name: "pgd", Method: pgd}}, attacks.Options{Seed: 1, KeepAdv: true})
		ev.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	mltest.Close(t, "logits", logits[2], logits[1], 1e-5, 1e-5)
	if a, b := robust[1], robust[2]; a.Clean.Accuracy != b.Clean.Accuracy || a.RobustAccuracy != b.RobustAccuracy {
		t.Errorf("accuracies %g and %g on one device, %g and %g on two", a.Clean.Accuracy, a.RobustAccuracy, b.Clean.Accuracy, b.RobustAccuracy)
	}
}

// TestDevicesRefused: a batch that cannot be shared out, and a backend with another number of devices.
func TestDevicesRefused(t *testing.T) {
	c := smallConfig("natural")
	c.Devices = 3
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "multiple of the 3 devices") {
		t.Errorf("batch 8 on 3 devices: %v", err)
	}
	c.Devices = 2
	if _, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), t.TempDir(), false, nil); err == nil || !strings.Contains(err.Error(), "devices 2") {
		t.Errorf("2 devices on a backend with one: %v", err)
	}
}

// BenchmarkDevices is a step of TRADES with PGD-10, ResNet-18 of width 16, batch 64, on one CPU device and on two.
func BenchmarkDevices(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(string(rune('0'+n)), func(b *testing.B) {
			c := Defaults("trades")
			c.Arch, c.Batch, c.Devices = nn.Arch{Name: "resnet18", Width: 16, Classes: 10}, 64, n
			s, err := NewStepper(mltest.Devices(b, n), c, mini.Train())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Free()
			if _, err := s.Step(); err != nil { // compiles
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
