package backend

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// A program that runs again and again must reuse its memory: without the malloc settings this chain of convolutions, which
// needs 100 MB, touches 25,000 fresh pages a run, with them a thousand, or five where other work moves its threads about.
func TestMemoryIsKept(t *testing.T) {
	p := installedPlugin(t)
	if tuningOff() || userTunesMalloc() || !keepMemory() {
		t.Skip("malloc is not ours to tune here")
	}
	b, err := Open(Options{Name: "xla:" + p.Path})
	if err != nil {
		t.Fatal(err)
	}
	x := tensors.FromFlatDataAndDimensions(make([]float32, 64*32*32*16), 64, 32, 32, 16)
	w := tensors.FromFlatDataAndDimensions(make([]float32, 3*3*16*16), 3, 3, 16, 16)
	exec, err := graph.NewExec(b, func(x, w *graph.Node) *graph.Node {
		h := x
		for range 24 {
			h = graph.MaxScalar(graph.Convolve(h, w).PadSame().Done(), 0)
		}
		return graph.Gradient(graph.ReduceAllSum(h), x)[0]
	})
	if err != nil {
		t.Fatal(err)
	}
	run := func(times int) (faults int64) {
		before := pageFaults(t)
		for range times {
			out, err := exec.Call(x, w)
			if err != nil {
				t.Fatal(err)
			}
			if err := out[0].FinalizeAll(); err != nil {
				t.Fatal(err)
			}
		}
		return pageFaults(t) - before
	}
	run(5)
	if faults := run(10) / 10; faults > 10000 {
		t.Errorf("%d page faults a run", faults)
	}
}

// What malloc hands out must lie where the system was asked for large pages.
func TestLargePages(t *testing.T) {
	p := installedPlugin(t)
	if tuningOff() || userTunesMalloc() {
		t.Skip("malloc is not ours to tune here")
	}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this system has no large pages")
	}
	if mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory"); err != nil || bytes.HasPrefix(mode, []byte("2")) {
		t.Skip("this system counts memory as used that is only asked for")
	}
	if _, err := Open(Options{Name: "xla:" + p.Path}); err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var asked, size int // kB
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] == "Size:":
			if size, err = strconv.Atoi(fields[1]); err != nil {
				t.Fatal(err)
			}
		case fields[0] == "VmFlags:" && slices.Contains(fields, "hg"):
			asked += size
		}
	}
	if asked < 1<<20 {
		t.Errorf("large pages were asked for on %d kB", asked)
	}
}

func pageFaults(t *testing.T) int64 {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return usage.Minflt
}
