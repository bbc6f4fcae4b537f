package mltest

import (
	"fmt"
	"math"
	"testing"
)

// recorder is a test that only notes what it is told.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Errorf(format string, args ...any) { r.said = fmt.Sprintf(format, args...) }

func TestClose(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	cases := []struct {
		name       string
		got, want  []float64
		atol, rtol float64
		fails      bool
	}{
		{"equal", []float64{1, 2}, []float64{1, 2}, 0, 0, false},
		{"within atol", []float64{1.05}, []float64{1}, 0.1, 0, false},
		{"within rtol", []float64{105}, []float64{100}, 0, 0.06, false},
		{"beyond both", []float64{1, 106}, []float64{1, 100}, 0.5, 0.05, true},
		{"lengths", []float64{1}, []float64{1, 2}, 1, 1, true},
		{"nan got", []float64{nan}, []float64{1}, 1, 1, true},
		{"nan want", []float64{1}, []float64{nan}, 1, 1, true},
		{"nan both", []float64{nan}, []float64{nan}, 1, 1, true},
		{"infinity", []float64{inf}, []float64{inf}, 0, 0, false},
		{"infinity got", []float64{inf}, []float64{1}, 1, 1, true},
		{"infinity want", []float64{1}, []float64{inf}, 1, 0.1, true},
		{"other infinity", []float64{-inf}, []float64{inf}, 1, 0.1, true},
	}
	for _, c := range cases {
		var r recorder
		Close(&r, c.name, c.got, c.want, c.atol, c.rtol)
		if (r.said != "") != c.fails {
			t.Errorf("%s: said %q, should fail: %v", c.name, r.said, c.fails)
		}
	}
}

// The two shared backends are opened and stay the same ones.
func TestBackends(t *testing.T) {
	if b := GoBackend(t); b != GoBackend(t) || b.Name() == "xla" {
		t.Errorf("Go backend is %q or opened twice", b.Name())
	}
	if b := Backend(t); b != Backend(t) {
		t.Error("default backend opened twice")
	}
}
