package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"cure/cureml"
	"cure/cureml/backend"
	"cure/cureml/mltest"
	"cure/data"
	"cure/data/mini"
)

// The test binary does one task when taskEnv is set to a folder and an index, and kills itself after killEnv milliseconds.
const (
	taskEnv = "CURE_SWEEP_TEST_TASK"
	killEnv = "CURE_SWEEP_TEST_KILL"
)

func TestMain(m *testing.M) {
	dir, index, child := strings.Cut(os.Getenv(taskEnv), "\n")
	if !child {
		code := m.Run()
		os.RemoveAll(shared)
		os.Exit(code)
	}
	if ms, err := strconv.Atoi(os.Getenv(killEnv)); err == nil {
		time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	}
	device := func(string) (compute.Backend, error) { return backend.Open(backend.Options{Name: "go"}) }
	s, err := Open(dir, Env{OpenSets: embedded, OpenDevice: device})
	if err == nil {
		var i int
		if i, err = strconv.Atoi(index); err == nil {
			err = s.Do(context.Background(), s.Tasks[i])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// embedded are the embedded images under one label, which networks learn in a step or two: attacks have something to do in
// every shard.
func embedded(_, ref string) (cureml.Sets, error) {
	if ref != "" && !strings.HasPrefix(ref, "mini") {
		return cureml.Sets{}, errors.New("no such data: " + ref)
	}
	same := func(s *data.Set) *data.Set {
		out := *s
		out.Labels = slices.Repeat([]int32{3}, s.Len())
		return &out
	}
	return cureml.Sets{Train: same(mini.Train()), Test: same(mini.Test())}, nil
}

// env computes on the Go backend.
func env(t *testing.T) Env {
	return Env{OpenSets: embedded, OpenDevice: func(string) (compute.Backend, error) { return mltest.GoBackend(t), nil }}
}

// small is a grid of seconds: networks of width 2, two steps on 16 images each, 8 test images.
func small() Grid {
	none := 0
	return Grid{Preset: "ci", Methods: []string{"trades", "natural"}, Epochs: 1, AutoAttack: &none, Attacks: []string{"fgsm-rs+fgsm"}, Shard: 5}
}

func create(t *testing.T, g Grid) *Sweep {
	t.Helper()
	s, err := Create(filepath.Join(t.TempDir(), "sweep"), g, env(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shared is the folder of undisturbed.
var shared string

// undisturbed is the sweep of small, done task by task from the last to the first, so that evaluations train what they
// attack; tests share it.
var undisturbed = sync.OnceValues(func() (*Sweep, error) {
	var err error
	if shared, err = os.MkdirTemp("", "sweep"); err != nil {
		return nil, err
	}
	device := func(string) (compute.Backend, error) { return backend.Open(backend.Options{Name: "go"}) }
	s, err := Create(filepath.Join(shared, "sweep"), small(), Env{OpenSets: embedded, OpenDevice: device})
	if err != nil {
		return nil, err
	}
	for _, task := range slices.Backward(s.Tasks) {
		if err := s.Do(context.Background(), task); err != nil {
			return nil, err
		}
	}
	_, err = s.Merge(context.Background())
	return s, err
})

func whole(t *testing.T) *Sweep {
	t.Helper()
	s, err := undisturbed()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestKilled: a sweep whose processes are killed at different moments, and started again, ends in the same reports and cards.
func TestKilled(t *testing.T) {
	if os.Getenv("CURE_PROOF") == "" {
		t.Skip("a minute of killing processes, for make proof")
	}
	want := whole(t)
	s := create(t, small())
	var mutex sync.Mutex
	tries := make([]int, len(s.Tasks))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	worker := func(ctx context.Context, task Task) *exec.Cmd {
		mutex.Lock()
		defer mutex.Unlock()
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s\n%d", taskEnv, s.Dir, task.Index))
		if n := tries[task.Index]; n < 2 && task.Index%2 == 0 { // every other task, twice, later the second time
			cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", killEnv, 150+100*(task.Index%5)+400*n))
		}
		tries[task.Index]++
		return cmd
	}
	kills := 0
	for {
		err := s.Run(t.Context(), Local{Jobs: 2, Worker: worker})
		if err == nil {
			break
		}
		if kills++; !errors.Is(err, ErrFailed) || kills > 10 {
			t.Fatalf("run %d: %v", kills, err)
		}
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
	if m, err := s.Merge(t.Context()); err != nil || len(m.Cards) != 2 || m.Missing != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	compared := 0
	err = filepath.WalkDir(filepath.Join(want.Dir, "mini"), func(path string, _ os.DirEntry, err error) error {
		below, e := filepath.Rel(want.Dir, path)
		if kind := filepath.Base(filepath.Dir(filepath.Dir(path))); err == nil && e == nil && strings.HasSuffix(path, ".json") && (kind == "reports" || filepath.Base(filepath.Dir(path)) == "cards") {
			compared++
			if got, want := timeless(t, filepath.Join(s.Dir, below)), timeless(t, path); got != want {
				t.Errorf("%s is\n%s\nwant\n%s", below, got, want)
			}
		}
		return errors.Join(err, e)
	})
	if err != nil || compared < 5 {
		t.Errorf("%d files compared (%v)", compared, err)
	}
}
