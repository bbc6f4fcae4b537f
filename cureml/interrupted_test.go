package cureml

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cure/cureml/mltest"
)

// childFolder makes the test binary train in a folder, for tests that kill it.
const childFolder = "CURE_TEST_TRAIN_IN"

// TestInterrupted: a run that is cancelled and resumed, at any step, ends in the same bits.
func TestInterrupted(t *testing.T) {
	c := smallConfig("cure")
	c.Cure.WarmupEpochs = 1 // CURE-Eff: the switch must survive too
	resumes(t, c, 1, 3, 4)
}

// stopped trains into dir until a step, at which the run is cancelled, and returns what that ends with.
func stopped(t *testing.T, c Config, dir string, stop int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	folder, err := openFolder(dir, c, false)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	r, err := newRun(mltest.GoBackend(t), c, smallStart(t, c), smallSets(t), folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.afterStep = func(step int) {
		if step == stop {
			cancel()
		}
	}
	_, err = r.train(ctx)
	return err
}

// resumes compares runs that are cancelled after one of the steps, and then resumed, with one that is not.
func resumes(t *testing.T, c Config, stops ...int) {
	t.Helper()
	whole := filepath.Join(t.TempDir(), "whole")
	trainSmall(t, c, whole, false)
	want := outcome(t, whole)
	for _, stop := range stops {
		dir := filepath.Join(t.TempDir(), "stopped")
		err := stopped(t, c, dir, stop)
		if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "--resume") {
			t.Fatalf("stopped after step %d: got %v, want ErrInterrupted and how to resume", stop, err)
		}
		trainSmall(t, c, dir, true)
		if outcome(t, dir) != want {
			t.Errorf("stopped after step %d, the resumed run differs from an uninterrupted one", stop)
		}
	}
}

// TestKilled kills a training process with SIGKILL, once while it begins and each time that it has saved a checkpoint, and
// resumes it.
func TestKilled(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	c := smallConfig("cure")
	trainSmall(t, c, whole, false)
	want := outcome(t, whole)
	dir := filepath.Join(t.TempDir(), "killed")
	var last time.Time
	for kill := range 4 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFolder+"="+dir)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- child.Wait() }()
		for saved := false; !saved; {
			select {
			case err := <-ended:
				t.Fatalf("the run ended before kill %d: %v", kill, err)
			case <-time.After(5 * time.Millisecond):
			}
			file := checkpointFile
			if kill == 0 {
				file = configFile
			}
			info, err := os.Stat(filepath.Join(dir, file))
			saved = err == nil && (kill == 0 || info.ModTime().After(last))
			if saved && kill > 0 {
				last = info.ModTime()
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
	trainSmall(t, c, dir, true)
	if outcome(t, dir) != want {
		t.Error("a run killed four times differs from an uninterrupted one")
	}
}
