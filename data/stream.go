package data

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Stream is the random stream that belongs to a root seed, a name (such as "init", "shuffle", "augment", "attack") and keys
// (such as an epoch and an index). It is a PCG generator whose state is the head of
//
//	SHA-256(seed, len(keys), keys..., name)
//
// with all numbers as 8 bytes, little endian, so streams that differ in anything are independent of each other.
func Stream(seed uint64, name string, keys ...uint64) *rand.Rand {
	var room [96]byte
	b := binary.LittleEndian.AppendUint64(room[:0], seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(keys)))
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, k)
	}
	b = append(b, name...)
	sum := sha256.Sum256(b)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16])))
}

// Order is the order in which epoch visits n records: a permutation of 0..n-1 that depends on its arguments only.
func Order(n int, seed uint64, epoch int) []int {
	return Stream(seed, "shuffle", uint64(epoch)).Perm(n)
}
