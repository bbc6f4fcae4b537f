package study

import (
	"sync"
	"sync/atomic"
	"time"
)

// follower reads metrics.jsonl while a run writes it. As the run's writer of progress it knows when the run has begun:
// before that, a resumed run may still cut the file back to its checkpoint.
type follower struct {
	dir  string
	each func(Line)

	begun  atomic.Bool
	offset int64
	seen   Metrics
}

// Write takes a line of progress, which says nothing that metrics.jsonl does not.
func (f *follower) Write(p []byte) (int, error) {
	f.begun.Store(true)
	return len(p), nil
}

// follow reads twice a second until stop, which waits for the end of the last reading.
func (f *follower) follow() (stop func()) {
	done := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if f.begun.Load() {
					_ = f.drain() // what is wrong with the file is still wrong when the run has ended
				}
			}
		}
	})
	return func() { close(done); reading.Wait() }
}

// drain hands over the lines that were not seen yet.
func (f *follower) drain() error {
	lines, end, err := readMetrics(f.dir, f.offset)
	f.offset = end
	for _, l := range lines {
		f.seen = append(f.seen, l)
		f.each(l)
	}
	return err
}
