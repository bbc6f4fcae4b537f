//go:build proof

package cureml

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"cure/cureml/mltest"
	"cure/cureml/nn"
	"cure/data/mini"
)

// residentBytes is the memory of this process in bytes, from /proc.
func residentBytes(t *testing.T) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmRSS:") {
			if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bytes << 10
}

// TestMemoryFlat: with XLA, the process does not grow by a tenth of what a leak of one image tensor a step would add. Pools
// of malloc move the size up and down by more than that, so the smallest of several growths over 200 steps counts: a leak
// is in all of them.
func TestMemoryFlat(t *testing.T) {
	for _, method := range []string{"natural", "trades", "cure", "act", "st-at"} {
		c := Defaults(method)
		c.Arch, c.Batch, c.Attack.Steps = nn.Arch{Name: "resnet18", Width: 4, Classes: 10}, 32, 2
		s, err := NewStepper(mltest.XLA(t), c, mini.Train())
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int64
		for step := range 1001 {
			if step > 0 && step%200 == 0 {
				runtime.GC()
				sizes = append(sizes, residentBytes(t)>>10)
			}
			if _, err := s.Step(); err != nil {
				t.Fatal(err)
			}
		}
		s.Free()
		grown := int64(math.MaxInt64)
		for i, size := range sizes[1:] {
			grown = min(grown, size-sizes[i])
		}
		t.Logf("%s: resident after every 200 steps, in kB: %d", method, sizes)
		if image := int64(32 * 3072 * 4 >> 10); grown > 200*image/10 {
			t.Errorf("%s: grew by %d kB or more in all of %d times 200 steps", method, grown, len(sizes)-1)
		}
	}
}

// TestResumeXLA kills and resumes a run of CURE compiled by XLA, with the threads and kernels that real runs have.
func TestResumeXLA(t *testing.T) {
	whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
	runXLA(t, whole)
	for range 3 {
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"cureml.test", "-test.run=^TestResumeXLAChild$"}, &syscall.ProcAttr{
			Env: append(os.Environ(), "CURE_TEST_XLA_IN="+killed), Files: []uintptr{0, 2, 2}})
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, filepath.Join(killed, checkpointFile), 15*time.Minute)
		time.Sleep(2 * time.Second)
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	runXLA(t, killed)
	if outcome(t, whole) != outcome(t, killed) {
		t.Error("a run killed three times differs from an uninterrupted one")
	}
}

// TestResumeXLAChild is the process that TestResumeXLA kills.
func TestResumeXLAChild(t *testing.T) {
	dir := os.Getenv("CURE_TEST_XLA_IN")
	if dir == "" {
		t.Skip("only runs as a child of TestResumeXLA")
	}
	runXLA(t, dir)
}

// runXLA trains CURE at width 16 for 12 steps.
func runXLA(t *testing.T, dir string) {
	t.Helper()
	c := Defaults("cure")
	c.Arch, c.Epochs, c.Batch, c.EvalImages = resnet16, 2, 64, 64
	c.LogEvery, c.CheckpointEvery = 1, 2
	c.Attack.Steps = 3
	train, err := mini.Train().Slice(0, 400)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), mltest.XLA(t), c, Sets{Train: train, Test: mini.Test()}, dir, true, nil); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, path string, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear within %v", path, limit)
}
