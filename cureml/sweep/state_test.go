package sweep

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestStates: a task fails, is told with its reason, holds up what needs it alone, and succeeds once the cause is gone.
func TestStates(t *testing.T) {
	g := small()
	g.Attacks, g.Shard = nil, 0
	s := create(t, g)
	phases := func() (list []Phase) {
		t.Helper()
		states, err := s.States()
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range states {
			list = append(list, state.Phase)
		}
		return list
	}
	// trainings of natural and TRADES; natural's last, TRADES' best and last
	if got, want := phases(), []Phase{Ready, Ready, Waits, Waits, Waits}; !slices.Equal(got, want) {
		t.Fatalf("at first %v, want %v", got, want)
	}
	inTheWay := filepath.Join(s.Dir, "mini/runs", s.Tasks[0].Run)
	if err := write(inTheWay, []byte("no folder")); err != nil {
		t.Fatal(err)
	}
	err := s.Do(t.Context(), s.Tasks[0])
	if err == nil || !strings.Contains(err.Error(), s.Tasks[0].Name) {
		t.Fatalf("with a file in the way: %v", err)
	}
	states, err := s.States()
	if err != nil || states[0].Phase != Failed || !strings.Contains(states[0].Why, s.Tasks[0].Run) {
		t.Errorf("state %v (%v)", states[0], err)
	}
	m, err := s.Merge(t.Context())
	if err != nil || len(m.Cards) != 0 || len(m.Missing) != 2 || !strings.Contains(m.Missing[0], "is waiting") {
		t.Errorf("merged %+v, %v", m, err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	held, err := s.claim(t.Context(), s.Tasks[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := phases()[0]; got != Work {
		t.Errorf("claimed: %s, want %s", got, Work)
	}
	// Another process waits for whoever has claimed the task, and then for whoever trains the run.
	said := make(chan string, 10)
	s.Log = lines(func(line string) { said <- line })
	end := make(chan error, 1)
	go func() { end <- s.Do(t.Context(), s.Tasks[0]) }()
	if line := <-said; !strings.Contains(line, s.Tasks[0].Name+" is in work in another process: waiting") {
		t.Errorf("said %q", line)
	}
	lock := holdRun(t, inTheWay)
	held.release()
	for line := range said { // training says that it begins
		if strings.Contains(line, "is trained by another process: waiting") {
			break
		}
	}
	if got := phases()[0]; got != Work {
		t.Errorf("waiting: %s, want %s", got, Work)
	}
	lock.Close()
	go func() {
		for range said {
		}
	}()
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	if got, want := phases(), []Phase{Done, Ready, Ready, Waits, Waits}; !slices.Equal(got, want) {
		t.Errorf("at last %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Do(ctx, s.Tasks[1]); !errors.Is(err, context.Canceled) || phases()[1] != Ready {
		t.Errorf("interrupted: %v, %v", err, phases())
	}
}

type lines func(string)

func (f lines) Write(p []byte) (int, error) { f(string(p)); return len(p), nil }

// holdRun holds the lock of a run folder, as a process that trains in it does.
func holdRun(t *testing.T, dir string) *os.File {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}
