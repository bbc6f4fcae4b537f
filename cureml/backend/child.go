package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Whatever may kill the process (a damaged library, an XLA flag that the build does not know) or may hang (a download)
// is done by a child: this very program started again with childEnv set. Package initialisation answers and exits, so
// that it works in any program that links this package, test binaries and notebook cells included.
const (
	childEnv    = "CURE_BACKEND_CHILD"     // the job
	childArgEnv = "CURE_BACKEND_CHILD_ARG" // its argument
	childMark   = "cure-backend-child:"    // precedes each message of the child on its standard output
)

// childJobs are the jobs that a child can be given. A job sends as many messages as it likes.
var childJobs = map[string]func(arg string, send func(any)){
	"probe":   childProbe,
	"install": childInstall,
}

func init() {
	job, ok := childJobs[os.Getenv(childEnv)]
	if !ok {
		return
	}
	job(os.Getenv(childArgEnv), func(message any) {
		text, err := json.Marshal(message)
		if err != nil {
			text = []byte(`{"Error":"message cannot be encoded"}`)
		}
		fmt.Printf("\n%s%s\n", childMark, text)
	})
	os.Exit(0)
}

// runChild starts a child with extra environment, hands each of its messages to got, and returns an error that says in
// one sentence how the child died, if it did.
func runChild(ctx context.Context, job, arg string, env []string, got func(message []byte)) error {
	self := "/proc/self/exe" // still the same program when the file was replaced meanwhile
	if runtime.GOOS != "linux" {
		var err error
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(append(os.Environ(), env...), childEnv+"="+job, childArgEnv+"="+arg)
	cmd.WaitDelay = time.Second
	out := &lineWriter{line: func(line []byte) {
		if message, ok := bytes.CutPrefix(line, []byte(childMark)); ok {
			got(message)
		}
	}}
	var complaint tail
	cmd.Stdout, cmd.Stderr = out, &complaint
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if said := complaint.lastWords(); said != "" {
		return fmt.Errorf("%s (%s)", err, said)
	}
	return err
}

// lineWriter hands complete lines on as they come.
type lineWriter struct {
	line    func([]byte)
	pending []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.pending = append(w.pending, p...)
	for {
		line, rest, ok := bytes.Cut(w.pending, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.line(line)
		w.pending = rest
	}
}

// tail keeps the first 64 KiB of what a child wrote to its standard error: what follows is a stack trace.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p[:min(len(p), 1<<16-len(t.buf))]...)
	return len(p), nil
}

// lastWords picks the line that explains a death: the last one before Go's or abseil's report of registers and stacks.
func (t *tail) lastWords() string {
	text := string(t.buf)
	for _, mark := range []string{"*** Check failure stack trace", "\nSIGABRT:", "\nSIGSEGV:", "\nSIGBUS:", "\ngoroutine ", "[signal "} {
		if i := strings.Index(text, mark); i >= 0 {
			text = text[:i]
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if len(last) > 300 {
		last = last[:300] + "..."
	}
	return last
}

// decode reads a message of a child; one that is cut off counts as empty.
func decode[T any](message []byte) (value T) {
	if json.Unmarshal(message, &value) != nil {
		var empty T
		return empty
	}
	return value
}

// firstLine is a text without the stack traces and pages that some errors carry.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
