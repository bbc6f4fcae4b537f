package cureml

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cure/cureml/nn"
)

// guardedTrial is Fast-AT for four epochs of three steps on images of one class, which leaves it in the test's hands
// whether the network is robust: decide, called at the end of an epoch, says which class it sees everywhere.
func guardedTrial(t *testing.T, decide func(epoch int) (class int)) trial {
	c := smallConfig("fast-at")
	c.Epochs, c.Attack.Steps, c.Average.Decay = 4, 1, 0.9
	sets := smallSets(t)
	same := *sets.Train
	same.Labels = slices.Repeat([]int32{3}, same.Len())
	sets.Train = &same
	return trial{config: c, sets: sets, hook: func(r *run, step int) {
		if step%3 != 0 {
			return
		}
		bias := make([]float32, 10)
		bias[decide(step/3)] = 1000
		for _, role := range []string{student, Averaged} {
			if err := r.memory.set(role+"/linear.bias", bias); err != nil {
				t.Fatal(err)
			}
		}
	}}
}

// TestGuard: a network that loses all robustness in epoch 3 ends the run with everything as it was after epoch 2, says
// so, and stays that way when it is resumed.
func TestGuard(t *testing.T) {
	good := guardedTrial(t, func(epoch int) int { return 3 })
	dir, s := good.whole(t)
	if lines := metricsOf(t, dir, "guard"); s.Ended != "" || s.Steps != 12 || len(lines) != 4 || lines[3]["guard_robust"] != 1. {
		t.Errorf("a robust run: %+v, %v", s, lines)
	}

	collapse := guardedTrial(t, func(epoch int) int {
		if epoch >= 3 {
			return 5
		}
		return 3
	})
	kept := map[string][]float32{}
	inner := collapse.hook
	collapse.hook = func(r *run, step int) {
		inner(r, step)
		if step != 6 {
			return
		}
		for _, name := range r.memory.moving() {
			v, err := r.memory.host(name)
			if err != nil {
				t.Fatal(err)
			}
			kept[name] = v
		}
	}
	dir, s = collapse.whole(t)
	lines := metricsOf(t, dir, "guard")
	if s.Steps != 6 || !strings.Contains(s.Ended, "fell from 100.0% after epoch 2 to 0.0% after epoch 3") || !strings.Contains(s.Ended, "weights are those of epoch 2") || len(lines) != 3 {
		t.Fatalf("a collapsing run: %+v, %v", s, lines)
	}
	if last := lines[2]; last["ended"] != s.Ended || last["guard_robust"] != 0. || last["restored_epoch"] != 2. || last["epoch"] != 3. {
		t.Errorf("its last line: %v", last)
	}
	for file, role := range map[string]string{finalFile: student, "average.safetensors": Averaged} {
		got, _, err := nn.LoadFile(collapse.config.Arch, filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range got.Values {
			if !slices.Equal(v, kept[role+"/"+name]) {
				t.Errorf("%s: %s is not that of epoch 2", file, name)
			}
		}
		if got.Tracked != 12 { // two passes a step, one of them in the attack
			t.Errorf("%s: num_batches_tracked %d, want 12", file, got.Tracked)
		}
	}
	before := tensorsOf(t, dir) + outcome(t, dir)
	again, err := collapse.run(t, dir, true, 0)
	if err != nil || again.Ended != s.Ended || again.Steps != 6 || tensorsOf(t, dir)+outcome(t, dir) != before {
		t.Errorf("resumed after its end: %+v, %v", again, err)
	}
}

// TestGuardThreshold: only a fall by more than the drop, from one epoch to the next, ends a run.
func TestGuardThreshold(t *testing.T) {
	for want, robust := range map[int][]float64{
		4: {0.5, 0.31, 0.12, 0},      // falls, but never by a fifth at once
		1: {0.5, 0.29, 0.5, 0.5},     // ends after epoch 2
		3: {0.1, 0.9, 0.75, 0.5},     // ends after epoch 4
		2: {0.1, 0.75, 0.5, 1. / 16}, // exactly representable: a fall of 0.25 is more than 0.2
	} {
		c := smallConfig("fast-at")
		c.Epochs, c.Attack.Steps, c.EvalEvery = 4, 1, 0
		x := trial{config: c, sets: smallSets(t), prepare: func(r *run) {
			r.guard.measure = func(_ context.Context, _ *run, epoch int) (float64, error) { return robust[epoch-1], nil }
		}}
		_, s := x.whole(t)
		if s.Steps != 3*want || (s.Ended != "") != (want < 4) {
			t.Errorf("accuracies %v: the weights are of step %d, want %d (%s)", robust, s.Steps, 3*want, s.Ended)
		}
	}
	// at the threshold itself nothing happens
	c := smallConfig("fast-at")
	c.Epochs, c.Attack.Steps, c.EvalEvery, c.Guard.Drop = 2, 1, 0, 0.25
	x := trial{config: c, sets: smallSets(t), prepare: func(r *run) {
		r.guard.measure = func(_ context.Context, _ *run, epoch int) (float64, error) { return 0.75 - 0.25*float64(epoch), nil }
	}}
	if _, s := x.whole(t); s.Ended != "" {
		t.Error(s.Ended)
	}
}

// TestSeconds: the seconds of a run hold its steps and measurements, each of them once.
func TestSeconds(t *testing.T) {
	c := smallConfig("fast-at")
	c.Epochs, c.Attack.Steps = 4, 1
	const pause = 200 * time.Millisecond
	x := trial{config: c, sets: smallSets(t), prepare: func(r *run) {
		r.guard.measure = func(context.Context, *run, int) (float64, error) { time.Sleep(pause); return 1, nil }
	}}
	began := time.Now()
	_, s := x.whole(t)
	if all := time.Since(began).Seconds(); s.Seconds > all || s.Seconds < 4*pause.Seconds() {
		t.Errorf("a run with measurements of %v took %.3f s of %.3f s", 4*pause, s.Seconds, all)
	}
}

// TestGuardResumes: a run that the guard ends, and one that it does not, end in the same bits however they were
// interrupted: before and after epochs ends, in the collapsing epoch, and while the guard measures or goes back.
func TestGuardResumes(t *testing.T) {
	collapse := guardedTrial(t, func(epoch int) int {
		if epoch >= 3 {
			return 5
		}
		return 3
	})
	collapse.config.EvalEvery = 0
	stops := []int{6, 8}
	if proof() {
		stops = []int{3, 6, 7, 8}
	}
	collapse.wantResumes(t, "a collapsing run", stops...)

	whole, _ := collapse.whole(t)
	want := outcome(t, whole) + tensorsOf(t, whole)
	for name, prepare := range map[string]func(r *run){
		"measures": func(r *run) {
			measure := r.guard.measure
			r.guard.measure = func(ctx context.Context, r *run, epoch int) (float64, error) {
				if epoch == 3 {
					panic(killed{})
				}
				return measure(ctx, r, epoch)
			}
		},
		"goes back": func(r *run) {
			measure := r.guard.measure
			r.guard.measure = func(ctx context.Context, r *run, epoch int) (float64, error) {
				v, err := measure(ctx, r, epoch)
				if epoch == 3 { // the line is written, the state is not read
					if err := os.Rename(filepath.Join(r.folder.dir, lastEpochFolder), filepath.Join(r.folder.dir, "gone")); err != nil {
						t.Fatal(err)
					}
				}
				return v, err
			}
		},
	} {
		broken, dir := collapse, filepath.Join(t.TempDir(), "run")
		broken.prepare = prepare
		if _, err := broken.run(t, dir, false, 0); err == nil {
			t.Fatalf("%s: the run ended", name)
		}
		if gone := filepath.Join(dir, "gone"); name == "goes back" {
			if err := os.Rename(gone, filepath.Join(dir, lastEpochFolder)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := collapse.run(t, dir, true, 0); err != nil || outcome(t, dir)+tensorsOf(t, dir) != want {
			t.Errorf("stopped while the guard %s, the resumed run differs (%v)", name, err)
		}
	}
}
