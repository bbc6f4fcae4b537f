package analysis

import "math/bits"

// bitset marks entries of a list.
type bitset []uint64

func newBitset(marks []bool) bitset {
	b := make(bitset, (len(marks)+63)/64)
	for i, m := range marks {
		if m {
			b[i/64] |= 1 << (i % 64)
		}
	}
	return b
}

func (b bitset) count() (n int) {
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// common is how many entries both mark.
func (b bitset) common(other bitset) (n int) {
	for i, word := range b {
		n += bits.OnesCount64(word & other[i])
	}
	return n
}
