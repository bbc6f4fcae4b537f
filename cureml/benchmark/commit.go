package benchmark

import (
	"os/exec"
	"strings"
	"sync"

	"cure/cureml/backend"
	"cure/cureml/bench"
)

// commit is that of the program, or, where its build did not record one, as in a notebook, of the checkout around it; ""
// where neither is known.
var commit = sync.OnceValue(func() string {
	if c := bench.Commit(); c != "" {
		return c
	}
	root, ok := backend.Root()
	if !ok {
		return ""
	}
	head, err := exec.Command("git", "-C", root, "rev-parse", "HEAD").Output()
	if err != nil {
		return ""
	}
	c := strings.TrimSpace(string(head))
	if changes, err := exec.Command("git", "-C", root, "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changes) > 0 {
		c += " modified"
	}
	return c
})
