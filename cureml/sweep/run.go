package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Local is how Run starts tasks.
type Local struct {
	Jobs int // processes at a time, at least 1
	// Worker makes the command that calls Do for a task.
	Worker func(ctx context.Context, t Task) *exec.Cmd
}

// ErrFailed is the cause of the error about tasks that failed.
var ErrFailed = errors.New("failed")

// Run does all tasks that are not done, each in a process of its own on this machine, and starts one when those that it
// needs are done. What a task prints goes to a file of the folder logs. A task that fails does not end the others; Run ends
// when nothing is left to start, with an error that names those that failed and those that wait for them. Cancelling ctx
// passes SIGTERM on to the tasks, which save what they have.
func (s *Sweep) Run(ctx context.Context, l Local) error {
	if l.Jobs < 1 {
		return fmt.Errorf("sweep: %d jobs: want at least 1", l.Jobs)
	}
	states, err := s.States()
	if err != nil {
		return err
	}
	left := map[int]bool{}
	for i, state := range states {
		if state.Phase != Done {
			left[i] = true
		}
	}
	s.logf("%d of %d tasks are done", len(s.Tasks)-len(left), len(s.Tasks))
	type end struct {
		task int
		err  error
		took time.Duration
	}
	ends, running, failed := make(chan end), map[int]bool{}, map[int]bool{}
	for {
		for i := range s.Tasks {
			if !left[i] || running[i] || failed[i] || len(running) == l.Jobs || ctx.Err() != nil || !s.free(i, left) {
				continue
			}
			running[i] = true
			go func() {
				began := time.Now()
				err := s.process(ctx, l, s.Tasks[i])
				ends <- end{i, err, time.Since(began)}
			}()
		}
		if len(running) == 0 {
			break
		}
		e := <-ends
		delete(running, e.task)
		t := s.Tasks[e.task]
		if e.err != nil {
			failed[e.task] = true
			s.logf("%s failed: %v", t.Name, e.err)
			continue
		}
		delete(left, e.task)
		s.logf("%s: %s, %d of %d tasks are done", t.Name, e.took.Round(100*time.Millisecond), len(s.Tasks)-len(left), len(s.Tasks))
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("sweep: interrupted; the same call goes on: %w", ctx.Err())
	case len(left) > 0:
		return fmt.Errorf("sweep: %d of %d tasks %w (%s), %d wait for them: the files in %s say why, and the same call tries them again",
			len(failed), len(s.Tasks), ErrFailed, s.named(failed), len(left)-len(failed), filepath.Join(s.Dir, "logs"))
	}
	return nil
}

// free says whether a task needs nothing that is left to do.
func (s *Sweep) free(i int, left map[int]bool) bool {
	for _, need := range s.Tasks[i].Needs {
		if left[need] {
			return false
		}
	}
	return true
}

// process does one task in a process of its own.
func (s *Sweep) process(ctx context.Context, l Local, t Task) error {
	path := filepath.Join(s.Dir, "logs", t.Name+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := l.Worker(ctx, t)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute // for a checkpoint
	if err := cmd.Run(); err != nil {
		if why, note := os.ReadFile(s.failure(t)); note == nil {
			return errors.New(strings.TrimSpace(string(why)))
		}
		return fmt.Errorf("%w: see %s", err, path)
	}
	if done, err := s.done(t); err != nil || !done {
		return errors.Join(fmt.Errorf("its process ended well and left nothing"), err)
	}
	return nil
}

// named are tasks in words.
func (s *Sweep) named(tasks map[int]bool) string {
	var names []string
	for i, t := range s.Tasks {
		if tasks[i] {
			names = append(names, t.Name)
		}
	}
	return strings.Join(names, ", ")
}
