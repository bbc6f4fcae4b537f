package pixelcode

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

// record is a record whose sample (channel, y, x) is f.
func record(label byte, f func(c, y, x int) int) []byte {
	b := []byte{label}
	for c := range 3 {
		for y := range side {
			for x := range side {
				b = append(b, byte(f(c, y, x)))
			}
		}
	}
	return b
}

// pictures are records of very different kinds.
func pictures() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for i := range 4 {
		b = append(b, record(byte(i), func(c, y, x int) int { return 8*x/(i+1) + 3*y + 40*c + rng.IntN(4) })...)
	}
	b = append(b, record(255, func(c, y, x int) int { return rng.IntN(256) })...)
	b = append(b, record(0, func(c, y, x int) int { return 255 * ((x + y) % 2) })...)
	b = append(b, record(9, func(c, y, x int) int { return 255 * (c % 2) })...)
	return append(b, record(9, func(c, y, x int) int { return 0 })...)
}

func TestRoundTrip(t *testing.T) {
	all := pictures()
	for _, chunks := range [][][]byte{
		{all},
		{all[:recordLen], nil, all[recordLen:]},
		{bytes.Repeat(all[4*recordLen:5*recordLen], 20)}, // noise only
		{nil},
	} {
		b, err := Encode(chunks)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Open(b)
		if err != nil {
			t.Fatal(err)
		}
		if a.Chunks() != len(chunks) {
			t.Fatalf("%d chunks, want %d", a.Chunks(), len(chunks))
		}
		for i, want := range chunks {
			got, err := a.Decode(i)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("chunk %d of %d comes back changed", i, len(chunks))
			}
		}
	}
}

// TestEveryResidual codes each possible residual, and all magnitudes at the ends of the bit lengths among them.
func TestEveryResidual(t *testing.T) {
	var a, b probs
	for i := range a {
		a[i], b[i] = newProb, newProb
	}
	ra, rb := a, b
	w := newWriter()
	for r := int32(-255); r <= 255; r++ {
		writeResidual(w, &a, &b, r)
	}
	in := newReader(w.close())
	for want := int32(-255); want <= 255; want++ {
		if got := readResidual(in, &ra, &rb); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	if a != ra || b != rb {
		t.Error("writer and reader have learned different probabilities")
	}
}

// TestRate checks the arithmetic coder against the entropy of what it codes.
func TestRate(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 200_000
	for _, c := range []struct{ p, entropy float64 }{{0.5, 1}, {0.1, 0.4690}, {0.01, 0.0808}} {
		w, p := newWriter(), newProb
		for range n {
			bit := 0
			if rng.Float64() < c.p {
				bit = 1
			}
			w.bit(&p, &p, bit)
		}
		// Adaptation with a window of 2^slowest decisions costs a little.
		if got := float64(8*len(w.close())) / n; got < 0.97*c.entropy || got > 1.03*c.entropy+0.006 {
			t.Errorf("probability %g: %.4f bits a decision, want about %.4f", c.p, got, c.entropy)
		}
	}
}

// TestFit makes images that obey a linear rule exactly and expects small archives: the rule must be found.
func TestFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var b []byte
	for range 40 {
		dx, dy, base := rng.IntN(4), rng.IntN(4), rng.IntN(40)
		b = append(b, record(1, func(c, y, x int) int { return base + dx*x + dy*y + 5*c })...)
	}
	packed, err := Encode([][]byte{b})
	if err != nil {
		t.Fatal(err)
	}
	payload := len(packed) - len(magic) - 4 - tableLen - entryLen
	if bits := float64(8*payload) / float64(len(b)); bits > 0.25 {
		t.Errorf("planes cost %.3f bits a sample, want 0.25 at most", bits)
	}
}

func TestEncodeErrors(t *testing.T) {
	for _, chunks := range [][][]byte{nil, make([][]byte, maxChunks+1), {make([]byte, recordLen+1)}, {make([]byte, (maxRecords+1)*recordLen)}} {
		if _, err := Encode(chunks); err == nil || !strings.HasPrefix(err.Error(), "pixelcode: ") {
			t.Errorf("%d chunks: error %v", len(chunks), err)
		}
	}
}

func TestDamage(t *testing.T) {
	good, err := Encode([][]byte{pictures()})
	if err != nil {
		t.Fatal(err)
	}
	head := len(magic) + 4 + tableLen
	edit := func(at int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "not an archive"},
		{"magic", edit(0, 0), "not an archive"},
		{"no chunks", edit(len(magic), 0), "0 chunks"},
		{"too many chunks", edit(len(magic), 1<<31), "2147483648 chunks"},
		{"index cut", good[:head+10], "index of 1 chunks is cut off"},
		{"payload cut", good[:len(good)-1], "are left"},
		{"bytes behind", append(bytes.Clone(good), 0), "1 bytes after"},
		{"records", edit(head, maxRecords+1), "10001 records"},
		{"more records than coded", edit(head, 200), "damaged"},
		{"fewer records", edit(head, 3), "SHA-256"},
		{"weights", edit(len(magic)+4+2*(3+3*4)*weights, 0x7fff7fff), "pixelcode: chunk 0"},
		{"payload", edit(head+entryLen+1000, 0xdeadbeef), "pixelcode: chunk 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := Open(c.b)
			if err == nil {
				_, err = a.Decode(0)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
		})
	}
	a, err := Open(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, 1} {
		if _, err := a.Decode(i); err == nil {
			t.Errorf("chunk %d: no error", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, chunks := range [][][]byte{{pictures()[:recordLen]}, {nil, pictures()[4*recordLen : 5*recordLen]}} {
		b, err := Encode(chunks)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Open(b)
		if err != nil {
			return
		}
		for i := range a.Chunks() {
			if out, err := a.Decode(i); err == nil && len(out)%recordLen != 0 {
				t.Fatalf("chunk %d has %d bytes", i, len(out))
			}
		}
	})
}
