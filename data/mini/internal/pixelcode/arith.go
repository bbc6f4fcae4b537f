package pixelcode

// prob is an adaptive probability that a decision is 1: the upper 16 bits hold it in units of 2^-16,
// the lower bits the shift of the next update, which grows from 1 to slowest.
type prob uint32

const (
	newProb prob = 1<<31 | 1
	slowest      = 7
)

// observe moves the probability toward the bit seen. It never reaches 0 or 1, because the shifted distance to
// either becomes zero first.
func (p *prob) observe(bit int) {
	v, shift := uint32(*p)>>16, uint32(*p)&15
	if bit != 0 {
		v += (65535 - v) >> shift
	} else {
		v -= v >> shift
	}
	if shift < slowest {
		shift++
	}
	*p = prob(v<<16 | shift)
}

// split divides [lo, hi] in proportion to the mean of two probabilities; a 1 keeps the lower part.
// It never returns hi, because both probabilities are below 1.
func split(lo, hi uint32, a, b prob) uint32 {
	p := (uint64(a>>16) + uint64(b>>16)) >> 1
	return lo + uint32(uint64(hi-lo)*p>>16)
}

// writer is a carryless binary arithmetic coder over the interval [lo, hi].
type writer struct {
	lo, hi uint32
	out    []byte
}

func newWriter() *writer { return &writer{hi: 1<<32 - 1} }

func (w *writer) bit(a, b *prob, bit int) {
	mid := split(w.lo, w.hi, *a, *b)
	if bit != 0 {
		w.hi = mid
	} else {
		w.lo = mid + 1
	}
	a.observe(bit)
	if a != b {
		b.observe(bit)
	}
	for (w.lo^w.hi)>>24 == 0 {
		w.out = append(w.out, byte(w.hi>>24))
		w.lo <<= 8
		w.hi = w.hi<<8 | 255
	}
}

// close writes enough bytes to name a point of the interval.
func (w *writer) close() []byte {
	return append(w.out, byte(w.lo>>24), byte(w.lo>>16), byte(w.lo>>8), byte(w.lo))
}

// reader is the inverse of writer. Reading past the end yields zeros; pos tells that it happened.
type reader struct {
	lo, hi, code uint32
	in           []byte
	pos          int
}

func newReader(in []byte) *reader {
	r := &reader{hi: 1<<32 - 1, in: in}
	for range 4 {
		r.shift()
	}
	return r
}

func (r *reader) shift() {
	r.code <<= 8
	if r.pos < len(r.in) {
		r.code |= uint32(r.in[r.pos])
	}
	r.pos++
}

func (r *reader) bit(a, b *prob) int {
	mid := split(r.lo, r.hi, *a, *b)
	bit := 0
	if r.code <= mid {
		bit = 1
		r.hi = mid
	} else {
		r.lo = mid + 1
	}
	a.observe(bit)
	if a != b {
		b.observe(bit)
	}
	for (r.lo^r.hi)>>24 == 0 {
		r.lo <<= 8
		r.hi = r.hi<<8 | 255
		r.shift()
	}
	return bit
}
