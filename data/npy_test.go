package data

import (
	"bytes"
	"slices"
	"testing"
)

// TestNPYHeaderWritten: the reader finds in a written header what was asked for, and nothing behind it.
func TestNPYHeaderWritten(t *testing.T) {
	for _, shape := range [][]int{{2, 1}, {50000, 32, 32, 3}, nil} {
		b := NPYHeader("|u1", shape...)
		r := bytes.NewReader(b)
		h, err := readNPYHeader(r)
		var want []int64
		for _, n := range shape {
			want = append(want, int64(n))
		}
		if err != nil || h.descr != "|u1" || h.fortran || !slices.Equal(h.shape, want) || r.Len() != 0 {
			t.Errorf("%v: %+v, %v, %d bytes left", shape, h, err, r.Len())
		}
		if len(b)%64 != 0 || b[len(b)-1] != '\n' {
			t.Errorf("header %q of %d bytes: want a multiple of 64 with a line feed at the end", b, len(b))
		}
	}
}
