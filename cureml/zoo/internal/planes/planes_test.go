package planes

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// What was packed comes back, whatever its length; weights become smaller; damage is noticed.
func TestPlanes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var weights []byte
	for range 20000 {
		weights = binary.LittleEndian.AppendUint32(weights, math.Float32bits(float32(0.05*rng.NormFloat64())))
	}
	for _, n := range []int{0, 1, 3, 4, 5, 1000, len(weights) - 1, len(weights)} {
		packed, err := Pack(weights[:n])
		if err != nil {
			t.Fatal(err)
		}
		back, err := Unpack(packed)
		if err != nil || !bytes.Equal(back, weights[:n]) {
			t.Errorf("%d bytes: %d came back, %v", n, len(back), err)
		}
		if n == len(weights) && 10*len(packed) > 9*n {
			t.Errorf("%d bytes of weights take %d, want less than nine tenths", n, len(packed))
		}
		damaged := bytes.Clone(packed)
		damaged[len(damaged)-6] ^= 1 // of the checksum
		if _, err := Unpack(damaged); err == nil {
			t.Errorf("%d bytes: damage was not noticed", n)
		}
		if _, err := Unpack(packed[:len(packed)-1]); err == nil {
			t.Errorf("%d bytes: a missing end was not noticed", n)
		}
	}
	if _, err := Unpack([]byte("safetensors")); err == nil {
		t.Error("another file was unpacked")
	}
}
