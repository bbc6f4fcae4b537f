// Package mltest holds what tests of numerical code share: a backend per process and comparisons with tolerances.
package mltest

import (
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"cure/cureml/backend"
)

var (
	openDefault = sync.OnceValues(func() (compute.Backend, error) { return backend.Open(backend.Options{}) })
	openGo      = sync.OnceValues(func() (compute.Backend, error) { return backend.Open(backend.Options{Name: "go"}) })
)

// Backend is XLA where a plugin is found, else the pure Go backend; one for all tests of a process.
func Backend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := openDefault()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// XLA is [Backend], and skips the test where that is not XLA.
func XLA(t testing.TB) compute.Backend {
	t.Helper()
	b := Backend(t)
	if b.Name() != "xla" {
		t.Skip("no PJRT plugin found: run 'make setup' to test with XLA")
	}
	return b
}

// GoBackend is the pure Go backend, which computes float64 exactly and starts small graphs in milliseconds.
func GoBackend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	meshMutex sync.Mutex
	meshes    = map[int]compute.Backend{}
)

// Devices is XLA on n devices of a CPU that compute together, one device being plain XLA. The test is skipped where there
// is no such plugin.
func Devices(t testing.TB, n int) compute.Backend {
	t.Helper()
	meshMutex.Lock()
	defer meshMutex.Unlock()
	if meshes[n] == nil {
		b, err := backend.Open(backend.Options{Name: "xla:cpu", Devices: n})
		if errors.Is(err, backend.ErrNoPlugin) {
			t.Skip("no PJRT plugin for CPU found: run 'make setup' to test with XLA")
		}
		if err != nil {
			t.Fatal(err)
		}
		meshes[n] = b
	}
	return meshes[n]
}

// Close fails the test unless |got[i]-want[i]| <= atol + rtol*|want[i]| for every i, and reports the worst place.
// NaN is close to nothing.
func Close[T, U ~float32 | ~float64](t testing.TB, what string, got []T, want []U, atol, rtol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d values, want %d", what, len(got), len(want))
		return
	}
	worst, at, bad := 0.0, -1, 0
	for i := range got {
		g, w := float64(got[i]), float64(want[i])
		if g == w {
			continue // equal infinities too
		}
		excess := math.Abs(g-w) - (atol + rtol*math.Abs(w))
		if excess <= 0 {
			continue
		}
		if math.IsNaN(excess) {
			excess = math.Inf(1)
		}
		bad++
		if at < 0 || excess > worst {
			worst, at = excess, i
		}
	}
	if bad > 0 {
		t.Errorf("%s: %d of %d values differ by more than %g + %g*|want|; worst at %d: got %v, want %v",
			what, bad, len(got), atol, rtol, at, got[at], want[at])
	}
}
