package cureml

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		t := &testing.T{}
		_, err := Train(context.Background(), mltest.GoBackend(t), smallConfig("cure"), smallSets(t), dir, true, nil)
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// trainSmall runs a small config to its end and returns the folder.
func trainSmall(t *testing.T, c Config, dir string, resume bool) {
	t.Helper()
	if _, err := Train(t.Context(), mltest.GoBackend(t), c, smallSets(t), dir, resume, nil); err != nil {
		t.Fatal(err)
	}
}

// outcome is what two runs must share to the bit: metrics without time fields, and all weights written.
func outcome(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	text, err := os.ReadFile(filepath.Join(dir, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v in %q", dir, err, line)
		}
		delete(m, "seconds")
		again, _ := json.Marshal(m)
		b.Write(append(again, '\n'))
	}
	for _, name := range []string{finalFile, Revision + weightsSuffix, NaturalPartner + weightsSuffix, EMATeacher + weightsSuffix} {
		if v, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			b.Write(v)
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestTrain runs every method to its end and looks at what the folder holds.
func TestTrain(t *testing.T) {
	teacher := smallTeacher(t)
	for _, method := range MethodNames() {
		dir := filepath.Join(t.TempDir(), method)
		c := smallConfig(method)
		c.Teacher = TeacherConfig{Robust: teacher, Natural: teacher}
		trainSmall(t, c, dir, false)
		s, warnings, err := nn.LoadFile(c.Arch, filepath.Join(dir, finalFile))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", method, err, warnings)
		}
		start, err := nn.Init(c.Arch, c.Seed)
		if err != nil {
			t.Fatal(err)
		}
		if s.Values["conv1.weight"][0] == start.Values["conv1.weight"][0] {
			t.Errorf("%s: the stem did not move", method)
		}
		passes := map[string]int64{
			"natural": 6, "at": 6, "trades": 12, "cure": 12, "cure-eff": 9,
			"act": 6, "lbgat": 12, "hat": 18, "mart": 12, "fat": 6, "fat-trades": 12, "fat-mart": 12, "st-at": 12,
			"las-at": 6, "las-trades": 12, "dafa": 12, "score-trades": 12, "score-generated": 12,
			"akd2": 18, "ard": 24, "iad-1": 24, "iad-2": 24, "score": 18, "adr": 18, "adr-trades": 24, // attacked in mode T
			"fast-at": 18, "free-at": 48, // with two steps in mode T, and eight replays
		}[method]
		if s.Tracked != passes {
			t.Errorf("%s: num_batches_tracked %d, want %d", method, s.Tracked, passes)
		}
		text, _ := os.ReadFile(filepath.Join(dir, metricsFile))
		// 6 steps in 2 epochs, logged every 2 and at both ends of an epoch; 2 evaluations.
		if train, eval := strings.Count(string(text), `"kind":"train"`), strings.Count(string(text), `"kind":"eval"`); train != 4 || eval != 2 {
			t.Errorf("%s: %d training lines and %d evaluations, want 4 and 2", method, train, eval)
		}
	}
}

// TestDiverges: a loss that is not finite ends the run, names the step and the last good checkpoint, and keeps that.
func TestDiverges(t *testing.T) {
	c := smallConfig("natural")
	c.CheckpointEvery, c.EvalEvery = 1, 0
	dir := filepath.Join(t.TempDir(), "run")
	folder, err := openFolder(dir, c, false)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	r, err := newRun(mltest.GoBackend(t), c, smallStart(t, c), smallSets(t), folder, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r.afterStep = func(step int) {
		if step == 2 {
			if err := r.memory.set("student/"+"linear.bias", []float32{float32(math.NaN()), 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = r.train(t.Context())
	if err == nil || !strings.Contains(err.Error(), "NaN at step 3") || !strings.Contains(err.Error(), "of step 2") {
		t.Fatalf("got %v, want an error with the step and the checkpoint", err)
	}
}
