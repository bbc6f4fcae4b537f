package sweep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Phase is how far a task is.
type Phase string

// Phases of a task.
const (
	Done   Phase = "done"
	Work   Phase = "in work" // some process has claimed it
	Failed Phase = "failed"  // the last attempt failed; another one may not
	Ready  Phase = "ready"
	Waits  Phase = "waiting" // for a training that is not done
)

// State is what is known of a task.
type State struct {
	Phase Phase
	Why   string // of a failure
}

// String is the phase, with its reason.
func (s State) String() string {
	if s.Why != "" {
		return fmt.Sprintf("%s: %s", s.Phase, s.Why)
	}
	return string(s.Phase)
}

// States are those of all tasks, by index, read off the files of the sweep.
func (s *Sweep) States() ([]State, error) {
	states := make([]State, len(s.Tasks))
	for i, t := range s.Tasks { // a task needs others with lower indexes only
		done, err := s.done(t)
		if err != nil {
			return nil, fmt.Errorf("sweep: %s: %w", t.Name, err)
		}
		why, err := os.ReadFile(s.failure(t))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("sweep: %w", err)
		}
		switch {
		case done:
			states[i].Phase = Done
		case s.claimed(t):
			states[i].Phase = Work
		case err == nil:
			states[i] = State{Failed, strings.TrimSpace(string(why))}
		default:
			states[i].Phase = Ready
			for _, need := range t.Needs {
				if states[need].Phase != Done {
					states[i].Phase = Waits
				}
			}
		}
	}
	return states, nil
}
