package pixelcode

// A residual r is written as the bit length of |r| in unary (nodes 0..7), its sign (9..12, by length), and the bits of
// |r| below the leading one: the upper two by length and prefix (21..48), the rest by position (53..58).
const (
	signNode   = 9
	upperNode  = 13
	lowerNode  = 53
	maxBits    = 8
	upperCount = 2
)

func writeResidual(w *writer, a, b *probs, r int32) {
	mag := int(abs(r))
	n := 0
	for mag>>n != 0 {
		n++
	}
	for i := range n {
		w.bit(&a[i], &b[i], 1)
	}
	if n < maxBits {
		w.bit(&a[n], &b[n], 0)
	}
	if n == 0 {
		return
	}
	sign := 0
	if r > 0 {
		sign = 1
	}
	s := signNode + min(n, 3)
	w.bit(&a[s], &b[s], sign)
	prefix := 1
	for i := n - 2; i >= 0; i-- {
		bit := mag >> i & 1
		node := mantissaNode(n, i, prefix)
		w.bit(&a[node], &b[node], bit)
		prefix = prefix*2 + bit
	}
}

func readResidual(r *reader, a, b *probs) int32 {
	n := 0
	for n < maxBits && r.bit(&a[n], &b[n]) == 1 {
		n++
	}
	if n == 0 {
		return 0
	}
	s := signNode + min(n, 3)
	positive := r.bit(&a[s], &b[s]) == 1
	prefix := 1
	for i := n - 2; i >= 0; i-- {
		node := mantissaNode(n, i, prefix)
		prefix = prefix*2 + r.bit(&a[node], &b[node])
	}
	if positive {
		return int32(prefix)
	}
	return -int32(prefix)
}

// mantissaNode selects the probability of bit i of a magnitude of n bits whose higher bits are prefix.
func mantissaNode(n, i, prefix int) int {
	if n-2-i < upperCount {
		return upperNode + 4*n + prefix
	}
	return lowerNode + i
}
