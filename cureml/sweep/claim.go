package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// pause is how long a process waits before it looks again whether another one is through.
const pause = 500 * time.Millisecond

// claim is a lock on one task, so that two processes never do the same. The kernel drops it with the process, however that
// ends: a killed task leaves nothing to clean up. Between machines it holds where the file system passes locks on
// (NFS 4, Lustre with flock, CephFS).
type claim struct{ file *os.File }

// claim waits until no other process is at work on t.
func (s *Sweep) claim(ctx context.Context, t Task) (*claim, error) {
	path := filepath.Join(s.Dir, "locks", t.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	err = s.wait(ctx, t.Name+" is in work in another process", func() error {
		return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}, syscall.EWOULDBLOCK)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("sweep: %s: %w", t.Name, err)
	}
	return &claim{file}, nil
}

func (c *claim) release() { c.file.Close() }

// claimed says whether a process is at work on t.
func (s *Sweep) claimed(t Task) bool {
	file, err := os.Open(filepath.Join(s.Dir, "locks", t.Name))
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// wait tries until the error is another one than busy, and says once what it waits for.
func (s *Sweep) wait(ctx context.Context, what string, try func() error, busy error) error {
	for said := false; ; said = true {
		err := try()
		if !errors.Is(err, busy) {
			return err
		}
		if !said {
			s.logf("%s: waiting for it", what)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (s *Sweep) logf(format string, args ...any) {
	if s.Log != nil {
		fmt.Fprintf(s.Log, format+"\n", args...)
	}
}
