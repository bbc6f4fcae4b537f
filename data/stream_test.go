package data

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestStreamDefinition rebuilds the state from the documented formula. Old runs resume only while it holds.
func TestStreamDefinition(t *testing.T) {
	var b []byte
	for _, v := range []uint64{7, 2, 3, 4} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	sum := sha256.Sum256(append(b, "augment"...))
	want := rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:]))
	got := Stream(7, "augment", 3, 4)
	for range 3 {
		if g, w := got.Uint64(), want.Uint64(); g != w {
			t.Errorf("got %#x, want %#x", g, w)
		}
	}
}

func TestStreamsDiffer(t *testing.T) {
	seen := map[uint64]string{}
	for _, c := range []struct {
		what string
		v    uint64
	}{
		{"base", Stream(1, "a", 2).Uint64()},
		{"seed", Stream(2, "a", 2).Uint64()},
		{"name", Stream(1, "b", 2).Uint64()},
		{"key", Stream(1, "a", 3).Uint64()},
		{"more keys", Stream(1, "a", 2, 0).Uint64()},
		{"no keys", Stream(1, "a").Uint64()},
		{"name that looks like a key", Stream(1, "\x02\x00\x00\x00\x00\x00\x00\x00a").Uint64()},
	} {
		if other, ok := seen[c.v]; ok {
			t.Errorf("%s and %s give the same stream", c.what, other)
		}
		seen[c.v] = c.what
	}
}

func TestOrder(t *testing.T) {
	o := Order(1000, 5, 0)
	if !slices.Equal(o, Order(1000, 5, 0)) {
		t.Error("not a function of its arguments")
	}
	if slices.Equal(o, Order(1000, 5, 1)) || slices.Equal(o, Order(1000, 6, 0)) {
		t.Error("epochs or seeds share an order")
	}
	sorted := slices.Sorted(slices.Values(o))
	for i, v := range sorted {
		if i != v {
			t.Fatalf("not a permutation: %d is missing", i)
		}
	}
	// The order of a released version, so that its runs can be resumed by later ones.
	if got := Order(8, 0, 0); !slices.Equal(got, pinnedOrder) {
		t.Errorf("Order(8, 0, 0) = %v, want %v", got, pinnedOrder)
	}
}

var pinnedOrder = []int{6, 5, 0, 4, 3, 1, 7, 2}
