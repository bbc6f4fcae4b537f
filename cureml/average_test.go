package cureml

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data/mini"
)

// TestAverage follows an average that starts after the first of three epochs of three steps. The recorded weights of the
// student give the average in closed form: after step n (from 0) it is Σ_k (1 - d_k)·θ_k·Π_{j=k+1..n} d_j, with d = 0 in
// epoch 1 and then min(0.22, (1+t)/(10+t)) for t = 0, 1, ...
func TestAverage(t *testing.T) {
	c := smallConfig("trades")
	c.Epochs, c.Attack.Steps, c.EvalImages, c.Validation = 3, 1, 8, 0.3
	c.Average = AverageConfig{Decay: 0.22, Start: 1}
	decays := []float64{0, 0, 0, 1. / 10, 2. / 11, 0.22, 0.22, 0.22, 0.22}
	type weights map[string][]float32
	record := func(r *run, role string) weights {
		w := weights{}
		for _, tensor := range r.memory.roles[0].list {
			v, err := r.memory.host(role + "/" + tensor.Name)
			if err != nil {
				t.Fatal(err)
			}
			w[tensor.Name] = v
		}
		return w
	}
	var students, averages []weights
	sets := smallSets(t)
	var err error
	if sets.Train, err = mini.Train().Slice(0, 40); err != nil { // 12 or so are held out
		t.Fatal(err)
	}
	x := trial{config: c, sets: sets, hook: func(r *run, _ int) {
		students, averages = append(students, record(r, student)), append(averages, record(r, Averaged))
	}}
	dir, _ := x.whole(t)
	if len(students) != 9 {
		t.Fatalf("%d steps, want 9", len(students))
	}
	list, err := c.Arch.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	for n := range students {
		for _, tensor := range list {
			got := averages[n][tensor.Name]
			if !tensor.Kind.Trainable() || decays[n] == 0 {
				if !slices.Equal(got, students[n][tensor.Name]) {
					t.Errorf("step %d: %s of the average is not a copy of the student's", n, tensor.Name)
				}
				continue
			}
			want := make([]float64, len(got))
			for k := range n + 1 {
				share := 1 - decays[k]
				for _, d := range decays[k+1 : n+1] {
					share *= d
				}
				for i, v := range students[k][tensor.Name] {
					want[i] += share * float64(v)
				}
			}
			mltest.Close(t, fmt.Sprintf("step %d: %s", n, tensor.Name), got, want, 1e-7, 1e-6)
			if n == 8 && tensor.Name == "conv1.weight" && slices.Equal(got, students[n][tensor.Name]) {
				t.Error("the average is the student")
			}
		}
	}

	same := func(file string, want weights) bool {
		s, _, err := nn.LoadFile(c.Arch, filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range want {
			if !slices.Equal(s.Values[name], v) {
				return false
			}
		}
		return true
	}
	if !same("average.safetensors", averages[8]) || !same(finalFile, students[8]) {
		t.Error("the files at the end are not the average and the student")
	}
	best, top := 0, -1.
	for epoch, line := range metricsOf(t, dir, "eval") {
		if v := line["val_robust"].(float64); v > top {
			best, top = epoch, v
		}
	}
	if !same(bestFile, averages[3*best+2]) || same(bestFile, students[3*best+2]) && best > 0 {
		t.Errorf("the best checkpoint is not the average after epoch %d", best+1)
	}
	saved, err := LoadRun(dir, Averaged)
	if err != nil || !slices.Equal(saved.Values["conv1.weight"], averages[8]["conv1.weight"]) {
		t.Errorf("LoadRun: %v", err)
	}
	if names, err := RunNetworks(c); err != nil || !slices.Equal(names, []string{Student, Best, Averaged}) {
		t.Errorf("networks %v, %v", names, err)
	}
	if err := os.Remove(filepath.Join(dir, "average.safetensors")); err != nil {
		t.Fatal(err)
	}
	saved, err = LoadRun(dir, Averaged) // from the checkpoint, as of a run that is not finished
	if err != nil || !slices.Equal(saved.Values["linear.bias"], averages[8]["linear.bias"]) || len(saved.Warnings) != 1 {
		t.Errorf("LoadRun from the checkpoint: %v", err)
	}
}

// TestAverageInWarmup: the average follows the student through the natural epochs before CURE too.
func TestAverageInWarmup(t *testing.T) {
	c := smallConfig("cure-eff")
	c.Epochs, c.Attack.Steps, c.EvalEvery, c.Cure.WarmupEpochs = 2, 1, 0, 1
	c.Average = AverageConfig{Decay: 0.9, Start: 1}
	steps := 0
	x := trial{config: c, sets: smallSets(t), hook: func(r *run, _ int) {
		if steps++; steps > r.batcher.perEpoch {
			return
		}
		for _, name := range []string{"conv1.weight", "bn1.running_mean"} {
			now, err := r.memory.host(student + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			average, err := r.memory.host(Averaged + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(now, average) {
				t.Errorf("step %d: %s of the average is not the student's", steps, name)
			}
		}
	}}
	x.whole(t)
	if steps == 0 {
		t.Error("no step was looked at")
	}
}
